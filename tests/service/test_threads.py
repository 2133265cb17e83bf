"""The threads that preprocess: every call ends with its own outcome, and the event loop is woken once for many."""

import asyncio
import os
import sys
import threading

import pytest

from tests.fakes import WAIT_S
from tianzi_service.scheduling import thread_pools
from tianzi_service.scheduling.engine import EngineThread
from tianzi_service.scheduling.thread_pools import Crew
from tianzi_service.scheduling.thread_priority import COMPUTING_NICE, NICE_ON_ONE_CORE


async def test_each_call_gets_its_own_outcome() -> None:
    crew = Crew(3, "test")
    results = await asyncio.gather(*(crew.run(divmod, 100, n) for n in range(60)), return_exceptions=True)
    crew.shutdown()
    assert isinstance(results[0], ZeroDivisionError)
    assert results[1:] == [divmod(100, n) for n in range(1, 60)]


@pytest.mark.parametrize("error", [StopIteration(), SystemExit(1)])
async def test_what_a_future_cannot_hold_harms_neither_thread_nor_neighbour(error: BaseException) -> None:
    def fail() -> None:
        raise error

    crew = Crew(1, "test")
    failed, fine = await asyncio.gather(crew.run(fail), crew.run(abs, -1), return_exceptions=True)
    assert isinstance(failed, RuntimeError)
    assert fine == 1
    assert await crew.run(abs, -2) == 2
    crew.shutdown()


async def test_many_short_calls_are_handed_back_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pools, "HAND_BACK_S", WAIT_S)
    wakes: list[int] = []
    hand_back = thread_pools._hand_back
    monkeypatch.setattr(thread_pools, "_hand_back", lambda done: (wakes.append(len(done)), hand_back(done)))
    crew, gate = Crew(1, "test"), threading.Event()
    first = asyncio.create_task(crew.run(gate.wait, WAIT_S))
    rest = [asyncio.create_task(crew.run(abs, -n)) for n in range(20)]
    await asyncio.sleep(0)
    gate.set()
    assert await first
    assert await asyncio.gather(*rest) == list(range(20))
    crew.shutdown()
    assert wakes == [21]


async def test_a_cancelled_call_is_not_made() -> None:
    crew, gate, made = Crew(1, "test"), threading.Event(), []
    first = asyncio.create_task(crew.run(gate.wait, WAIT_S))
    second = asyncio.create_task(crew.run(made.append, "second"))
    third = asyncio.create_task(crew.run(made.append, "third"))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.sleep(0)
    gate.set()
    await first
    await third
    crew.shutdown()
    assert made == ["third"]


async def test_shutdown_waits_for_what_was_asked_for() -> None:
    crew = Crew(2, "test")
    calls = [asyncio.create_task(crew.run(abs, -n)) for n in range(50)]
    await asyncio.sleep(0)
    crew.shutdown()
    assert await asyncio.gather(*calls) == list(range(50))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads apart")
@pytest.mark.parametrize(("cores", "nicer"), [({0}, NICE_ON_ONE_CORE), ({0, 1}, COMPUTING_NICE)])
async def test_threads_that_compute_let_the_event_loop_go_first(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], nicer: int
) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    ours = nice()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    crew, engine = Crew(1, "test"), EngineThread("test")
    computing = [await crew.run(nice), await asyncio.wrap_future(engine.submit(nice))]
    crew.shutdown()
    engine.shutdown()
    assert computing == [min(19, ours + nicer)] * 2
    assert nice() == ours
