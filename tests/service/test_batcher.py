"""Batcher: which rows run together, and that each ends exactly once, by its own fault only."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianzi_models.errors import InferenceError, InvalidInput, ModelNotReady
from tianzi_service.scheduling.batcher import TURNS, Batcher

POISON = -1


class Doubler:
    """An engine that doubles; POISON makes it raise. The gate, closed, holds it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.runs: list[list[int]] = []

    def run(self, items: Sequence[int]) -> list[int]:
        self.runs.append(list(items))
        assert self.gate.wait(20)
        if POISON in items:
            raise ZeroDivisionError(items)
        return [2 * item for item in items]

    async def running(self, count: int = 1) -> None:
        """Returns once the engine has begun its countth run."""
        while len(self.runs) < count:
            await asyncio.sleep(0.001)


def submit(batcher: Batcher[int, int], *items: int) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item)) for item in items]


async def ends(tasks: list[asyncio.Task[int]]) -> list[Any]:
    """Each task's result, or its exception's class."""
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    return [type(result) if isinstance(result, BaseException) else result for result in results]


async def test_an_idle_engine_takes_at_once_what_one_turn_of_the_loop_submits() -> None:
    engine = Doubler()
    batcher = Batcher(engine.run, max_rows=8)
    assert await ends(submit(batcher, 1, 2, 3)) == [2, 4, 6]
    assert engine.runs == [[1, 2, 3]]
    await batcher.close()


async def test_a_burst_that_comes_in_over_some_turns_is_one_run() -> None:
    engine = Doubler()
    batcher = Batcher(engine.run, max_rows=8)
    tasks = []
    for item in range(6):
        tasks += submit(batcher, item)
        for _ in range(TURNS // 2):
            await asyncio.sleep(0)
    assert await ends(tasks) == [2 * item for item in range(6)]
    assert engine.runs == [list(range(6))]
    tasks = submit(batcher, *range(8))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    time.sleep(0.2)  # the engine's time; the loop does not turn
    assert len(engine.runs) == 2, "a full run waits for nothing"
    await ends(tasks)
    await batcher.close()


async def test_a_lone_short_row_runs_in_the_loops_thread_and_others_do_not() -> None:
    threads: list[str] = []

    def run(items: Sequence[int]) -> list[int]:
        threads.append(threading.current_thread().name)
        if POISON in items:
            raise ZeroDivisionError
        return [2 * item for item in items]

    here = threading.current_thread().name
    batcher = Batcher(run, 8, "ocr", here_s=60.0)
    assert await ends(submit(batcher, 1)) == [2]
    assert threads == ["ocr"]  # how long it takes is not known yet
    assert await ends(submit(batcher, 2)) + await ends(submit(batcher, POISON)) == [4, InferenceError]
    assert threads[1:] == [here, here]
    assert await ends(submit(batcher, 3, 4)) == [6, 8]
    assert threads[3:] == ["ocr"]
    await batcher.close()
    threads.clear()
    batcher = Batcher(run, 8, "ocr", here_s=1e-9)
    assert await ends(submit(batcher, 1)) + await ends(submit(batcher, 2)) == [2, 4]
    assert threads == ["ocr", "ocr"]
    await batcher.close()


async def test_what_would_end_the_engines_thread_does_not_end_the_loop() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if POISON in items:
            raise SystemExit(1)
        return list(items)

    losses: list[str] = []
    batcher = Batcher(run, 8, on_lost=lambda: losses.append("lost"), here_s=60.0)
    assert await ends(submit(batcher, 1)) == [1]
    assert await ends(submit(batcher, POISON)) == [ModelNotReady]
    assert await ends(submit(batcher, 3)) == [ModelNotReady] and losses == ["lost"]
    await batcher.close()


async def test_rows_gather_while_the_engine_runs_and_go_oldest_first() -> None:
    engine = Doubler()
    engine.gate.clear()
    batcher = Batcher(engine.run, max_rows=3)
    tasks = submit(batcher, 1)
    await engine.running()
    for item in (2, 3, 4, 5):
        tasks += submit(batcher, item)
        await asyncio.sleep(0)
    engine.gate.set()
    assert await ends(tasks) == [2, 4, 6, 8, 10]
    assert engine.runs == [[1], [2, 3, 4], [5]]
    await batcher.close()


async def test_a_row_whose_caller_leaves_never_runs_and_its_neighbours_do() -> None:
    engine = Doubler()
    engine.gate.clear()
    batcher = Batcher(engine.run, max_rows=8)
    first = submit(batcher, 1)
    await engine.running()
    waiting = submit(batcher, 2, 3, 4, 5)
    await asyncio.sleep(0)
    waiting[1].cancel()
    engine.gate.set()
    assert await ends(first + waiting) == [2, 4, asyncio.CancelledError, 8, 10]
    assert engine.runs == [[1], [2, 4, 5]]
    await batcher.close()


async def test_a_caller_may_leave_in_the_turn_that_starts_the_run() -> None:
    engine = Doubler()
    batcher = Batcher(engine.run, max_rows=8)
    tasks = submit(batcher, 1, 2)
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await ends(tasks) == [asyncio.CancelledError, 4]
    assert engine.runs == [[2]]
    await batcher.close()


async def test_a_row_whose_caller_leaves_takes_no_memory_while_the_engine_is_busy() -> None:
    class Image:
        pass

    gate, image = threading.Event(), Image()
    batcher: Batcher[Image, bool] = Batcher(lambda items: [gate.wait(20) for _ in items], max_rows=8)
    first = asyncio.create_task(batcher.submit(Image()))
    await asyncio.sleep(0.01)
    caller, memory = asyncio.create_task(batcher.submit(image)), weakref.ref(image)
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait([caller])
    del caller, image
    gc.collect()
    assert memory() is None
    gate.set()
    assert await first
    await batcher.close()


async def test_a_caller_may_leave_while_its_row_runs() -> None:
    engine = Doubler()
    engine.gate.clear()
    batcher = Batcher(engine.run, max_rows=8)
    tasks = submit(batcher, 1, 2, 3)
    await engine.running()
    tasks[0].cancel()
    engine.gate.set()
    assert await ends(tasks) == [asyncio.CancelledError, 4, 6]
    await batcher.close()


@pytest.mark.parametrize("place", [0, 3, 7])
async def test_a_row_that_makes_run_raise_fails_alone(place: int) -> None:
    engine = Doubler()
    batcher = Batcher(engine.run, max_rows=8)
    items = [10 * n for n in range(8)]
    items[place] = POISON
    got = await ends(submit(batcher, *items))
    assert got == [InferenceError if item == POISON else 2 * item for item in items]
    assert len(engine.runs) == 7, "8 rows, then halves of 4, 2 and 1 with their other halves"
    await batcher.close()


async def test_the_error_of_a_row_keeps_its_kind_and_cause() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise InvalidInput("image", "late") if items[0] == 1 else StopIteration

    batcher = Batcher(run, max_rows=1)
    with pytest.raises(InvalidInput, match="late"):
        await batcher.submit(1)
    with pytest.raises(InferenceError, match="StopIteration") as caught:
        await batcher.submit(2)
    assert isinstance(caught.value.__cause__, StopIteration)
    await batcher.close()


async def test_too_few_outputs_are_an_inference_error() -> None:
    batcher: Batcher[int, int] = Batcher(lambda items: items[1:], max_rows=8)
    assert await ends(submit(batcher, 1, 2)) == [InferenceError, InferenceError]
    await batcher.close()


@pytest.mark.parametrize("death", [ModelNotReady("CUDA is gone"), SystemExit(1)])
async def test_a_lost_engine_fails_all_rows_now_and_later(death: BaseException) -> None:
    gate = threading.Event()
    losses: list[str] = []

    def run(items: Sequence[int]) -> list[int]:
        assert gate.wait(20)
        raise death

    batcher = Batcher(run, max_rows=2, name="ocr", on_lost=lambda: losses.append("lost"))
    tasks = submit(batcher, 1, 2, 3, 4, 5)
    await asyncio.sleep(0.01)
    gate.set()
    assert await ends(tasks) == [ModelNotReady] * 5
    with pytest.raises(ModelNotReady, match="model ocr: its engine is lost"):
        await batcher.submit(6)
    assert losses == ["lost"]
    await batcher.close()


async def test_close_fails_what_runs_and_what_waits_without_awaiting_its_result() -> None:
    engine = Doubler()
    engine.gate.clear()
    batcher = Batcher(engine.run, max_rows=2)
    tasks = submit(batcher, 1, 2, 3)
    await engine.running()
    closing = asyncio.create_task(batcher.close())
    assert await ends(tasks) == [ModelNotReady] * 3
    assert not closing.done(), "the engine is still in its run"
    engine.gate.set()
    await closing
    with pytest.raises(ModelNotReady, match="shutting down"):
        await batcher.submit(4)
    assert engine.runs == [[1, 2]]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 9) | st.just(POISON)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["open", "shut", "turn", "rest"]), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(OPERATIONS, st.integers(1, 5), st.booleans())
def test_every_row_ends_exactly_once_whatever_happens(
    operations: list[tuple[str, int]], max_rows: int, close_early: bool
) -> None:
    asyncio.run(_live_through(operations, max_rows, close_early))


async def _live_through(operations: list[tuple[str, int]], max_rows: int, close_early: bool) -> None:
    engine = Doubler()
    batcher = Batcher(engine.run, max_rows)
    tasks: list[asyncio.Task[int]] = []
    items: list[int] = []
    left: set[int] = set()
    for name, value in operations:
        match name:
            case "submit":
                items.append(value)
                tasks += submit(batcher, value)
            case "cancel" if value < len(tasks) and not tasks[value].done():
                tasks[value].cancel()
                left.add(value)
            case "open":
                engine.gate.set()
            case "shut":
                engine.gate.clear()
            case "turn":
                await asyncio.sleep(0)
            case "rest":
                await asyncio.sleep(0.001)
    closing = asyncio.create_task(batcher.close()) if close_early else None
    engine.gate.set()
    for place, end in enumerate(await ends(tasks)):
        expected = {InferenceError if items[place] == POISON else 2 * items[place]}
        if place in left:
            expected = {asyncio.CancelledError}
        elif close_early:
            expected.add(ModelNotReady)
        assert end in expected
    await (closing or batcher.close())
    assert all(len(run) <= max_rows for run in engine.runs)
