"""The measuring scripts run on the shipped bundles and give a figure for everything that was asked for."""

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
STEPS = ("preprocess_ms", "run_ms", "postprocess_ms")


def latency(*args: str) -> str:
    command = [sys.executable, "benchmarks/latency.py", "--seconds", "0", "--batch", "1", "3", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=100).stdout


def test_latency_measures_each_model_and_batch() -> None:
    result = json.loads(latency("--json"))
    assert [(row["model"], row["batch"]) for row in result["rows"]] == [
        ("ocr", 1),
        ("ocr", 3),
        ("cloze", 1),
        ("cloze", 3),
    ]
    assert all(row[step] > 0 for row in result["rows"] for step in STEPS)
    assert {"processor", "cores", "python", "commit", "ocr", "cloze"} <= result["machine"].keys()


def test_table_has_a_line_for_each_row() -> None:
    lines = latency("--models", "ocr").splitlines()
    assert [line for line in lines if line.startswith("| ocr | ")] == lines[-2:]


def test_load_measures_every_kind_of_call(tmp_path: Path) -> None:
    figures = tmp_path / "load.json"
    options = ["--seconds", "0.2", "--callers", "2", "--batches", "2", "--no-mlserver", "--processes", "1"]
    options += ["--json", str(figures)]
    subprocess.run([sys.executable, "benchmarks/load.py", *options], cwd=ROOT, check=True, timeout=110)
    result = json.loads(figures.read_text(encoding="utf-8"))
    lines = [(row["server"], row["shape"], row["loop"], row["callers"]) for row in result["rows"]]
    shapes = ("unary", "batch", "stream", "OIP unary", "OIP batch")
    assert {("tianzi", shape, "closed", 2) for shape in shapes} <= set(lines)
    assert ("tianzi", "unary", "open", 0) in lines
    for row in result["rows"]:
        assert row["rate"] > 0
        assert row["failed"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert result["whole"]["rate"] > 0
    assert set(result["overhead_us"]) == {"2"}


def test_overload_tells_goodput_and_refusals() -> None:
    options = ["--seconds", "0.5", "--callers", "4", "--factor", "4", "--json"]
    command = [sys.executable, "benchmarks/overload.py", *options]
    result = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=110).stdout)
    assert result["peak"] > 0
    assert result["offered"] == 4 * result["peak"]
    assert {"goodput", "share_of_peak", "refused_p99_ms", "refused_late", "timed_out"} <= result.keys()


def test_load_reports_aims_and_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    report = importlib.import_module("report")
    targets = importlib.import_module("targets")

    def row(server: str, shape: str, callers: int, rate: float, p99_ms: float) -> Any:
        return report.Row(server, shape, "closed", callers, rate, 10.0, p99_ms, 1.0, 0)

    rows = [row("tianzi", "unary", 1, 100, 20), row("tianzi", "unary", 64, 900, 29), row("tianzi", "batch", 8, 950, 99)]
    rows += [row("tianzi in 2 processes", "unary", 64, 1000, 29)]
    rows += [row("MLServer, 0 workers", "OIP unary", 64, 200, 99), row("tianzi without model", "unary", 8, 5000, 2)]
    bare = targets.Bare(1000, 32, "2 sessions")
    results = report.Results({"commit": "abc"}, rows, bare, bare, {8: 301.0}, 2.5)
    table = [line.strip("| ").split(" | ") for line in report.aims(results).splitlines()]
    judged = {aim: verdict for aim, _, verdict in table[2:]}
    assert judged["batch: ≥ 90 % of bare onnxruntime with decoding"] == "met"
    assert judged["8 callers: ≤ 300 µs of CPU a call beyond decoding and network"] == "missed"
    assert judged["unary: ≥ 3 × MLServer's throughput"] == "met"
    assert judged["64 callers: p99 ≤ 3 × p50"] == "met"
    assert judged["tianzi in 2 processes, unary: ≥ 1.2 × one"] == "missed"
    monkeypatch.setattr(report, "PLOT", tmp_path / "load.png")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.md")
    report.RESULTS.write_text("# Results\n")
    report.write(results, "the command")
    report.write(results, "the command again")
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text.startswith("# Results\n")
    assert text.count("## Load") == 1
    assert "the command again" in text
    assert report.PLOT.stat().st_size > 10_000


def test_soak_tells_growth_from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    soak = importlib.import_module("soak")
    noise = random.Random(0)

    def samples(mib_h: float) -> list[Any]:
        rises = (mib_h * second / 3600 + noise.gauss(200, 3) for second in range(1800))
        warm = (80 if second > 100 else 0 for second in range(1800))  # the step at the beginning does not count
        return [soak.Sample(s, int(soak.MIB * (r + w))) for s, (r, w) in enumerate(zip(rises, warm, strict=True))]

    flat, growing = soak.slope(samples(0)), soak.slope(samples(20))
    assert flat.flat
    assert abs(flat.mib_h) < 3
    assert not growing.flat
    assert growing.mib_h == pytest.approx(20, abs=3)
    assert growing.half_width < 3


def test_soak_runs_and_nothing_fails() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--minutes", "0.05", "--callers", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert "'OK': " in done.stdout, done.stderr
    assert "MiB an hour" in done.stdout
    assert "failed" not in done.stderr  # three seconds may well look like growth


def test_score_gives_each_ratio() -> None:
    options = ["--items", "512", "--part-items", "128", "--repeat", "1"]
    command = [sys.executable, "benchmarks/score.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=110)
    rates, ratios = (table.splitlines()[2:] for table in done.stdout.split("\n\n")[1:])
    assert len(rates) == len(ratios) == 5
    assert all(float(line.split(" | ")[1].rstrip(" |")) > 0 for line in [*rates, *ratios])
