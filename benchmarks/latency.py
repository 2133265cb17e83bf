"""Latency of each model in this process, without gRPC: milliseconds an item at several batch sizes.

The inputs are the bundle's golden requests, repeated to fill a batch; with --words, the blank filler's are documents of
so many words.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tianzi_models.base import Model
from tianzi_models.cloze.segment import segment
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.registry import MODELS, load_model

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Row:
    """One line of the table: medians over the repetitions, in milliseconds an item."""

    model: str
    batch: int
    threads: int
    preprocess_ms: float
    run_ms: float
    postprocess_ms: float


def median_ms(work: Callable[[], Any], seconds: float) -> float:
    """Median milliseconds of work, called for about so many seconds and at least five times, after one warm-up."""
    work()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def golden_requests(model: Model[Any, Any, Any, Any], words: int) -> list[Any]:
    """The bundle's own; words, if not 0: of the blank filler one document of so many, segmented, with one blank."""
    golden = [model.request_from_json(case["request"]) for case in model.bundle.golden()]
    if not words or model.name != "cloze":
        return golden
    texts = [r.document if isinstance(r.document, str) else "".join(r.document) for r in golden]
    known = [word for text in texts for word in segment(text) if word.isalpha()]
    document = list(islice(cycle(known), words))
    document[words // 2] = "XXXXX"
    return [ClozeRequest(tuple(document))]


def measure(model: Model[Any, Any, Any, Any], batch: int, threads: int, seconds: float, words: int = 0) -> Row:
    """Times the three steps of one batch apart; the model decides how it pads and collates."""
    requests = list(islice(cycle(golden_requests(model, words)), batch))
    items = [model.preprocess(request) for request in requests]
    outputs = model.run(items)
    return Row(
        model.name,
        batch,
        threads,
        preprocess_ms=median_ms(lambda: [model.preprocess(request) for request in requests], seconds) / batch,
        run_ms=median_ms(lambda: model.run(items), seconds) / batch,
        postprocess_ms=median_ms(lambda: list(map(model.postprocess, items, outputs)), seconds) / batch,
    )


def machine() -> dict[str, str]:
    """Processor, Python and commit: without them a figure says nothing."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "processor": names[0] if names else platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "commit": git.stdout.strip() or "unknown",
    }


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 64], metavar="N")
    parser.add_argument("--threads", nargs="+", type=int, default=[1], metavar="N", help="intra-op threads")
    parser.add_argument("--words", type=int, default=0, metavar="N", help="length of the blank filler's documents")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each step is repeated")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    args = parser.parse_args()

    rows, providers = [], {}
    for name in args.models:
        for threads in args.threads:
            model = load_model(name, device=args.device, threads=threads)
            providers[name] = model.session.provider
            rows += [measure(model, batch, threads, args.seconds, args.words) for batch in args.batch]
    facts = {**machine(), **providers}
    if args.json:
        print(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, ensure_ascii=False, indent=2))
        return
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print("\n| model | batch | threads | preprocess | run | postprocess | ms an item |\n|---|---|---|---|---|---|---|")
    for row in rows:
        parts = (row.preprocess_ms, row.run_ms, row.postprocess_ms)
        figures = " | ".join(f"{value:.3f}" for value in (*parts, sum(parts)))
        print(f"| {row.model} | {row.batch} | {row.threads} | {figures} |")


if __name__ == "__main__":
    main()
