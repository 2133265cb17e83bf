"""Threads that preprocess requests, and hand back what they have done by and by rather than one at a time."""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from tianzi_service.scheduling.admission import Kind
from tianzi_service.scheduling.outcome import holdable
from tianzi_service.scheduling.thread_priority import give_way

Result = TypeVar("Result")

HAND_BACK_S = 0.002
"""A thread that has more to do hands back after so long. Each waking of the event loop costs what preprocessing a
small crop does; 2 ms is little against a run of the network."""


class _Task(NamedTuple):
    """A call to make, and who waits for it."""

    work: Callable[..., Any]
    args: tuple[Any, ...]
    future: "asyncio.Future[Any]"


class Crew:
    """Some threads with one queue. run() belongs to the event loop's thread."""

    def __init__(self, count: int, name: str) -> None:
        """Belongs to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"{name}_{n}", daemon=True) for n in range(count)]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[..., Result], *args: Any) -> Result:
        """Calls work in one of the threads; if this is cancelled before its turn, not at all."""
        future: asyncio.Future[Result] = self._loop.create_future()
        self._tasks.put(_Task(work, args, future))
        return await future

    def shutdown(self) -> None:
        """Waits until what was asked for is done. Nothing may be asked for afterwards."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        give_way()
        while (task := self._tasks.get()) is not None:
            done: list[tuple[_Task, Any, Exception | None]] = []
            hand_back = time.perf_counter() + HAND_BACK_S
            while task is not None:
                if not task.future.done():  # else its caller has left
                    done.append(_done(task))
                task = self._next() if time.perf_counter() < hand_back else None
            self._loop.call_soon_threadsafe(_hand_back, done)
            del done  # the last request, and a model that was taken out of service, are not kept until the next comes

    def _next(self) -> _Task | None:
        """The next task, if there is one at once."""
        try:
            task = self._tasks.get_nowait()
        except Empty:
            return None
        if task is None:
            self._tasks.put(None)  # it ends a thread, and this one looks again
        return task


class Threads:
    """Single calls do not queue behind the rows of batches and streams."""

    def __init__(self, count: int) -> None:
        """Belongs to the running event loop."""
        self.count = count
        self._urgent = Crew(count, "preprocess")
        self._bulk = Crew(count, "preprocess-bulk")

    def of(self, kind: Kind) -> Crew:
        return self._urgent if kind is Kind.UNARY else self._bulk

    def shutdown(self) -> None:
        """Waits until what was asked for is done."""
        self._urgent.shutdown()
        self._bulk.shutdown()


def _done(task: _Task) -> tuple[_Task, Any, Exception | None]:
    try:
        return task, task.work(*task.args), None
    except BaseException as error:
        return task, None, holdable(error)


def _hand_back(done: list[tuple[_Task, Any, Exception | None]]) -> None:
    for (_, _, future), result, error in done:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)
