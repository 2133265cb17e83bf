"""Batcher: gathers rows of many callers into runs of one engine, and keeps each row's fate its own.

An idle engine takes what there is as soon as a few turns of the event loop bring no more; while it runs, rows gather.
Nothing is held back by the clock to wait for more.
Every row ends exactly once: with its output, its own error, DeadlineExceeded, its caller's leaving, or ModelNotReady.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from typing import Generic, TypeVar

from tianzi_models.errors import ModelNotReady
from tianzi_service.scheduling.engine import EngineThread, outcomes
from tianzi_service.scheduling.queue import BULK_SHARE, Call, Row, RowQueue, cost_of

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Output = TypeVar("Output")

RECENT = 0.2
"""Weight of the newest run in moving averages."""
TURNS = 8
"""Of the event loop, without a newcomer, before an idle engine is given its run. gRPC takes in a call every four or
five turns: without this, a burst of calls would run one by one. They are over in 30 µs when nothing else goes on."""
LAST_TURNS = 2
"""More of them, once the other threads of the core have had it: gRPC's may have taken in calls since."""


class Batcher(Generic[Item, Output]):
    """Runs rows of all callers in batches, on one thread that belongs to the engine.

    It accepts every row while it is open: who submits bounds how many there are. The methods belong to the event
    loop's thread.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Output | Exception]],
        max_rows: int,
        name: str = "engine",
        on_lost: Callable[[], None] = lambda: None,
        *,
        max_cost: int | None = None,
        engine: Executor | None = None,
        here_s: float = 0.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """run: items → outputs or their own errors, in order; raises ModelNotReady when the engine is lost for good.

        max_rows, max_cost: of one run at most; a row over max_cost runs alone. on_lost: called once, in the event
        loop, when the engine is lost. engine: where run is called, else a thread of its own. here_s: runs of one
        row that are expected to take no longer are made in the event loop's thread, unless the row came during a run:
        to hand one over takes as long.
        clock: tells how long runs take; uvloop's own has milliseconds, and stands still in a callback.
        """
        self._run = run
        self._name = name
        self._on_lost = on_lost
        self._engine = engine or EngineThread(name)
        self._max_cost = max_rows if max_cost is None else max_cost
        self._waiting: RowQueue[Item, Output] = RowQueue(max_rows, self._max_cost)
        self._running: list[Row[Item, Output]] = []
        self._running_cost = 0
        self._here_s = here_s
        self._clock = clock
        self._gathering = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._began_s = 0.0
        self._unit_s = 0.0
        self._lately_s = 0.0
        self._row_cost = 0.0
        self._closed = ""

    @property
    def rows(self) -> int:
        """How many rows wait or run."""
        return len(self._waiting) + len(self._running)

    def expected_s(self, urgent: bool, unseen_rows: int = 0) -> float:
        """About when a row would have its answer if it came now, in seconds; 0 while nothing is known or ahead of it.

        unseen_rows: how many more rows are on their way here.
        """
        ahead = self._waiting.urgent_cost + round(unseen_rows * self._row_cost)
        bulk = self._waiting.bulk_cost
        ahead += min(bulk, ahead // (BULK_SHARE - 1)) if urgent else bulk
        running_s = 0.0
        if self._running:
            ran_s = self._clock() - self._began_s
            running_s = max(0.0, self._unit_s * self._running_cost - ran_s)
        # Its own run will be as large as what waits allows.
        return running_s + self._unit_s * (ahead + min(ahead, self._max_cost))

    async def submit(
        self, item: Item, *, cost: int = 1, urgent: bool = True, deadline_s: float | None = None
    ) -> Output:
        """Runs one item together with others. A cancelled call takes its row out, unless that is running already.

        cost: see Model.cost. urgent: to go before rows that are not. deadline_s: in the event loop's time; the row
        is not run after it.

        Raises:
            ModelNotReady: the batcher was closed or its engine lost, before this call or during it.
            DeadlineExceeded: the deadline passed in the queue, or would have during the run.
            InferenceError: run failed on this very item.
        """
        (outcome,) = await self.submit_many([(item, cost)], urgent=urgent, deadline_s=deadline_s)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def submit_many(
        self, items: Sequence[tuple[Item, int]], *, urgent: bool = False, deadline_s: float | None = None
    ) -> list[Output | Exception]:
        """Runs items with their costs, together with others, in as many runs as they need; see submit.

        Returns each item's output, or the error that submit would raise.
        """
        if self._closed or not items:
            return [ModelNotReady(self._closed) for _ in items]
        call: Call[Item, Output] = Call(urgent, deadline_s, items)
        self._waiting.add(call)
        if self._idle.is_set() and not self._gathering:
            self._gathering = True
            asyncio.get_running_loop().call_soon(self._gather, TURNS, len(self._waiting))
        try:
            await call.future
        finally:
            self._waiting.discard(call)
        return [row.outcome for row in call.rows if row.outcome is not None]

    async def close(self) -> None:
        """Fails all rows that have not ended with ModelNotReady, then waits for the engine to end its run."""
        self._fail_all("shutting down")
        await self._idle.wait()
        self._engine.shutdown()

    def _gather(self, turns: int, seen: int, yielded: bool = False) -> None:
        """Dispatches after some turns that bring no row, or once the run is full.

        seen: how many waited a turn ago. yielded: whether other threads had the core since the last came.
        """
        rows = len(self._waiting)
        turns, yielded = (TURNS, False) if rows > seen else (turns - 1, yielded)
        if self._waiting.urgent_cost + self._waiting.bulk_cost < self._max_cost:
            if not turns and not yielded:
                os.sched_yield()
                turns, yielded = LAST_TURNS, True
            if turns:
                asyncio.get_running_loop().call_soon(self._gather, turns, rows, yielded)
                return
        self._gathering = False
        self._dispatch()

    def _dispatch(self, here: bool = True) -> None:
        """Gives the engine its next run, if it is idle. here: whether a lone row may be run in this thread."""
        if not self._idle.is_set() or self._closed or not len(self._waiting):
            return
        loop = asyncio.get_running_loop()
        self._running = self._waiting.take(loop.time(), self._unit_s)
        if not self._running:
            return
        self._running_cost = cost_of(self._running)
        self._began_s = self._clock()
        items = [row.item for row in self._running]
        if here and len(items) == 1 and 0 < self._lately_s * self._running_cost <= self._here_s:
            self._finish(_ended(self._run, items))
            return
        self._idle.clear()
        ending: Future[list[Output | Exception]] = self._engine.submit(outcomes, self._run, items)
        ending.add_done_callback(partial(self._tell, loop))

    def _tell(self, loop: asyncio.AbstractEventLoop, ending: "Future[list[Output | Exception]]") -> None:
        """Called in the engine's thread. A future of asyncio's would take the loop one turn more."""
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits
            loop.call_soon_threadsafe(self._finish, ending.exception() or ending.result())

    def _finish(self, ended: list[Output | Exception] | BaseException) -> None:
        """Hands each row its outcome, and goes on with those that have gathered. ended: outcomes, or the loss."""
        self._idle.set()
        if isinstance(ended, BaseException):
            self._lose(ended)
        else:
            self._learn()
            for row, outcome in zip(self._running, ended, strict=True):
                row.end(outcome)
        self._running = []
        if len(self._waiting):
            # One that has come during a run is not the only one: others can gather while it runs elsewhere.
            asyncio.get_running_loop().call_soon(self._dispatch, False)

    def _learn(self) -> None:
        """Keeps the moving averages of what a row costs and what a unit of cost takes.

        The latter of full runs only, which left others waiting: a lone row costs more than its share of a batch. But
        whatever is faster than believed counts, lest a slow hour have callers refused for ever. What a unit took
        lately, in runs of any size, says whether the next is short.
        """
        cost = self._running_cost / len(self._running)
        self._row_cost = _moved(self._row_cost, cost)
        unit_s = (self._clock() - self._began_s) / max(1, self._running_cost)
        self._lately_s = _moved(self._lately_s, unit_s)
        if len(self._waiting) or unit_s < self._unit_s:
            self._unit_s = _moved(self._unit_s, unit_s)

    def _lose(self, cause: BaseException) -> None:
        if not self._closed:
            logger.critical("%s: engine lost", self._name, exc_info=cause)
            self._on_lost()
        self._fail_all("its engine is lost")

    def _fail_all(self, reason: str) -> None:
        self._closed = self._closed or f"model {self._name}: {reason}"
        for row in [*self._running, *self._waiting]:
            row.end(ModelNotReady(self._closed))


def _moved(average: float, newest: float) -> float:
    """A moving average after one value more; 0: there was none yet."""
    return average + RECENT * (newest - average) if average else newest


def _ended(
    run: Callable[[Sequence[Item]], Sequence[Output | Exception]], items: Sequence[Item]
) -> list[Output | Exception] | BaseException:
    """outcomes(), or what ends the engine, which must not end the event loop."""
    try:
        return outcomes(run, items)
    except BaseException as lost:
        return lost
