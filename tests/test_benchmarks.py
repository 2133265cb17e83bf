"""The measuring script runs on the shipped bundles and prints figures of every batch size that was asked for."""

import json
import subprocess
import sys
from pathlib import Path

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
