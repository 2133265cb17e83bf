"""One of several servers, in a process that lifecycle.supervisor spawned: its life, and what it tells of itself."""

import asyncio
import contextlib
import os
import signal
import threading
from enum import Enum
from multiprocessing.connection import Connection

from tianzi_service.lifecycle.failure import failure
from tianzi_service.settings import Settings
from tianzi_service.telemetry.observer import Observer

TURN_S = 1.0


class State(Enum):
    """What a server says of itself: it answers calls, or does not, or its event loop turns."""

    SERVES = 1
    PAUSES = 2
    TURNS = 3


class Teller(Observer):
    """Tells the process that started this one how the server fares."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def serving(self, yes: bool) -> None:
        self._tell(State.SERVES if yes else State.PAUSES)

    async def turn(self) -> None:
        """Tells that the event loop turns, until cancelled."""
        while True:
            await asyncio.sleep(TURN_S)
            self._tell(State.TURNS)

    def _tell(self, state: State) -> None:
        with contextlib.suppress(OSError):  # it has ended: so do we, see _end_with
            self._pipe.send(state)


def work(pipe: Connection, settings: Settings, cores: set[int]) -> None:
    """A server's life, on these cores, or any if there are none.

    It drains when the process that started it ends, however that ends.
    """
    if cores:
        with contextlib.suppress(OSError):  # forbidden, or a core has gone: the kernel chooses
            os.sched_setaffinity(0, cores)
    from tianzi_service.lifecycle.server import run

    threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
    try:
        run(settings, Teller(pipe))
    except Exception as error:
        pipe.send(failure(error))


def _end_with(pipe: Connection) -> None:
    try:
        pipe.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
