"""RowQueue: the rows that wait for an engine, and which of them go together into its next run.

Urgent rows (of calls with one item) go before bulk rows (of batches and streams), the oldest first. Of a run a quarter
is kept for bulk rows, and where none fitted into three runs, the fourth is built around the oldest of them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from models.errors import DeadlineExceeded

Item = TypeVar("Item")
Output = TypeVar("Output")

BULK_SHARE = 4
"""One row in so many is bulk, and one run in so many is built around a bulk row, while any waits."""
UNLIKE = 2
"""Rows go into one run when the largest costs at most so many times what the smallest does: all are padded to it."""


class Call(Generic[Item, Output]):
    """What one caller waits for: all of its rows. The future is done as soon as the caller has left."""

    def __init__(self, urgent: bool, deadline_s: float | None) -> None:
        """deadline_s: in the event loop's time; None for none."""
        self.urgent = urgent
        self.deadline_s = deadline_s
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.rows: list[Row[Item, Output]] = []
        self.left = 0

    @property
    def ended(self) -> bool:
        return self.future.done()


@dataclass(eq=False, slots=True)
class Row(Generic[Item, Output]):
    """One item. cost: see Model.cost. outcome: None until it has ended."""

    item: Item
    cost: int
    call: Call[Item, Output]
    outcome: Output | Exception | None = None

    def in_time(self, due_s: float) -> bool:
        """Whether an answer at this time would be in time."""
        return self.call.deadline_s is None or due_s < self.call.deadline_s

    def end(self, outcome: Output | Exception) -> None:
        """Gives the row its outcome, once; the last of a call's rows wakes the caller."""
        if self.outcome is None and not self.call.ended:
            self.outcome = outcome
            self.call.left -= 1
            if self.call.left == 0:
                self.call.future.set_result(None)


class RowQueue(Generic[Item, Output]):
    """Rows in two lanes. A run has at most max_rows rows, and costs at most max_cost unless one row alone does."""

    def __init__(self, max_rows: int, max_cost: int) -> None:
        self._max_rows = max_rows
        self._max_cost = max_cost
        # Dicts for their order, and because a row whose caller leaves is taken out of the middle.
        self._urgent: dict[Row[Item, Output], None] = {}
        self._bulk: dict[Row[Item, Output], None] = {}
        self._passed_over = 0
        self.urgent_cost = 0
        self.bulk_cost = 0

    def __len__(self) -> int:
        return len(self._urgent) + len(self._bulk)

    def __iter__(self) -> Iterator[Row[Item, Output]]:
        yield from [*self._urgent, *self._bulk]

    def add(self, row: Row[Item, Output]) -> None:
        """Takes a row in, behind the others of its lane."""
        self._lane(row)[row] = None
        self._count(row, row.cost)

    def discard(self, row: Row[Item, Output]) -> None:
        """Takes a row out, if it is there."""
        lane = self._lane(row)
        if row in lane:
            del lane[row]
            self._count(row, -row.cost)

    def take(self, now_s: float, unit_s: float = 0.0) -> list[Row[Item, Output]]:
        """Takes the rows of the next run out; empty when nobody waits.

        Rows end here whose deadline has passed, or will before such a run ends when a unit of cost takes unit_s.
        """
        run: _Run[Item, Output] = _Run(self._max_rows, self._max_cost)
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
        if not run.rows and late and late[-1].in_time(now_s):
            run.add(late.pop())  # that runs take so long may have been true once only
        for row in late:
            row.end(DeadlineExceeded("the deadline would pass, or has passed, before the answer"))
        has_bulk = any(not row.call.urgent for row in run.rows)
        self._passed_over = 0 if has_bulk or not self._bulk else self._passed_over + 1
        return run.rows

    def _fill(
        self,
        run: "_Run[Item, Output]",
        lane: dict[Row[Item, Output], None],
        rows: int,
        due_s: float,
        late: list[Row[Item, Output]],
    ) -> None:
        """Moves rows of a lane into the run, up to so many rows in all; into late those that would not be in time."""
        for row in list(lane):
            if len(run.rows) >= rows:
                return
            if row.call.ended:  # the caller left in this turn of the loop
                self.discard(row)
            elif not row.in_time(due_s):
                self.discard(row)
                late.append(row)
            elif run.admits(row):
                self.discard(row)
                run.add(row)

    def _lane(self, row: Row[Item, Output]) -> dict[Row[Item, Output], None]:
        return self._urgent if row.call.urgent else self._bulk

    def _count(self, row: Row[Item, Output], cost: int) -> None:
        if row.call.urgent:
            self.urgent_cost += cost
        else:
            self.bulk_cost += cost


class _Run(Generic[Item, Output]):
    """Rows for one run, as they are chosen."""

    def __init__(self, max_rows: int, max_cost: int) -> None:
        self.rows: list[Row[Item, Output]] = []
        self._max_rows = max_rows
        self._max_cost = max_cost
        self._least = self._most = 0

    def admits(self, row: Row[Item, Output]) -> bool:
        if not self.rows:
            return True
        least, most = min(self._least, row.cost), max(self._most, row.cost)
        return most <= UNLIKE * least and (len(self.rows) + 1) * most <= self._max_cost

    def add(self, row: Row[Item, Output]) -> None:
        self._least = min(self._least, row.cost) if self.rows else row.cost
        self._most = max(self._most, row.cost)
        self.rows.append(row)


def cost_of(rows: Sequence[Row[Item, Output]]) -> int:
    """What a run of these rows costs: their number times the cost of the largest."""
    return len(rows) * max((row.cost for row in rows), default=0)
