"""What one of several servers tells the process that started it: that it answers, and that its event loop turns."""

import asyncio
import contextlib
from enum import Enum
from multiprocessing.connection import Connection

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
        with contextlib.suppress(OSError):  # it has ended: so do we, see worker._end_with
            self._pipe.send(state)
