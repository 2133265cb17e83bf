"""Which waiting rows go together into a run; how long a wait is expected; and a thread that dies between two runs."""

import asyncio
import ctypes
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.service.calls import until
from tianzi_models.errors import DeadlineExceeded, ModelNotReady
from tianzi_service.scheduling.batcher import Batcher
from tianzi_service.scheduling.engine import EngineThread
from tianzi_service.scheduling.queue import Call, RowQueue


def filled(rows: RowQueue[str, str], *names: str, urgent: bool, cost: int = 1, deadline_s: float | None = None) -> None:
    for name in names:
        rows.add(Call(urgent, deadline_s, [(name, cost)]))


def taken(rows: RowQueue[str, str], now_s: float = 0.0) -> str:
    return "".join(row.item for row in rows.take(now_s))


async def test_single_calls_go_first_and_a_quarter_is_kept_for_the_others() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=8, max_cost=8)
    filled(rows, *"abcdefgh", urgent=False)
    filled(rows, *"ABCDEFGHIJKL", urgent=True)
    assert [taken(rows) for _ in range(4)] == ["ABCDEFab", "GHIJKLcd", "efgh", ""]


async def test_what_the_kept_part_cannot_take_goes_to_single_calls() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=4, max_cost=100)
    filled(rows, "a", urgent=False, cost=20)
    filled(rows, *"ABCDEFGHIJKLMNOPQRST", urgent=True, cost=2)
    assert [taken(rows) for _ in range(6)] == ["ABCD", "EFGH", "IJKL", "a", "MNOP", "QRST"]


async def test_one_row_in_four_is_bulk_where_runs_hold_one() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=1, max_cost=1)
    filled(rows, *"ab", urgent=False)
    filled(rows, *"ABCDEFG", urgent=True)
    assert "".join(taken(rows) for _ in range(9)) == "ABCaDEFbG"


async def test_a_run_is_bounded_by_its_padded_cost_and_holds_like_rows_only() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=8, max_cost=100)
    for name, cost in zip("abcdef", (30, 500, 40, 7, 25, 35), strict=True):
        filled(rows, name, urgent=True, cost=cost)
    assert [taken(rows) for _ in range(5)] == ["ac", "b", "d", "ef", ""]
    assert (rows.urgent_cost, rows.bulk_cost) == (0, 0)


async def test_the_rows_of_a_call_are_taken_by_and_by_and_leave_together() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=3, max_cost=30)
    call: Call[str, str] = Call(False, None, list(zip("abcdefg", (5, 20, 5, 5, 5, 5, 5), strict=True)))
    rows.add(call)
    filled(rows, "h", urgent=False, cost=7)
    assert taken(rows) == "acd", "what is unlike the first stays, and so does what no longer fits"
    assert (len(rows), rows.bulk_cost, "".join(row.item for row in rows)) == (5, 42, "befgh")
    call.future.cancel()
    assert taken(rows) == "h"
    rows.discard(call)
    assert (len(rows), rows.bulk_cost) == (0, 0)
    assert not taken(rows)


async def test_a_row_whose_deadline_has_passed_ends_and_is_not_taken() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=8, max_cost=8)
    filled(rows, "a", urgent=True, deadline_s=5.0)
    filled(rows, "b", urgent=True, deadline_s=6.0)
    late = next(iter(rows))
    assert taken(rows, now_s=5.0) == "b"
    assert isinstance(late.outcome, DeadlineExceeded)
    assert not len(rows)


async def test_rows_that_would_be_late_are_not_run_unless_nothing_else_is_there() -> None:
    rows: RowQueue[str, str] = RowQueue(max_rows=8, max_cost=8)
    filled(rows, *"abcd", urgent=True, deadline_s=4.5)
    filled(rows, "e", urgent=True, deadline_s=9.0)
    assert [row.item for row in rows.take(0.0, unit_s=1.0)] == ["e"], "a run of five takes 5 s"
    filled(rows, *"fg", urgent=True, deadline_s=4.5)
    assert [row.item for row in rows.take(0.0, unit_s=100.0)] == ["g"], "100 s may have been true once only"
    filled(rows, *"hi", urgent=True, deadline_s=4.5)
    assert not rows.take(5.0, unit_s=100.0)


# --- expectations -----------------------------------------------------------------------------------


async def test_the_expected_wait_grows_with_what_is_ahead_and_falls_with_faster_runs() -> None:
    gate, pace_s = threading.Event(), [0.05]

    def run(items: Sequence[int]) -> Sequence[int]:
        assert gate.wait(20)
        time.sleep(pace_s[0])
        return items

    batcher = Batcher(run, max_rows=2)
    assert batcher.expected_s(urgent=True) == 0, "nothing is known yet, nobody is refused"
    gate.set()
    await asyncio.gather(*(batcher.submit(n) for n in range(6)))
    gate.clear()
    waiting = [asyncio.create_task(batcher.submit(n)) for n in range(8)]
    waiting += [asyncio.create_task(batcher.submit(n, urgent=False)) for n in range(20)]
    await until(lambda: batcher.rows == 28)
    single, bulk = batcher.expected_s(urgent=True), batcher.expected_s(urgent=False)
    # A unit takes 25 ms or more: 6 single rows wait, and 20 others.
    assert single >= 0.15
    assert bulk >= single + 0.3
    assert batcher.expected_s(urgent=True, unseen_rows=100) >= single + 2
    pace_s[0] = 0.0
    gate.set()
    await asyncio.gather(*waiting)
    believed = batcher._unit_s
    for n in range(40):  # lone rows: too slow to tell what full runs take, unless faster than that
        await batcher.submit(n)
    assert batcher._unit_s < believed / 2
    await batcher.close()


# --- the thread -------------------------------------------------------------------------------------


def kill(thread_name: str) -> None:
    """Raises SystemExit in a thread, when it next runs Python code."""
    (thread,) = [thread for thread in threading.enumerate() if thread.name == thread_name]
    assert ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit)) == 1


@pytest.mark.parametrize("busy", [True, False])
async def test_an_engine_killed_from_outside_leaves_nobody_waiting(busy: bool) -> None:
    losses: list[str] = []
    started = threading.Event()

    def run(items: Sequence[int]) -> Sequence[int]:
        started.set()
        while busy and losses == []:
            time.sleep(0.001)
        return items

    batcher = Batcher(run, max_rows=2, name="victim", on_lost=lambda: losses.append("lost"))
    if busy:
        calls = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
        await until(started.is_set)
        kill("victim")
    else:
        assert await batcher.submit(0) == 0
        kill("victim")
        calls = [asyncio.create_task(batcher.submit(n)) for n in range(5)]
    ends = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 20)
    assert [type(end) for end in ends] == [ModelNotReady] * 5
    with pytest.raises(ModelNotReady, match="its engine is lost"):
        await batcher.submit(6)
    assert losses == ["lost"]
    await batcher.close()


def test_a_thread_that_has_ended_fails_what_comes_later() -> None:
    engine = EngineThread("short-lived")
    with pytest.raises(SystemExit):
        engine.submit(exec, "raise SystemExit").result(20)
    engine.shutdown()
    with pytest.raises(RuntimeError, match="has ended"):
        engine.submit(int).result(20)


def test_many_threads_may_submit_to_one_engine() -> None:
    engine = EngineThread("shared")
    with ThreadPoolExecutor(4) as pool:
        futures = list(pool.map(lambda n: engine.submit(abs, -n), range(200)))
    assert [future.result(20) for future in futures] == list(range(200))
    engine.shutdown()
