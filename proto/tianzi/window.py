"""Window: the items that a stream has taken in and not given back; answers come in any order, and leave in theirs."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from tianzi.calls import Call
from tianzi.errors import (
    DeadlineExceeded,
    InternalError,
    NotFound,
    TianziError,
    Unauthenticated,
    Unavailable,
    from_status,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

ENDS_THE_STREAM = (NotFound, Unauthenticated, Unavailable)
"""Errors of an item that every later item would meet, too."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between a stream that broke and the next, doubled each time."""


class Slot(Generic[Result]):
    """One item's place."""

    call: Call[Result]
    result: Result | TianziError | None = None


class Window(Generic[Item, Result]):
    """At most `size` items."""

    def __init__(self, make_call: Callable[[Item], Call[Result]], envelope: Any, size: int) -> None:
        if size < 1:
            raise ValueError(f"window: {size}, must be at least 1")
        self._make_call = make_call
        self._envelope = envelope
        self._size = size
        self._sent = 0
        self._slots: deque[Slot[Result]] = deque()
        self._waiting: dict[str, Slot[Result]] = {}
        self._answered = False
        self._broken_at_s: float | None = None
        self._breaks = 0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def full(self) -> bool:
        return len(self._slots) >= self._size

    @property
    def ready(self) -> bool:
        """Whether the first item has its answer."""
        return self._slots[0].result is not None

    def take(self, item: Item | TianziError) -> Any | None:
        """Takes an item in. Returns the message to send, None where there is nothing to ask."""
        slot: Slot[Result] = Slot()
        self._slots.append(slot)
        try:
            if isinstance(item, TianziError):
                raise item
            slot.call = self._make_call(item)
        except TianziError as error:
            slot.result = error
            return None
        self._sent += 1
        number = str(self._sent)
        self._waiting[number] = slot
        return self._envelope(id=number, request=slot.call.request)

    def accept(self, reply: Any) -> None:
        """Puts an answer into its item's place.

        Raises:
            NotFound, Unauthenticated, Unavailable: the item met what would meet every item; it is still unanswered.
        """
        slot = self._waiting.get(reply.id)
        if slot is None:
            raise InternalError(f"the server answered an item that was not asked: {reply.id!r}")
        match reply.WhichOneof("result"):
            case "ok":
                slot.result = slot.call.read(reply.ok)
            case "error":
                error = from_status(reply.error)
                if isinstance(error, ENDS_THE_STREAM):
                    # A server that stops or loses its engine is there, and will be again.
                    self._answered = self._answered or isinstance(error, Unavailable)
                    raise error
                slot.result = error
            case _:
                slot.result = InternalError("the server's answer holds neither result nor error")
        del self._waiting[reply.id]
        self._answered, self._broken_at_s, self._breaks = True, None, 0

    def pause_s(self, error: TianziError, timeout: float | None) -> float | None:
        """How long to wait before what is unanswered goes to a new stream, now that one broke with this error; None
        where one message may have ended it for all, and each item is to be asked alone.

        Raises:
            NotFound, Unauthenticated: they are what every item would meet.
            Unavailable: the server has never answered, or has been away for `timeout` seconds.
        """
        if isinstance(error, DeadlineExceeded) and self._broken_at_s is not None:
            error = Unavailable(f"the server went away, and then gave {error}")  # whether it is back nobody can tell
        if not isinstance(error, ENDS_THE_STREAM):
            return None
        now_s = time.monotonic()
        self._broken_at_s = self._broken_at_s or now_s
        patient = timeout is None or now_s - self._broken_at_s < timeout
        if not (isinstance(error, Unavailable) and self._answered and patient):
            raise error
        self._breaks += 1
        return min(FIRST_PAUSE_S * 2.0**self._breaks, LONGEST_PAUSE_S)

    def unanswered(self) -> Iterator[Any]:
        """The messages of all items that wait for an answer, to be sent again."""
        for number, slot in self._waiting.items():
            yield self._envelope(id=number, request=slot.call.request)

    def take_unanswered(self) -> Iterator[Slot[Result]]:
        """The items that wait for an answer; of each that one came back for, none is expected any more."""
        for number, slot in list(self._waiting.items()):
            yield slot
            del self._waiting[number]

    def give(self) -> Result | TianziError:
        """Gives the first item's answer back, once ready."""
        result = self._slots.popleft().result
        assert result is not None
        return result
