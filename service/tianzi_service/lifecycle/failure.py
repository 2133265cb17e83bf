"""Why a spawned process cannot go on, as it tells the one that started it."""

import traceback
from typing import NamedTuple

OURS = ("tianzi_models", "tianzi_service", "tianzi")


class Failure(NamedTuple):
    """Why a process cannot go on. known: message is for the user, else a traceback."""

    message: str
    known: bool


def failure(error: Exception) -> Failure:
    """What is told of the error that is being handled."""
    known = isinstance(error, OSError) or type(error).__module__.partition(".")[0] in OURS
    return Failure(str(error) if known else traceback.format_exc(), known)
