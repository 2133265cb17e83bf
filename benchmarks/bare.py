"""Bare onnxruntime: the most images a second that the recogniser gives without a server, however it uses the cores."""

import time
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from typing import Any

from tianzi_models.registry import load_model

_models: list[Any] = []
"""Of this process, those that _rate takes."""


@dataclass(frozen=True)
class Bare:
    """The best rate, in images a second, and how it was reached."""

    rate: float
    batch: int
    how: str


def best(requests: Sequence[Any], batches: Sequence[int], seconds: float, cores: int) -> tuple[Bare, Bare]:
    """The network alone, and with decoding. Each image comes as often as any other.

    One session has all cores; or each core has a session of its own, in a thread, so that one decodes while another
    computes, or in a process, so that none waits for Python's lock. seconds: for each way and size.
    """
    found: dict[bool, list[Bare]] = {False: [], True: []}

    def measure(how: str, executor: Executor, numbers: Sequence[int]) -> None:
        for decodes, rates in found.items():
            _together(executor, numbers, requests, decodes, batches[0], 0.0)  # warm-up
            for batch in batches:
                rates.append(Bare(_together(executor, numbers, requests, decodes, batch, seconds), batch, how))

    with ThreadPoolExecutor(cores) as threads:
        _load(cores)
        measure(f"one session of {cores} threads", threads, [0])
        _load(*[1] * cores)
        measure(f"{cores} sessions of one thread", threads, range(cores))
    with ProcessPoolExecutor(cores, get_context("spawn"), _load, (1,)) as processes:
        measure(f"{cores} processes of one thread", processes, [0] * cores)
    network, whole = (max(rates, key=lambda way: way.rate) for rates in found.values())
    return network, whole


def _load(*threads: int) -> None:
    _models[:] = [load_model("ocr", device="cpu", threads=count) for count in threads]


def _together(
    executor: Executor, numbers: Sequence[int], requests: Sequence[Any], decodes: bool, batch: int, seconds: float
) -> float:
    working = [executor.submit(_rate, number, requests, decodes, batch, seconds) for number in numbers]
    return sum(work.result() for work in working)


def _rate(number: int, requests: Sequence[Any], decodes: bool, batch: int, seconds: float) -> float:
    """Images a second of one model, in batches of neighbours."""
    model = _models[number]
    items = cycle(requests if decodes else [model.preprocess(request) for request in requests])
    turns = [list(islice(items, batch)) for _ in requests]
    rows, began = 0, time.perf_counter()
    for turn in cycle(turns):
        if decodes:
            list(model.answer_all(turn, len(turn)))
        else:
            model.run(turn)
        rows += len(turn)
        if (took := time.perf_counter() - began) >= seconds:
            break
    return rows / took
