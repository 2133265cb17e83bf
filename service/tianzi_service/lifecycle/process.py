"""What a server needs of the system: port, memory and signals."""

import asyncio
import contextlib
import ctypes
import gc
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tianzi_service.settings import address

SWITCH_S = 0.0001
"""How long a thread keeps the interpreter's lock that another waits for. The event loop gives it away in every call and
wants it back at once; by default a thread that segments a text keeps it for 5 ms each time, and under load calls are
then not even refused in time."""
M_ARENA_MAX, ARENAS = -8, 2
"""Of glibc's mallopt. By default each thread allocates from an arena of its own, up to eight a core, and what one frees
no other uses: for requests of many sizes that was a tenth of the memory. Python's lock lets few allocate at once."""
M_MMAP_THRESHOLD, MAPPED_BYTES = -3, 128 * 1024
"""Of the same. A block from this size on has pages of its own, which go back when it is freed. By default the size
grows to 32 MiB with what is freed, and pictures large and small leave holes between what stays: 22 to 30 MiB of them,
3 to 4 MiB so."""
TRIM_S = 10.0
"""How often free memory goes back to the system. Between blocks in use glibc keeps for good what a busy moment took,
and each busier one takes more. To give it back takes 1 to 10 ms, in which who allocates waits."""


def prepare_process() -> None:
    """What holds for the whole process, before it starts threads."""
    sys.setswitchinterval(SWITCH_S)
    with contextlib.suppress(OSError, AttributeError):  # another C library than glibc
        mallopt = ctypes.CDLL(None).mallopt
        if "MALLOC_ARENA_MAX" not in os.environ:
            mallopt(M_ARENA_MAX, ARENAS)
        if "MALLOC_MMAP_THRESHOLD_" not in os.environ:
            mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES)


def settle() -> None:
    """Spares Python's collector what is in memory now: of vocabularies and classes a full pass takes 25 ms, in which no
    call goes on, and busy calls brought one about twice a second."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def tend_memory() -> None:
    """Settles, then gives free memory back every TRIM_S, where the C library can, until cancelled."""
    settle()
    trim = None
    with contextlib.suppress(OSError, AttributeError):
        trim = ctypes.CDLL(None).malloc_trim
    try:
        while True:
            await asyncio.sleep(TRIM_S)
            if trim is not None:
                await asyncio.to_thread(trim, 0)
    finally:
        gc.unfreeze()


def require_port(host: str, port: int) -> None:
    """Raises OSError, which says why, where nothing can listen on the address: gRPC's own error names no cause."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise OSError(f"cannot listen on {address(host, port)}: {error.strerror}") from None


@contextmanager
def held_port(host: str, port: int) -> Iterator[int]:
    """Keeps the port ours while servers come and go; none but they can share it. Gives its number."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))  # never listens, so that the kernel gives it no connection
        yield int(held.getsockname()[1])


def events_of_signals() -> tuple[asyncio.Event, asyncio.Event]:
    """An event that SIGTERM or SIGINT sets, and one that SIGHUP sets.

    Needed from the start on: as PID 1 a process has no default handlers, and SIGHUP's would end any other.
    """
    loop = asyncio.get_running_loop()
    stop, reload = asyncio.Event(), asyncio.Event()

    def on_interrupt() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, on_interrupt)
    loop.add_signal_handler(signal.SIGHUP, reload.set)
    return stop, reload
