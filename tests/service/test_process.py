"""What holds for the whole process of a server."""

import asyncio
import ctypes
import gc
import os
import subprocess
import sys
import weakref

import psutil
import pytest

from tests.conftest import ROOT
from tianzi_service.lifecycle import process

CHECK = """
import ctypes, sys
from tianzi_service.lifecycle.process import prepare_process
called = []
class Library:
    def mallopt(self, *given):
        called.append(given)
ctypes.CDLL = lambda name: Library()
prepare_process()
print(round(sys.getswitchinterval(), 6), *called)
"""


LISTEN = """
import asyncio, service, grpc
async def listen():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await server.stop(None)
asyncio.run(listen())
"""


POLICIES = """
import asyncio, os, service, sys
from tianzi_service.settings import Settings
from tianzi_service.rpc.transport import grpc_server
def policies():
    return {int(thread): os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
async def start():
    before = policies()
    server = grpc_server(Settings(), False, [])
    started = set(policies().items()) - set(before.items())
    print(bool(started), *{policy for _, policy in started}, os.sched_getscheduler(0))
cores = sorted(os.sched_getaffinity(0))
os.sched_setaffinity(0, cores[:int(sys.argv[1])])
os.sched_setscheduler(0, int(sys.argv[2]), os.sched_param(0))
asyncio.run(start())
"""


def prepared(**environment: str) -> str:
    command = [sys.executable, "-c", CHECK]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_threads_give_way_soon_and_share_memory() -> None:
    assert prepared() == "0.0001 (-8, 2) (-3, 131072)"


def test_who_has_set_the_memory_keeps_it() -> None:
    assert prepared(MALLOC_ARENA_MAX="4") == "0.0001 (-3, 131072)"
    assert prepared(MALLOC_MMAP_THRESHOLD_="1000000") == "0.0001 (-8, 2)"


def test_free_memory_goes_back_to_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "TRIM_S", 0.01)
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    size, count = 60_000, 1000  # too small to be mapped by itself

    def resident() -> int:
        return int(psutil.Process().memory_info().rss)

    async def returned() -> int:
        blocks = [library.malloc(size) for _ in range(count)]
        for block in blocks:
            ctypes.memset(block, 1, size)
        kept = blocks[::10]  # in use between the others
        for block in set(blocks) - set(kept):
            library.free(block)
        held = resident()
        task = asyncio.create_task(process.tend_memory())
        for _ in range(500):
            await asyncio.sleep(0.01)
            if held - resident() > 0.8 * size * count:
                break
        task.cancel()
        for block in kept:
            library.free(block)
        return held - resident()

    assert asyncio.run(returned()) > 0.8 * size * count


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    monkeypatch.setattr(process, "TRIM_S", 0.001)

    async def tended() -> bool:
        task = asyncio.create_task(process.tend_memory())
        await asyncio.sleep(0.05)
        ended = task.done()
        task.cancel()
        return ended

    assert not asyncio.run(tended())


def test_the_collector_passes_over_what_was_there_at_the_start() -> None:
    async def tended() -> int:
        task = asyncio.create_task(process.tend_memory())
        await asyncio.sleep(0)
        kept = gc.get_freeze_count()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return kept

    assert asyncio.run(tended()) > 1000
    assert gc.get_freeze_count() == 0


def test_what_has_become_garbage_is_not_kept() -> None:
    class Cycle:
        me: "Cycle"

    cycle = Cycle()
    cycle.me = cycle
    gone = weakref.ref(cycle)
    try:
        process.settle()
        del cycle
        gc.collect()
        assert gone() is not None  # passed over
        process.settle()
        assert gone() is None
    finally:
        gc.unfreeze()


def test_grpc_still_has_the_listener_that_is_asked_for() -> None:
    """A release without it says so, and takes its own."""
    command = [sys.executable, "-c", LISTEN]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    wrong = subprocess.run(
        command, cwd=ROOT, env={"GRPC_EXPERIMENTS": "-x"}, capture_output=True, text=True, check=True
    )
    assert "Unknown experiment: x" in wrong.stderr, "what is set already is kept"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells threads apart")
@pytest.mark.parametrize(
    ("cores", "own", "grpcs"),
    [(1, os.SCHED_OTHER, os.SCHED_BATCH), (2, os.SCHED_OTHER, os.SCHED_OTHER), (1, os.SCHED_IDLE, os.SCHED_IDLE)],
)
def test_on_a_single_core_grpcs_threads_interrupt_no_other(cores: int, own: int, grpcs: int) -> None:
    if len(os.sched_getaffinity(0)) < cores:
        pytest.skip("one core")
    command = [sys.executable, "-c", POLICIES, str(cores), str(own)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.split() == ["True", str(grpcs), str(own)]
