"""Callers that go before the servers which share their cores, so that calls leave when they are due."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NICE = -15
GROUP = Path("/proc/self/autogroup")
"""Of the session, whose niceness Linux asks before that of its processes, where it groups them so."""


@contextmanager
def going_first() -> Iterator[None]:
    """Lets this process go first meanwhile, and its session, where the system permits.

    A server that was started before, in a session of its own, stays as it is.
    """
    nice, group = os.getpriority(os.PRIO_PROCESS, 0), _group_nice()
    _set(NICE, group and str(NICE))
    try:
        yield
    finally:
        _set(nice, group)


def _group_nice() -> str:
    """The niceness of the session's group; empty where it has none, as the system's first session."""
    try:
        said = GROUP.read_text().split()
    except OSError:
        return ""
    return said[-1] if said else ""


def _set(nice: int, group: str) -> None:
    with contextlib.suppress(OSError):  # it takes a privilege
        os.setpriority(os.PRIO_PROCESS, 0, nice)
    if group:
        with contextlib.suppress(OSError):
            GROUP.write_text(group)
