"""RowQueue: the rows that wait for an engine, and which of them go together into its next run.

Urgent rows (of calls with one item) go before bulk rows (of batches and streams), the oldest first. Of a run a quarter
is kept for bulk rows, and where none fitted into three runs, the fourth is built around the oldest of them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from tianzi_models.errors import DeadlineExceeded

Item = TypeVar("Item")
Output = TypeVar("Output")

BULK_SHARE = 4
"""One row in so many is bulk, and one run in so many is built around a bulk row, while any waits."""
TOO_LATE = "the deadline would pass, or has passed, before the answer"
"""What a call is told that was taken in, and whose row had to be dropped."""
UNLIKE = 2
"""Rows go into one run when the largest costs at most so many times what the smallest does: all are padded to it."""


class Call(Generic[Item, Output]):
    """What one caller waits for: all of its rows. The future is done as soon as the caller has left."""

    def __init__(self, urgent: bool, deadline_s: float | None, items: Sequence[tuple[Item, int]]) -> None:
        """deadline_s: in the event loop's time; None for none. items: with their costs, see Model.cost."""
        self.urgent = urgent
        self.deadline_s = deadline_s
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rows = [Row(item, cost, self) for item, cost in items]
        self.waiting = self.rows
        self.left = len(self.rows)

    @property
    def ended(self) -> bool:
        return self.future.done()

    def in_time(self, due_s: float) -> bool:
        """Whether an answer at this time would be in time."""
        return self.deadline_s is None or due_s < self.deadline_s


@dataclass(eq=False, slots=True)
class Row(Generic[Item, Output]):
    """One item. cost: see Model.cost. outcome: None until it has ended."""

    item: Item
    cost: int
    call: Call[Item, Output]
    outcome: Output | Exception | None = None

    def end(self, outcome: Output | Exception) -> None:
        """Gives the row its outcome, once; the last of a call's rows wakes the caller."""
        call = self.call
        if self.outcome is None and not call.future.done():
            self.outcome = outcome
            call.left -= 1
            if call.left == 0:
                call.future.set_result(None)


class RowQueue(Generic[Item, Output]):
    """Rows in two lanes. A run has at most max_rows rows, and costs at most max_cost unless one row alone does."""

    def __init__(self, max_rows: int, max_cost: int) -> None:
        self._max_rows = max_rows
        self._max_cost = max_cost
        # Of calls, as their rows come together: to count, take out and ask each row by itself took as long as all
        # else that the queue does. Dicts for their order, and because a call that leaves is taken out of the middle.
        self._urgent: dict[Call[Item, Output], None] = {}
        self._bulk: dict[Call[Item, Output], None] = {}
        self._rows = 0
        self._passed_over = 0
        self.urgent_cost = 0
        self.bulk_cost = 0

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[Row[Item, Output]]:
        for call in [*self._urgent, *self._bulk]:
            yield from call.waiting

    def add(self, call: Call[Item, Output]) -> None:
        """Takes the rows of a call in, behind the others of its lane."""
        self._lane(call)[call] = None
        self._count(call, call.rows, 1)

    def discard(self, call: Call[Item, Output]) -> None:
        """Takes out what of a call's rows waits."""
        lane = self._lane(call)
        if call in lane:
            del lane[call]
            self._count(call, call.waiting, -1)
            call.waiting = []

    def take(self, now_s: float, unit_s: float = 0.0) -> list[Row[Item, Output]]:
        """Takes the rows of the next run out; empty when nobody waits.

        Rows end here whose deadline has passed, or will before such a run ends when a unit of cost takes unit_s.
        """
        run: _Run[Item, Output] = _Run(self._max_cost)
        # A run takes as long as what waits allows it to grow, up to a full one.
        due_s = now_s + unit_s * min(self._max_cost, self.urgent_cost + self.bulk_cost)
        late: list[Row[Item, Output]] = []
        kept = self._max_rows // BULK_SHARE if self._bulk else 0
        if self._bulk and self._passed_over >= BULK_SHARE - 1:
            self._fill(run, self._bulk, 1, due_s, late)
            kept = max(0, kept - 1)
        self._fill(run, self._urgent, self._max_rows - kept, due_s, late)
        self._fill(run, self._bulk, self._max_rows, due_s, late)
        if kept:
            self._fill(run, self._urgent, self._max_rows, due_s, late)
        if not run.rows and late and late[-1].call.in_time(now_s):
            run.take([late.pop()], 1)  # that runs take so long may have been true once only
        for row in late:
            row.end(DeadlineExceeded(TOO_LATE))
        has_bulk = any(not row.call.urgent for row in run.rows)
        self._passed_over = 0 if has_bulk or not self._bulk else self._passed_over + 1
        return run.rows

    def _fill(
        self,
        run: "_Run[Item, Output]",
        lane: dict[Call[Item, Output], None],
        rows: int,
        due_s: float,
        late: list[Row[Item, Output]],
    ) -> None:
        """Moves rows of a lane into the run, up to so many rows in all; into late those that would not be in time."""
        for call in list(lane):
            if run.is_full(rows):
                return
            if call.ended:  # the caller left in this turn of the loop
                self.discard(call)
            elif not call.in_time(due_s):
                late += call.waiting
                self.discard(call)
            else:
                before = len(run.rows)
                call.waiting = run.take(call.waiting, rows)
                self._count(call, run.rows[before:], -1)
                if not call.waiting:
                    del lane[call]

    def _lane(self, call: Call[Item, Output]) -> dict[Call[Item, Output], None]:
        return self._urgent if call.urgent else self._bulk

    def _count(self, call: Call[Item, Output], rows: Sequence[Row[Item, Output]], sign: int) -> None:
        self._rows += sign * len(rows)
        cost = sign * sum([row.cost for row in rows])
        if call.urgent:
            self.urgent_cost += cost
        else:
            self.bulk_cost += cost


class _Run(Generic[Item, Output]):
    """Rows for one run, as they are chosen."""

    def __init__(self, max_cost: int) -> None:
        self.rows: list[Row[Item, Output]] = []
        self._max_cost = max_cost
        self._least = self._most = 0

    def is_full(self, rows: int) -> bool:
        """Whether it takes no row more, of so many in all."""
        return len(self.rows) >= rows or (bool(self.rows) and (len(self.rows) + 1) * self._most > self._max_cost)

    def take(self, offered: list[Row[Item, Output]], rows: int) -> list[Row[Item, Output]]:
        """Adds what it admits, up to so many rows in all, and gives back the rest."""
        rest: list[Row[Item, Output]] = []
        for number, row in enumerate(offered):
            if self.is_full(rows):
                return rest + offered[number:]
            if not self._admits(row.cost):
                rest.append(row)
                continue
            self._least = min(self._least, row.cost) if self.rows else row.cost
            self._most = max(self._most, row.cost)
            self.rows.append(row)
        return rest

    def _admits(self, cost: int) -> bool:
        if not self.rows:
            return True
        least, most = min(self._least, cost), max(self._most, cost)
        return most <= UNLIKE * least and (len(self.rows) + 1) * most <= self._max_cost


def cost_of(rows: Sequence[Row[Item, Output]]) -> int:
    """What a run of these rows costs: their number times the cost of the largest."""
    return len(rows) * max([row.cost for row in rows], default=0)
