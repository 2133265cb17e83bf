"""Outlook: how long a row would wait that came now, and which calls are refused for it."""

import asyncio
from collections.abc import Callable
from typing import Any

from tianzi_models.errors import DeadlineExceeded, Overloaded
from tianzi_service.scheduling.admission import Admission, Kind
from tianzi_service.scheduling.batcher import Batcher
from tianzi_service.telemetry.observer import Reason

CAUTION = 1.5
"""How many times the expected wait a call's time must be. Half of those that had just enough came too late under
overload, and what was computed for them was lost."""
NARROW_S = 0.05
"""A wait from which on single calls are asked about before they are read."""


class Outlook:
    """Of one version of a model; a rpc.load_shedding.Gate. The methods belong to the event loop's thread."""

    def __init__(
        self, name: str, admission: Admission, batcher: Batcher[Any, Any], drop: Callable[[int, Reason], None]
    ) -> None:
        """drop: is told how many rows are refused, and why."""
        self._name = name
        self._admission = admission
        self._batcher = batcher
        self._drop = drop

    def is_narrow(self) -> bool:
        """Whether single calls may be refused now, by their deadlines or for lack of room."""
        few = self._admission.rows < 2
        return not few and (not self._admission.fits(Kind.UNARY) or self._wait_s(True) > NARROW_S)

    def require(self, deadline_s: float | None) -> None:
        """Raises what a single call with this deadline is refused with, whatever is in it: DeadlineExceeded,
        Overloaded."""
        self.require_time(1, Kind.UNARY, deadline_s)
        self.require_room(1, Kind.UNARY)

    def require_room(self, rows: int, kind: Kind, size_bytes: int = 0) -> None:
        """Raises Overloaded unless the first row of a call of so many would be admitted at once."""
        try:
            self._admission.require(kind, 1, size_bytes)
        except Overloaded:
            self._drop(rows, "full")
            raise

    def require_time(self, rows: int, kind: Kind, deadline_s: float | None) -> None:
        """Raises DeadlineExceeded where the answer would be late: refused at once, a caller has time to ask another."""
        if deadline_s is None or kind is Kind.STREAM:
            return
        left_s = deadline_s - asyncio.get_running_loop().time()
        wait_s = self._wait_s(kind is Kind.UNARY)
        if CAUTION * wait_s >= left_s:
            self._drop(rows, "hopeless")
            times = f"about {wait_s:.3f} s until its answer, the deadline is in {left_s:.3f} s"
            raise DeadlineExceeded(f"model {self._name}: {times}")

    def _wait_s(self, urgent: bool) -> float:
        unseen = max(0, self._admission.rows - self._batcher.rows)  # rows that are being preprocessed
        return self._batcher.expected_s(urgent, unseen)
