"""Window: the items that a stream has taken in and not given back; answers come in any order, and leave in theirs."""

from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from tianzi.calls import Call
from tianzi.errors import InternalError, NotFound, TianziError, Unauthenticated, Unavailable, from_status

Item = TypeVar("Item")
Result = TypeVar("Result")

ENDS_THE_STREAM = (NotFound, Unauthenticated, Unavailable)
"""Errors of an item asked alone that every later item would meet, too."""


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
        """Puts an answer into its item's place."""
        slot = self._waiting.pop(reply.id, None)
        if slot is None:
            raise InternalError(f"the server answered an item that was not asked: {reply.id!r}")
        match reply.WhichOneof("result"):
            case "ok":
                slot.result = slot.call.read(reply.ok)
            case "error":
                slot.result = from_status(reply.error)
            case _:
                slot.result = InternalError("the server's answer holds neither result nor error")

    def take_unanswered(self) -> list[Slot[Result]]:
        """The items that a broken stream leaves without an answer; no answer is expected for them any more."""
        slots = list(self._waiting.values())
        self._waiting.clear()
        return slots

    def give(self) -> Result | TianziError:
        """Gives the first item's answer back, once ready."""
        result = self._slots.popleft().result
        assert result is not None
        return result
