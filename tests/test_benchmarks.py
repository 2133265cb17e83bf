"""The measuring scripts run on the shipped bundles and give a figure for everything that was asked for."""

import importlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from torch import nn

from tianzi_models.runtime import may_use_cuda

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


def test_documents_of_a_given_length_take_longer() -> None:
    run_ms = [
        json.loads(latency("--json", "--models", "cloze", "--words", words))["rows"][0]["run_ms"]
        for words in ("20", "2000")
    ]
    assert run_ms[1] > 2 * run_ms[0]


def test_table_has_a_line_for_each_row() -> None:
    lines = latency("--models", "ocr").splitlines()
    assert [line for line in lines if line.startswith("| ocr | ")] == lines[-2:]


def test_load_measures_every_kind_of_call(tmp_path: Path) -> None:
    figures = tmp_path / "load.json"
    options = ["--seconds", "0.2", "--callers", "2", "--batches", "2", "--no-mlserver", "--workers", "1"]
    options += ["--json", str(figures)]
    subprocess.run([sys.executable, "benchmarks/load.py", *options], cwd=ROOT, check=True, timeout=110)
    result = json.loads(figures.read_text(encoding="utf-8"))
    lines = [(row["server"], row["shape"], row["loop"], row["callers"]) for row in result["rows"]]
    one, shapes = "tianzi, 1 worker", ("unary", "batch", "stream", "OIP unary", "OIP batch")
    assert {(one, shape, "closed", 2) for shape in shapes} <= set(lines)
    assert (one, "unary", "open", 0) in lines
    assert {("gRPC alone, 1 workers", shape, "closed", 2) for shape in ("unary", "batch", "stream")} <= set(lines)
    for row in result["rows"]:
        assert row["rate"] > 0
        assert row["failed"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
    assert result["whole"]["rate"] > 0
    assert set(result["overhead_us"]) == {"2"}


def test_overload_tells_goodput_and_refusals() -> None:
    options = ["--seconds", "0.5", "--callers", "4", "--factor", "4", "--json"]
    command = [sys.executable, "benchmarks/overload.py", *options]
    result = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=110).stdout)
    assert result["peak"] > 0
    assert result["offered"] == 4 * result["peak"]
    assert {"goodput", "share_of_peak", "refused_p99_ms", "refused_late", "dropped", "timed_out"} <= result.keys()
    assert 0 <= result["sent_late_p50_ms"] <= result["sent_late_p99_ms"]
    assert 0 < result["left"] < 1
    assert result["refusal_us"] > 0


@pytest.mark.parametrize("said", ["/autogroup-7 nice 3\n", "", None])
def test_callers_go_first_whether_or_not_their_session_has_a_group(
    said: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    first = importlib.import_module("first")
    group = tmp_path / "autogroup"
    if said is not None:
        group.write_text(said)
    monkeypatch.setattr(first, "GROUP", group)
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    with first.going_first():
        during = group.read_text() if said else None
        assert os.getpriority(os.PRIO_PROCESS, 0) in (nice, first.NICE)  # as it takes a privilege
    assert during == (str(first.NICE) if said else None)
    assert os.getpriority(os.PRIO_PROCESS, 0) == nice
    assert (group.read_text() if group.exists() else None) == ("3" if said else said)


def test_load_reports_aims_and_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    report = importlib.import_module("report")
    bare_module = importlib.import_module("bare")

    def row(server: str, shape: str, callers: int, rate: float, p99_ms: float) -> Any:
        return report.Row(server, shape, "closed", callers, rate, 10.0, p99_ms, 1.0, 0)

    rows = [
        row("tianzi, 1 worker", "unary", 1, 100, 20),
        row("tianzi, 1 worker", "unary", 64, 900, 29),
        row("tianzi, 1 worker", "batch", 8, 950, 99),
    ]
    rows += [row("tianzi, 2 workers", "unary", 64, 1000, 29)]
    rows += [row("MLServer, 0 workers", "OIP unary", 64, 200, 99), row("tianzi without model", "unary", 8, 5000, 2)]
    rows += [row("gRPC alone, 2 workers", "unary", 8, 4000, 2), row("gRPC alone, 2 workers", "batch", 64, 9000, 2)]
    bare = bare_module.Bare(1000, 32, "2 sessions")
    results = report.Results({"commit": "abc"}, rows, bare, bare, {8: 301.0}, 2.5)
    table = [line.strip("| ").split(" | ") for line in report.aims(results).splitlines()]
    judged = {aim: verdict for aim, _, verdict in table[2:]}
    measured = {aim: said for aim, said, _ in table[2:]}
    # A call of a quarter of a millisecond and one of a millisecond: 800 a second.
    assert measured["unary: ≥ 3 × MLServer's throughput"].endswith("with gRPC alone at most 800 = 4.0 ×")
    assert measured["batch: ≥ 90 % of bare onnxruntime with decoding"].endswith("at most 900 = 90%")
    assert measured["8 callers: ≤ 300 µs of CPU a call beyond decoding and network"].endswith("of them 1000 gRPC alone")
    assert judged["batch: ≥ 90 % of bare onnxruntime with decoding"] == "met"
    assert judged["8 callers: ≤ 300 µs of CPU a call beyond decoding and network"] == "missed"
    assert judged["unary: ≥ 3 × MLServer's throughput"] == "met"
    assert judged["64 callers: p99 ≤ 3 × p50"] == "met"
    assert judged["tianzi, 2 workers, unary: ≥ 1.2 × one"] == "missed"
    monkeypatch.setattr(report, "PLOT", tmp_path / "load.png")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.md")
    report.RESULTS.write_text("# Results\n")
    report.write(results, "the command")
    report.write(results, "the command again")
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text.startswith("# Results\n")
    assert text.count("## Load") == 1
    assert "the command again" in text
    assert (tmp_path / "load.md").read_text(encoding="utf-8").count("\n| ") > len(results.rows)
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


@pytest.mark.parametrize("stay", [[], ["--stay"]], ids=["some leave", "all stay"])
def test_soak_runs_and_nothing_fails(stay: list[str]) -> None:
    command = [sys.executable, "benchmarks/soak.py", "--minutes", "0.05", "--callers", "3", *stay]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110)
    assert "'OK': " in done.stdout, done.stderr
    assert ("'left': " in done.stdout) != bool(stay)
    assert "MiB an hour" in done.stdout
    assert "failed" not in done.stderr  # three seconds may well look like growth


def test_score_gives_each_ratio() -> None:
    options = ["--items", "512", "--part-items", "128", "--repeat", "1"]
    command = [sys.executable, "benchmarks/score.py", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=110)
    rates, ratios = (table.splitlines()[2:] for table in done.stdout.split("\n\n")[1:])
    assert len(rates) == len(ratios) == 5
    assert all(float(line.split(" | ")[1].rstrip(" |")) > 0 for line in [*rates, *ratios])


def test_gpu_compares_and_times_what_a_cpu_can_do() -> None:
    options = ["--device", "cpu", "--rows", "1", "3", "--seconds", "0", "--score-items", "64", "--json"]
    done = subprocess.run(
        [sys.executable, "benchmarks/gpu.py", *options], cwd=ROOT, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout[done.stdout.index("{") :])
    measured = {(row["model"], row["way"], row["rows"]) for row in result["rows"] if not row["problem"]}
    common = {
        (model, way, rows) for model in ("ocr", "cloze") for way in ("as served, fp32", "fp16") for rows in (1, 3)
    }
    assert measured == common | {("ocr", "without buffers", rows) for rows in (1, 3)}
    for row in result["rows"]:
        if row["problem"]:
            assert "not available" in row["problem"]
        else:
            assert row["ms"] > 0 and row["floor_ms"] > 0
            assert row["worst"] <= (0.02 if row["way"] == "fp16" else 1e-5)
            assert row["same"] == 1
    assert result["score_rate"] > 0
    assert "No graphics card" in done.stderr
    missing = {row["way"] for row in result["rows"] if row["problem"]}
    assert {"CUDA graphs", "TensorRT", "search EXHAUSTIVE"} <= missing


@pytest.mark.skipif(may_use_cuda("cuda"), reason="there may be a card here")
def test_gpu_says_where_there_is_no_card() -> None:
    fell_back = "device cuda: onnxruntime fell back to CPUExecutionProvider; is a CUDA driver installed?"
    not_for_a_cpu = "--write: the table is for a graphics card, and none is used"
    for option, problem in (("--device=cuda", fell_back), ("--write", not_for_a_cpu)):
        command = [sys.executable, "benchmarks/gpu.py", option]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr.strip()) == (1, problem)


def test_the_floor_is_counted_by_the_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    floor = importlib.import_module("floor")
    weights = {"w": np.ones((8, 2, 3, 3), np.float32), "m": np.ones((4, 5), np.float32)}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MatMul", ["r", "m"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 8, 4, 5])
    initializers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], initializers),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    save(model, tmp_path / "model.onnx")
    counted = floor.work(tmp_path / "model.onnx", {"x": np.zeros((3, 2, 4, 4), np.float32)})
    assert counted.products == 3 * 8 * 16 * (2 * 9) + 3 * 8 * 4 * 5 * 4
    convolution = 3 * 2 * 16 + 8 * 2 * 9 + 3 * 8 * 16
    assert counted.elements == convolution + 3 * 8 * 16 + 4 * 5 + 3 * 8 * 4 * 5
    there = floor.Peaks({4: 1e6}, 1e9)
    assert there.floor_s(counted, 4) == pytest.approx(2 * counted.products / 1e6)
    assert floor.Peaks({4: 1e15}, 1e6).floor_s(counted, 2) == pytest.approx(2 * counted.elements / 1e6)


def test_gpu_results_are_judged_and_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    report, gpu_report, floor = (importlib.import_module(name) for name in ("report", "gpu_report", "floor"))
    rows = [
        gpu_report.Row("ocr", "fp16", 1024, 5.0, 1.0, 1_024_000, 0.5, 1e-3, 1.0),
        gpu_report.Row("ocr", "too wrong", 4096, 5.0, 1.0, 4_096_000, 0.5, 0.3, 0.8),
        gpu_report.Row("ocr", "TensorRT", 1, problem="are TensorRT's libraries installed?"),
    ]
    results = gpu_report.Results({"card": "H200"}, "cuda", floor.Peaks({4: 6e13}, 4e12), rows, 512_000.0, 1000)
    told = "\n".join(gpu_report.lines(results))
    assert "Best: 1,024,000 characters/s (fp16, 1024 rows), met" in told
    assert "50% of it, missed: aim 60 %" in told
    assert "ocr, TensorRT: are TensorRT's libraries installed?" in told
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.md")
    report.RESULTS.write_text((ROOT / "benchmarks/results.md").read_text(encoding="utf-8"), encoding="utf-8")
    gpu_report.write(results)
    text = report.RESULTS.read_text(encoding="utf-8")
    assert text.count("## Graphics card") == 1 and "Not measured: no card" not in text
    assert "| ocr | fp16 | 1024 | 5.00 | 1.000 | 1,024,000 | 50% | 1.0e-03 | 100.0% |" in text
    assert "too far" in text


def test_networks_are_counted_by_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    networks = importlib.import_module("networks")
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 8 * 8, 10))
    for crops in (1, 3):
        assert networks.multiply_adds(net, torch.zeros(crops, 1, 8, 8)) == 4 * 8 * 8 * 9 + 4 * 8 * 8 * 10
