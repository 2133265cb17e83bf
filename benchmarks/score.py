"""Rates of score: of two workers beside one, and of one beside bare onnxruntime on the same files.

The files are the bundle's golden images, copied until there are --items of them. Rates leave out the start: they count
from the first part that each worker has answered.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import numpy as np
from latency import machine

from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrRequest
from tianzi_models.registry import load_model
from tianzi_service.cli.options import NO_SERVER
from tianzi_service.cli.score import engine
from tianzi_service.score.input.sources import open_source
from tianzi_service.score.run import Run, Target
from tianzi_service.score.scorer import Job
from tianzi_service.score.workers import answers
from tianzi_service.settings import Settings

BATCH = 64


def write_files(folder: Path, items: int) -> list[bytes]:
    """The files' contents, in order."""
    model = load_model("ocr", device="cpu")
    golden = [model.request_from_json(case["request"]).image for case in model.bundle.golden()]
    contents = list(islice(cycle(golden), items))
    for number, content in enumerate(contents):
        (folder / f"{number:07}.png").write_bytes(content)
    return contents


def score(folder: Path, workers: int, part_items: int) -> float:
    """Files a second, written and synced as always; each worker has one thread."""
    with tempfile.TemporaryDirectory() as place:
        job = Job("ocr", partial(engine, NO_SERVER, Settings(threads=1, device="cpu")), {"top_k": 5})
        target = Target.of(f"{place}/out.jsonl")
        run = Run(open_source("ocr", str(folder)), job, target, {}, part_items=part_items)
        done: list[tuple[float, int]] = []
        run.to(partial(answers, workers=workers), lambda items: done.append((time.perf_counter(), items)))
    warm = done[: workers + 1]  # the first tells of earlier runs, of which there are none
    counted = sum(items for _, items in done[len(warm) :])
    return counted / (done[-1][0] - warm[-1][0])


def bare(contents: list[bytes], decoding: bool) -> float:
    """Files a second of one session with one thread, in full batches; decoding: in the same loop, else before it."""
    model = load_model("ocr", device="cpu", threads=1)
    assert isinstance(model, OcrModel)

    def feeds(batch: list[bytes]) -> dict[str, np.ndarray]:
        return model.feeds([model.preprocess(OcrRequest(content)) for content in batch])

    batches = [contents[start : start + BATCH] for start in range(0, len(contents), BATCH)]
    before = [] if decoding else [feeds(batch) for batch in batches]
    model.session.run(feeds(batches[0]))
    began = time.perf_counter()
    for number, batch in enumerate(batches):
        model.session.run(feeds(batch) if decoding else before[number])
    return len(contents) / (time.perf_counter() - began)


@contextmanager
def on_one_core() -> Iterator[None]:
    """Of those that we may use; processes that are started meanwhile stay on it."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def main() -> None:
    """Prints a table of rates, and one of what was aimed at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--items", type=int, default=16384, help="files")
    parser.add_argument("--part-items", type=int, default=512, help="files of a part")
    parser.add_argument("--workers", type=int, default=2, help="processes beside one")
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many counts: others only slow it down")
    args = parser.parse_args()

    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        contents = write_files(Path(place), args.items)
        many = f"score, {args.workers} workers"
        for _ in range(args.repeat):
            with on_one_core():
                measured = {
                    "bare onnxruntime, decoded before": bare(contents, decoding=False),
                    "bare onnxruntime and decoding": bare(contents, decoding=True),
                    "score, 1 worker on one core": score(Path(place), 1, args.part_items),
                }
            measured["score, 1 worker on all cores"] = score(Path(place), 1, args.part_items)
            measured[many] = score(Path(place), args.workers, args.part_items)
            rates = {name: max(rate, rates.get(name, 0.0)) for name, rate in measured.items()}

    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    print("\n| what | files a second |\n|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:.0f} |")
    print("\n| ratio | measured |\n|---|---|")
    for above, below in [
        (many, "score, 1 worker on one core"),
        (many, "score, 1 worker on all cores"),
        ("score, 1 worker on all cores", "bare onnxruntime, decoded before"),
        ("score, 1 worker on one core", "bare onnxruntime, decoded before"),
        ("score, 1 worker on one core", "bare onnxruntime and decoding"),
    ]:
        print(f"| {above} ÷ {below} | {rates[above] / rates[below]:.2f} |")


if __name__ == "__main__":  # the workers import this file, too
    main()
