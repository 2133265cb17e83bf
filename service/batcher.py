"""Batcher: gathers rows of many callers into runs of one engine, and keeps each row's fate its own.

An idle engine takes what there is at once; while it runs, rows gather. Nothing is held back to wait for more.
Every row ends exactly once: with its output, its own error, its caller's cancellation, or ModelNotReady.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from models.errors import InferenceError, ModelNotReady, TianziError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Output = TypeVar("Output")


@dataclass(eq=False, slots=True)
class _Row(Generic[Item, Output]):
    """One item, and the future that its caller awaits. The future is done as soon as the caller has left."""

    item: Item
    future: "asyncio.Future[Output]"

    def end(self, outcome: Output | Exception) -> None:
        if self.future.done():
            return
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
            self.future.exception()  # a caller that leaves right now would have asyncio complain that nobody looked
        else:
            self.future.set_result(outcome)


class Batcher(Generic[Item, Output]):
    """Runs rows of all callers in batches, on one thread that belongs to the engine.

    It accepts every row while it is open: who submits bounds how many there are. The methods belong to the event
    loop's thread.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Output]],
        max_rows: int,
        name: str = "engine",
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """run: items → outputs, in order; ModelNotReady from it means that the engine is lost for good.

        max_rows: rows of one run at most. on_lost: called once, in the event loop, when the engine is lost.
        """
        self._run = run
        self._max_rows = max_rows
        self._name = name
        self._on_lost = on_lost
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        # A dict for its order, and because a row whose caller leaves is taken out of the middle.
        self._waiting: dict[_Row[Item, Output], None] = {}
        self._running: list[_Row[Item, Output]] = []
        self._engine: asyncio.Future[list[Output | Exception]] | None = None
        self._closed = ""

    async def submit(self, item: Item) -> Output:
        """Runs one item together with others. A cancelled call takes its row out, unless that is running already.

        Raises:
            ModelNotReady: the batcher was closed or its engine lost, before this call or during it.
            InferenceError: run failed on this very item.
        """
        if self._closed:
            raise ModelNotReady(self._closed)
        loop = asyncio.get_running_loop()
        row: _Row[Item, Output] = _Row(item, loop.create_future())
        self._waiting[row] = None
        if self._engine is None:
            loop.call_soon(self._dispatch)  # soon, not now: rows submitted in this same turn of the loop go along
        try:
            return await row.future
        finally:
            self._waiting.pop(row, None)

    async def close(self) -> None:
        """Fails all rows that have not ended with ModelNotReady, then waits for the engine to end its run."""
        self._fail_all("shutting down")
        if self._engine is not None:
            await asyncio.wait([self._engine])
        self._thread.shutdown()

    def _dispatch(self) -> None:
        """Gives the engine the oldest rows that somebody waits for, if it is idle."""
        if self._engine is not None or self._closed:
            return
        rows = list(islice((row for row in self._waiting if not row.future.done()), self._max_rows))
        if not rows:
            return
        for row in rows:
            del self._waiting[row]
        self._running = rows
        items = [row.item for row in rows]
        self._engine = asyncio.get_running_loop().run_in_executor(self._thread, outcomes, self._run, items)
        self._engine.add_done_callback(self._finish)

    def _finish(self, engine: "asyncio.Future[list[Output | Exception]]") -> None:
        """Hands each row its outcome, and goes on with those that have gathered."""
        self._engine = None
        lost = engine.exception()
        if lost is not None:
            self._lose(lost)
        else:
            for row, outcome in zip(self._running, engine.result(), strict=True):
                row.end(outcome)
        self._running = []
        self._dispatch()

    def _lose(self, cause: BaseException) -> None:
        if not self._closed:
            logger.critical("%s: engine lost", self._name, exc_info=cause)
            self._on_lost()
        self._fail_all("its engine is lost")

    def _fail_all(self, reason: str) -> None:
        self._closed = self._closed or f"model {self._name}: {reason}"
        for row in [*self._running, *self._waiting]:
            row.end(ModelNotReady(self._closed))


def outcomes(run: Callable[[Sequence[Item]], Sequence[Output]], items: Sequence[Item]) -> list[Output | Exception]:
    """Each item's output, or the error that it makes run raise even alone: when run raises, each half is tried again.

    Raises:
        ModelNotReady: the engine is lost; there is nothing to try again.
    """
    try:
        outputs = run(items)
        if len(outputs) != len(items):
            raise InferenceError(f"{len(outputs)} outputs for {len(items)} items")
        return list(outputs)
    except ModelNotReady:
        raise
    except Exception as error:
        if len(items) == 1:
            return [error if isinstance(error, TianziError) else _as_inference_error(error)]
    half = len(items) // 2
    return outcomes(run, items[:half]) + outcomes(run, items[half:])


def _as_inference_error(error: Exception) -> InferenceError:
    """Also because a future takes any exception but StopIteration."""
    wrapped = InferenceError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
