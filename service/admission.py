"""Admission: how many rows and bytes of requests are under way, and who may still come in."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from models.errors import Overloaded
from service.observer import NOBODY, Observer


class Kind(IntEnum):
    """Whose rows. Each may take its share of the room and of that of those before it."""

    STREAM = 0
    BATCH = 1
    UNARY = 2


SHARES = {Kind.STREAM: 0.5, Kind.BATCH: 0.75, Kind.UNARY: 1.0}
"""Streams, which wait for room and so fill all that they may, leave room for batches, and both for single calls."""


@dataclass(eq=False)
class _Ask:
    """What somebody wants to bring in. admitted: done when there is room."""

    kind: Kind
    rows: int
    size_bytes: int
    admitted: "asyncio.Future[None]"


class Admission:
    """Room for rows and bytes of one model. The methods belong to the event loop's thread."""

    def __init__(self, name: str, max_rows: int, max_bytes: int, observer: Observer = NOBODY) -> None:
        """name: of the model, for messages. observer: is told of each change."""
        self._name = name
        self._observer = observer
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        # Of each kind with those before it: the shares lie inside one another.
        self._rows = dict.fromkeys(Kind, 0)
        self._bytes = dict.fromkeys(Kind, 0)
        self._waiting: dict[Kind, deque[_Ask]] = {kind: deque() for kind in Kind}

    @property
    def rows(self) -> int:
        """Rows under way."""
        return self._rows[Kind.UNARY]

    @property
    def size_bytes(self) -> int:
        """Bytes of the requests under way."""
        return self._bytes[Kind.UNARY]

    def share(self, kind: Kind) -> int:
        """Rows that may be under way of this kind and those before it."""
        return max(1, int(SHARES[kind] * self._max_rows))

    @asynccontextmanager
    async def admit(self, kind: Kind, rows: int = 1, size_bytes: int = 0, *, wait: bool = False) -> AsyncIterator[None]:
        """Holds room while the context lasts. wait: for it, in turn, rather than be refused.

        Raises:
            Overloaded: there is no room.
        """
        if wait:
            await self._wait(kind, rows, size_bytes)
        else:
            self.require(kind, rows, size_bytes)
            self._add(kind, rows, size_bytes)
        try:
            yield
        finally:
            self._add(kind, -rows, -size_bytes)
            self._let_in()

    def require(self, kind: Kind, rows: int = 1, size_bytes: int = 0) -> None:
        """Raises Overloaded unless so much would be admitted at once."""
        if self._waiting[kind] or not self._fits_rows(kind, rows):
            raise Overloaded(f"model {self._name}: {self.rows} rows under way, at most {self._max_rows}")
        if not self._fits_bytes(kind, size_bytes):
            held = f"{self.size_bytes} bytes of requests under way"
            raise Overloaded(f"model {self._name}: {held}, at most {self._max_bytes}")

    async def _wait(self, kind: Kind, rows: int, size_bytes: int) -> None:
        ask = _Ask(kind, rows, size_bytes, asyncio.get_running_loop().create_future())
        self._waiting[kind].append(ask)
        self._let_in()
        try:
            await ask.admitted
        except asyncio.CancelledError:
            if ask in self._waiting[kind]:
                self._waiting[kind].remove(ask)
            else:  # let in, but the caller left before it noticed
                self._add(kind, -rows, -size_bytes)
            self._let_in()
            raise

    def _let_in(self) -> None:
        """Admits those that wait, of each kind in turn: the kind with the smaller share goes first."""
        for kind, waiting in self._waiting.items():
            while waiting and self._fits_rows(kind, waiting[0].rows) and self._fits_bytes(kind, waiting[0].size_bytes):
                ask = waiting.popleft()
                self._add(kind, ask.rows, ask.size_bytes)
                if not ask.admitted.done():
                    ask.admitted.set_result(None)

    def _fits_rows(self, kind: Kind, rows: int) -> bool:
        wider = [other for other in Kind if other >= kind]
        return all(self._rows[other] + rows <= self.share(other) for other in wider)

    def _fits_bytes(self, kind: Kind, size_bytes: int) -> bool:
        """One request alone always fits, or it would wait for ever."""
        wider = [other for other in Kind if other >= kind]
        limits = {other: SHARES[other] * self._max_bytes for other in wider}
        return all(not self._bytes[o] or self._bytes[o] + size_bytes <= limits[o] for o in wider)

    def _add(self, kind: Kind, rows: int, size_bytes: int) -> None:
        for other in Kind:
            if other >= kind:
                self._rows[other] += rows
                self._bytes[other] += size_bytes
        self._observer.under_way(self._name, self.rows, self.size_bytes)
