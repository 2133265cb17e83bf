"""Admission: how many rows and bytes of requests are under way, and who may still come in."""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType

from tianzi_models.errors import Overloaded
from tianzi_service.telemetry.observer import NOBODY, Observer


class Kind(IntEnum):
    """Whose rows. Each may take its share of the room and of that of those before it."""

    STREAM = 0
    BATCH = 1
    UNARY = 2


SHARES = {Kind.STREAM: 0.5, Kind.BATCH: 0.75, Kind.UNARY: 1.0}
"""Streams, which wait for room and so fill all that they may, leave room for batches, and both for single calls."""


WIDER = {kind: tuple(other for other in Kind if other >= kind) for kind in Kind}
"""In whose room a kind's rows lie."""


@dataclass(eq=False)
class _Ask:
    """What somebody wants to bring in. admitted: done when there is room."""

    kind: Kind
    rows: int
    size_bytes: int
    admitted: "asyncio.Future[None]"


class Held:
    """Room that is given back when the context ends."""

    __slots__ = ("_admission", "_kind", "_rows", "_size_bytes")

    def __init__(self, admission: "Admission", kind: Kind, rows: int, size_bytes: int) -> None:
        self._admission = admission
        self._kind = kind
        self._rows = rows
        self._size_bytes = size_bytes

    def __enter__(self) -> None:
        """The room is held already."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._admission.give_back(self._kind, self._rows, self._size_bytes)


class Admission:
    """Room for rows and bytes of one model. The methods belong to the event loop's thread."""

    def __init__(self, name: str, max_rows: int, max_bytes: int, observer: Observer = NOBODY) -> None:
        """name: of the model, for messages. observer: is told of each change."""
        self._name = name
        self._observer = observer
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        # Of each kind with those before it: the shares lie inside one another.
        self._rows = [0 for _ in Kind]
        self._bytes = [0 for _ in Kind]
        self._most_rows = [max(1, int(SHARES[kind] * max_rows)) for kind in Kind]
        self._most_bytes = [SHARES[kind] * max_bytes for kind in Kind]
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
        return self._most_rows[kind]

    def admit(self, kind: Kind, rows: int = 1, size_bytes: int = 0) -> Held:
        """Holds room until the context ends that is to begin at once.

        Raises:
            Overloaded: there is no room.
        """
        self.require(kind, rows, size_bytes)
        self._add(kind, rows, size_bytes)
        return Held(self, kind, rows, size_bytes)

    async def wait(self, kind: Kind, rows: int = 1, size_bytes: int = 0) -> Held:
        """As admit, but waits for room, in turn, rather than be refused."""
        if self.fits(kind, rows) and self._fits_bytes(kind, size_bytes):
            return self.admit(kind, rows, size_bytes)
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
        return Held(self, kind, rows, size_bytes)

    def give_back(self, kind: Kind, rows: int, size_bytes: int) -> None:
        """Ends what admit or wait began; Held does."""
        self._add(kind, -rows, -size_bytes)
        self._let_in()

    def fits(self, kind: Kind, rows: int = 1) -> bool:
        """Whether so many rows would be admitted at once."""
        return not self._waiting[kind] and self._fits_rows(kind, rows)

    def require(self, kind: Kind, rows: int = 1, size_bytes: int = 0) -> None:
        """Raises Overloaded unless so much would be admitted at once."""
        if not self.fits(kind, rows):
            raise Overloaded(f"model {self._name}: {self.rows} rows under way, at most {self._max_rows}")
        if not self._fits_bytes(kind, size_bytes):
            held = f"{self.size_bytes} bytes of requests under way"
            raise Overloaded(f"model {self._name}: {held}, at most {self._max_bytes}")

    def _let_in(self) -> None:
        """Admits those that wait, of each kind in turn: the kind with the smaller share goes first."""
        for kind, waiting in self._waiting.items():
            while waiting and self._fits_rows(kind, waiting[0].rows) and self._fits_bytes(kind, waiting[0].size_bytes):
                ask = waiting.popleft()
                self._add(kind, ask.rows, ask.size_bytes)
                if not ask.admitted.done():
                    ask.admitted.set_result(None)

    def _fits_rows(self, kind: Kind, rows: int) -> bool:
        for other in WIDER[kind]:  # noqa: SIM110 a generator in all() takes twice as long, several times a row
            if self._rows[other] + rows > self._most_rows[other]:
                return False
        return True

    def _fits_bytes(self, kind: Kind, size_bytes: int) -> bool:
        """One request alone always fits, or it would wait for ever."""
        for other in WIDER[kind]:
            if self._bytes[other] and self._bytes[other] + size_bytes > self._most_bytes[other]:
                return False
        return True

    def _add(self, kind: Kind, rows: int, size_bytes: int) -> None:
        for other in WIDER[kind]:
            self._rows[other] += rows
            self._bytes[other] += size_bytes
        self._observer.under_way(self._name, self.rows, self.size_bytes)
