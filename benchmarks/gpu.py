"""Each way to run a model on a graphics card: does it answer as the CPU does, and how long does every bucket take?

Beside each time stands the shortest that the card's arithmetic and memory allow, both measured here. Without a card
the CPU is measured, and what only CUDA has is named as not available.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from floor import Peaks, Work, peaks, work
from gpu_report import Results, Row, card, show, write
from latency import machine, median_ms

from tianzi_models import bundle as bundles
from tianzi_models.buckets import Buckets
from tianzi_models.bundle import Bundle
from tianzi_models.errors import BundleError, TianziError
from tianzi_models.gpu import Gpu
from tianzi_models.registry import MODELS
from tianzi_models.runtime import Session
from tianzi_service.score.local import local as local_of
from tianzi_service.settings import Settings
from tianzi_training.export.fp16 import to_half
from tianzi_training.export.tidy import drop_zero_biases

Feeds: TypeAlias = Mapping[str, np.ndarray[Any, Any]]
Run: TypeAlias = Callable[[Feeds], dict[str, np.ndarray[Any, Any]]]

ROWS = {"cuda": [1, 4, 16, 64, 256, 1024, 4096], "cpu": [1, 4, 16]}
PEAK_SIDE = {"cuda": 8192, "cpu": 512}
PEAK_NUMBERS = {"cuda": 2**28, "cpu": 2**22}
SCORED_ROWS = {"cuda": 50_000, "cpu": 2_000}


@dataclass(frozen=True)
class Way:
    """How a model is run. on_cpu: whether a CPU can do it. bucketed: whether it is for models with buckets only."""

    name: str
    gpu: Gpu
    fp16: bool = False
    on_cpu: bool = False
    bucketed: bool = False


def ways(cache: Path) -> list[Way]:
    """As served, and each option on or off. cache: a folder for TensorRT."""
    recorded = Gpu(graph_rows=4096)
    return [
        Way("as served, fp32", Gpu(), on_cpu=True),
        Way("without buffers", Gpu(buffers=False), on_cpu=True, bucketed=True),
        Way("search EXHAUSTIVE", Gpu(search="EXHAUSTIVE")),
        Way("fp16", Gpu(), fp16=True, on_cpu=True),
        Way("CUDA graphs", recorded, bucketed=True),
        Way("fp16, CUDA graphs", recorded, fp16=True, bucketed=True),
        Way("TensorRT", Gpu(tensorrt_cache=cache)),
        Way("TensorRT, fp16", Gpu(tensorrt_cache=cache), fp16=True),
    ]


class Recorder:
    """A session that keeps what it was given."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.seen: list[Feeds] = []

    def run(self, feeds: Feeds) -> dict[str, np.ndarray[Any, Any]]:
        self.seen.append(feeds)
        return self.session.run(feeds)


def feeds_of(name: str, bundle: Bundle, exact: Path, rows: int) -> tuple[Feeds, dict[str, np.ndarray[Any, Any]]]:
    """What a run of so many golden requests gives the network, or of as many as it takes, and the CPU's fp32 answer.

    Without those that allow some characters only: most calls allow all, and are alike in shape.
    """
    recorder: Any = Recorder(Session(exact, "cpu", Settings().threads))
    model = MODELS[name](bundle, recorder)
    requests = [case["request"] for case in bundle.golden() if "allowed" not in case["request"]]
    items = [model.preprocess(model.request_from_json(request)) for request in requests]
    model.run(list(islice(cycle(items), rows)))
    feeds = recorder.seen[0]
    return feeds, recorder.session.run(feeds)


def graphs(bundle: Bundle, folder: Path) -> dict[bool, Path]:
    """The graph in fp32 and, under True, in fp16."""
    model = onnx.load(bundle.graph)
    drop_zero_biases(model)  # bundles exported before this was done at export are slower than they need be
    exact, half = folder / f"{bundle.name}.onnx", folder / f"{bundle.name}.fp16.onnx"
    onnx.save(model, exact)
    if bundle.fp16_graph is None:
        to_half(exact, half)
    return {False: exact, True: bundle.fp16_graph or half}


def open_way(way: Way, graph: Path, device: str, bucketed: bool) -> Run:
    """Raises: BundleError: it cannot be done here; why is in the message."""
    if way.bucketed and not bucketed:
        raise BundleError("not available: the model's inputs vary in more than rows")
    if device == "cuda":
        return Session(graph, "cuda", 1, way.gpu, bucketed=bucketed, fp16=way.fp16).run
    if not way.on_cpu:
        raise BundleError("not available on a CPU")
    session = Session(graph, "cpu", Settings().threads)
    if not (bucketed and way.gpu.buffers):
        return session.run
    buckets = Buckets(ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"]), "cpu")
    return lambda feeds: dict(zip(session.output_names, buckets.run(feeds), strict=True))


def compare(got: Mapping[str, Any], expected: Mapping[str, Any]) -> tuple[float, float]:
    """The largest difference of any probability, and the share of rows whose best answer is the same."""
    floats = [name for name, value in expected.items() if value.dtype.kind == "f"]
    worst = max(float(np.abs(got[name] - expected[name]).max()) for name in floats)
    best = [outputs["ids" if "ids" in outputs else "top"][..., 0] for outputs in (got, expected)]
    return worst, float((best[0] == best[1]).mean())


def measure(
    name: str, device: str, rows: Sequence[int], there: Peaks, seconds: float, folder: Path, only: str
) -> Iterator[Row]:
    """A line for every way and bucket of one model. only: a part of the names of the ways."""
    bundle = bundles.load(bundles.find(bundles.default_root(), name), MODELS[name].contract)
    files = graphs(bundle, folder)
    taken = [feeds_of(name, bundle, files[False], count) for count in rows]
    prepared = {len(next(iter(feeds.values()))): (feeds, expected) for feeds, expected in taken}
    costs: dict[int, Work] = {count: work(files[False], feeds) for count, (feeds, _) in prepared.items()}
    for way in ways(folder):
        if only not in way.name:
            continue
        run, problem = None, ""
        try:
            run = open_way(way, files[way.fp16], device, MODELS[name].bucketed)
        except BundleError as error:
            problem = str(error)
        for count, (feeds, expected) in prepared.items():
            if run is None:
                yield Row(name, way.name, count, problem=problem)
                break
            try:
                start = time.perf_counter()
                got = run(feeds)
                first_ms = 1000 * (time.perf_counter() - start)
                once = lambda run=run, feeds=feeds: run(feeds)  # noqa: E731 # called within this turn
                ms = median_ms(once, seconds)
            except TianziError as error:
                yield Row(name, way.name, count, problem=str(error))
                continue
            worst, same = compare(got, expected)
            floor_ms = 1000 * there.floor_s(costs[count], 2 if way.fp16 else 4)
            yield Row(name, way.name, count, first_ms, ms, 1000 * count / ms, floor_ms, worst, same)


def score_rate(device: str, rows: int, items: int) -> float:
    """Crops a second through what score asks, from decoded pixels."""
    numbers = np.random.default_rng(0)
    crops = [numbers.integers(0, 256, (48, 48), np.uint8) for _ in range(min(items, 1000))]
    local = local_of(Settings(device=device, batch_rows=rows))  # type: ignore[arg-type]
    list(local.recognize_many(crops[:rows]))  # loads the model
    start = time.perf_counter()
    count = sum(1 for _ in local.recognize_many(islice(cycle(crops), items)))
    return count / (time.perf_counter() - start)


def main() -> None:
    """Prints the table; --write puts it into results.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--rows", nargs="+", type=int, metavar="N", help="buckets; default by device")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--only", default="", metavar="TEXT", help="ways whose name holds this")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each bucket is repeated")
    parser.add_argument("--score-items", type=int, metavar="N", help="how many to score, 0: none; default by device")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument("--write", action="store_true", help="write the table into benchmarks/results.md")
    args = parser.parse_args()

    try:
        device = "cuda" if Session(_any_graph(), args.device).on_gpu else "cpu"
    except BundleError as error:
        raise SystemExit(str(error)) from None
    if device == "cpu":
        if args.write:
            raise SystemExit("--write: the table is for a graphics card, and none is used")
        print("No graphics card is used: the CPU is measured instead.", file=sys.stderr)
    items = SCORED_ROWS[device] if args.score_items is None else args.score_items
    there = peaks(device, PEAK_SIDE[device], PEAK_NUMBERS[device], args.seconds)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for name in args.models:
            counts = args.rows or ROWS[device]
            rows += measure(name, device, counts, there, args.seconds, Path(folder), args.only)
    results = Results({**machine(), "card": card(device)}, device, there, rows)
    best = results.best("ocr")
    if items and best is not None:
        results = Results(results.machine, device, there, rows, score_rate(device, best.rows, items), items)
    if args.json:
        print(json.dumps(asdict(results), ensure_ascii=False, indent=2))
    else:
        show(results)
    if args.write:
        write(results)


def _any_graph() -> Path:
    name = next(iter(MODELS))
    return bundles.load(bundles.find(bundles.default_root(), name), MODELS[name].contract).graph


if __name__ == "__main__":
    main()
