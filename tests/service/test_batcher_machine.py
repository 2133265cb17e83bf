"""The batcher under any order of events: each row ends exactly once, by its own fate only, and none is run in vain.

The engine runs when the test says so, and the event loop's clock stands still unless the test moves it.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tianzi_models.errors import DeadlineExceeded, InferenceError, ModelNotReady
from tianzi_service.scheduling.batcher import Batcher
from tianzi_service.scheduling.queue import BULK_SHARE, UNLIKE


@dataclass(eq=False)
class Item:
    """A row as the test knows it."""

    number: int
    cost: int
    poison: bool
    urgent: bool
    deadline_s: float | None
    dispatched: bool = False
    expired_waiting: bool = False
    task: "asyncio.Task[list[int | Exception]] | None" = None

    @property
    def waits(self) -> bool:
        return not self.dispatched and self.task is not None and not self.task.done()


class ManualEngine(Executor):
    """Keeps what it is given until the test has it run or die."""

    def __init__(self, on_submit: Callable[[Sequence[Item]], None]) -> None:
        self.job: tuple[Future[Any], Callable[[], Any]] | None = None
        self._on_submit = on_submit

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        assert self.job is None, "one run at a time"
        self._on_submit(args[1])
        self.job = (Future(), lambda: fn(*args, **kwargs))
        return self.job[0]

    def run(self) -> None:
        assert self.job is not None
        (future, work), self.job = self.job, None
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    def die(self, error: BaseException) -> None:
        assert self.job is not None
        (future, _), self.job = self.job, None
        future.set_exception(error)


class ClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is what the test says."""

    now_s = 1000.0

    def time(self) -> float:
        return self.now_s


SETTLED = 80
"""Turns of the event loop after which nothing is left to do, even where each runs one row."""


def run(items: Sequence[Item]) -> list[int]:
    if any(item.poison for item in items):
        raise ZeroDivisionError("poison")
    return [2 * item.number for item in items]


COSTS, POISON = st.sampled_from([1, 2, 3, 8]), st.sampled_from([False, False, False, True])
ROWS = st.lists(st.tuples(COSTS, POISON), min_size=1, max_size=5)


class Batching(RuleBasedStateMachine):
    """Events in any order; what must hold after each, and at the end."""

    @initialize(max_rows=st.integers(1, 6), max_cost=st.integers(1, 24), here_s=st.sampled_from([0.0, 1e9]))
    def begin(self, max_rows: int, max_cost: int, here_s: float) -> None:
        self.loop = ClockLoop()
        self.errors: list[Any] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context.get("exception", context)))
        self.engine = ManualEngine(self.dispatched)
        self.max_rows, self.max_cost = max_rows, max_cost
        self.items: list[Item] = []
        self.tasks: list[tuple[asyncio.Task[list[int | Exception]], list[Item]]] = []
        self.left: set[asyncio.Task[Any]] = set()
        self.passed_over = 0
        self.losses: list[str] = []
        self.ended = self.settled = False
        self.closing: asyncio.Task[None] | None = None

        async def make() -> Batcher[Item, int]:
            lost = lambda: self.losses.append("lost")  # noqa: E731
            options = {"max_cost": max_cost, "engine": self.engine, "here_s": here_s, "clock": self.loop.time}
            return Batcher(self.run, max_rows, on_lost=lost, **options)

        self.batcher = self.loop.run_until_complete(make())

    def run(self, items: Sequence[Item]) -> list[int]:
        """A run in the engine, or in the event loop, of which the engine does not tell."""
        if not items[0].dispatched:
            self.dispatched(items)
        return run(items)

    def settle(self, turns: int = SETTLED) -> None:
        """Lets the event loop turn; so often that nothing is left to do, or less."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turn())
        self.settled = turns == SETTLED
        for error in self.errors:  # of callbacks, which the loop would only log
            raise AssertionError(error) from error

    # --- what happens ---------------------------------------------------------------------------

    @rule(
        rows=ROWS.map(lambda rows: rows[:5]),
        urgent=st.booleans(),
        time_s=st.none() | st.integers(0, 3),
        turn=st.booleans(),
    )
    def arrive(self, rows: list[tuple[int, bool]], urgent: bool, time_s: int | None, turn: bool) -> None:
        deadline_s = None if time_s is None else self.loop.now_s + time_s
        first = len(self.items)
        items = [Item(first + n, cost, poison, urgent, deadline_s) for n, (cost, poison) in enumerate(rows)]
        costed = [(item, item.cost) for item in items]
        task = self.loop.create_task(self.batcher.submit_many(costed, urgent=urgent, deadline_s=deadline_s))
        for item in items:
            item.task = task
        self.items += items
        self.tasks.append((task, items))
        self.settled = False
        if turn:
            self.settle()

    @precondition(lambda self: self.tasks)
    @rule(which=st.integers(0), turn=st.booleans())
    def cancel(self, which: int, turn: bool) -> None:
        task, _ = self.tasks[which % len(self.tasks)]
        if task.cancel():
            self.left.add(task)
            self.settled = False
        if turn:
            self.settle()

    @rule(seconds=st.integers(1, 3))
    def time_passes(self, seconds: int) -> None:
        self.loop.now_s += seconds

    @rule(turns=st.integers(1, 3))
    def some_turns(self, turns: int) -> None:
        self.settle(turns)

    @precondition(lambda self: self.engine.job)
    @rule()
    def engine_runs(self) -> None:
        self.engine.run()
        self.settle()

    @precondition(lambda self: self.engine.job)
    @rule(error=st.sampled_from([ModelNotReady("CUDA is gone"), SystemExit(1), RuntimeError("the thread has ended")]))
    def engine_dies(self, error: BaseException) -> None:
        self.ended = True
        self.engine.die(error)
        self.settle()

    @precondition(lambda self: self.closing is None)
    @rule()
    def shutdown(self) -> None:
        self.ended = True
        self.closing = self.loop.create_task(self.batcher.close())
        self.settle()

    # --- what must hold -------------------------------------------------------------------------

    def dispatched(self, items: Sequence[Item]) -> None:
        """A run begins."""
        waiting = [item for item in self.items if item.waits and item not in items]
        assert 1 <= len(items) <= self.max_rows
        costs = [item.cost for item in items]
        assert len(items) == 1 or len(items) * max(costs) <= self.max_cost
        assert max(costs) <= UNLIKE * min(costs)
        for item in items:
            assert not item.dispatched, "run twice"
            assert item.task not in self.left, "nobody waits for it"
            assert item.deadline_s is None or item.deadline_s > self.loop.now_s, "too late"
            older = [w for w in waiting if w.urgent == item.urgent and w.cost == item.cost and w.number < item.number]
            assert not [w for w in older if w.task not in self.left and not self.expired(w)], "before an older one"
            item.dispatched = True
        bulk_waits = any(not w.urgent and w.task not in self.left and not self.expired(w) for w in waiting)
        has_bulk = any(not item.urgent for item in items)
        self.passed_over = self.passed_over + 1 if bulk_waits and not has_bulk else 0
        assert self.passed_over < BULK_SHARE, "bulk starves"
        urgent_fits = [
            w
            for w in waiting
            if w.urgent and w.task not in self.left and not self.expired(w)
            and max(*costs, w.cost) <= UNLIKE * min(*costs, w.cost)
            and (len(items) + 1) * max(*costs, w.cost) <= self.max_cost
        ]  # fmt: skip
        if urgent_fits:
            assert sum(not item.urgent for item in items) <= max(1, self.max_rows // BULK_SHARE), "bulk goes before"

    def expired(self, item: Item) -> bool:
        """Whether the deadline has passed, or may be thought to pass during the run."""
        return item.deadline_s is not None and (item.deadline_s <= self.loop.now_s or self.batcher._unit_s > 0)

    @invariant()
    def an_idle_engine_leaves_nobody_waiting(self) -> None:
        if self.settled and self.engine.job is None:
            assert not [item for item in self.items if item.waits]

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            try:
                self.end()
            finally:
                self.loop.close()

    def end(self) -> None:
        """Lets the engine run until nothing is left, closes, and looks at every row."""
        self.settle()
        while self.engine.job is not None:
            self.engine.run()
            self.settle()
        closing = self.closing or self.loop.create_task(self.batcher.close())
        self.loop.run_until_complete(closing)
        for task, items in self.tasks:
            assert task.done(), "still waiting"
            self.check(task, items)
        assert len(self.losses) <= 1
        assert not self.batcher.rows

    def check(self, task: "asyncio.Task[list[int | Exception]]", items: list[Item]) -> None:
        """Each row's end is one that its own fate allows."""
        if task in self.left:
            assert task.cancelled()
            return
        for item, outcome in zip(items, task.result(), strict=True):
            if item.dispatched and not self.ended:
                assert isinstance(outcome, InferenceError) if item.poison else outcome == 2 * item.number
            elif isinstance(outcome, DeadlineExceeded):
                assert self.expired(item)
                assert not item.dispatched
            elif isinstance(outcome, ModelNotReady):
                assert self.ended
            elif item.poison:
                assert isinstance(outcome, InferenceError)
            else:
                assert outcome == 2 * item.number


QUIET = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


def test_any_order_of_events() -> None:
    run_state_machine_as_test(Batching, settings=settings(max_examples=40, stateful_step_count=25, **QUIET))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_thousands_of_orders_of_events() -> None:
    run_state_machine_as_test(Batching, settings=settings(max_examples=3000, stateful_step_count=30, **QUIET))
