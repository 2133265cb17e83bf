"""One of several servers: its life in a process that lifecycle.supervisor spawned."""

import contextlib
import os
import signal
import threading
from multiprocessing.connection import Connection

from tianzi_service.lifecycle.failure import failure
from tianzi_service.lifecycle.heartbeat import Teller
from tianzi_service.settings import Settings


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
