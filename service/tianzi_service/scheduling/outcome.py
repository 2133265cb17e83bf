"""How a row ends: with an answer, or without one and why."""

import asyncio
from typing import Generic, NamedTuple, TypeVar

from tianzi_models.errors import DeadlineExceeded, InvalidInput, ModelNotReady, Overloaded
from tianzi_service.telemetry.observer import Reason, Timing

Answer = TypeVar("Answer")


class Answered(NamedTuple, Generic[Answer]):
    """An answer, the version of the model that gave it, and where the time went."""

    answer: Answer
    version: int
    timing: Timing


class RowError(Exception):
    """A row of a batch that was to succeed as a whole has failed."""

    def __init__(self, number: int, error: Exception) -> None:
        super().__init__(f"row {number}: {error}")
        self.number = number
        self.error = error


def reason(error: BaseException) -> Reason:
    """Why a row ended that ended with this error."""
    match error:
        case RowError():
            return reason(error.error)
        case asyncio.CancelledError():
            return "cancelled"
        case Overloaded():
            return "full"
        case DeadlineExceeded():
            return "expired"
        case InvalidInput():
            return "invalid"
        case ModelNotReady():
            return "not_ready"
        case _:
            return "failed"


def holdable(error: BaseException) -> Exception:
    """An error as a future takes it, and a row ends with it.

    StopIteration no future takes; SystemExit say must end neither a thread nor the event loop.
    """
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    return RuntimeError(type(error).__name__)
