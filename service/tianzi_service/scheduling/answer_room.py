"""AnswerRoom: whether a call's answers will fit in a message, told before they are computed."""

import threading
from collections.abc import Callable
from typing import Any, NamedTuple

from tianzi_models.cloze.text import ClozeItem
from tianzi_models.errors import InvalidInput

CANDIDATE_BYTES, BLANK_BYTES, ITEM_BYTES = 12, 96, 96
"""Of a message beside its texts and positions: tags, lengths, numbers; and something to spare."""


class AnswerSizes(NamedTuple):
    """bound: the most bytes that the answer to an item takes; None where that is little. limit: of a message."""

    bound: Callable[[Any], int] | None = None
    limit: int = 0

    def room(self) -> "AnswerRoom":
        """Of one call."""
        return AnswerRoom(self)


class AnswerRoom:
    """What is left of a message for a call's further answers. Threads may take of it at the same time."""

    def __init__(self, sizes: AnswerSizes) -> None:
        self._sizes = sizes
        self._left = sizes.limit
        self._lock = threading.Lock()

    def take(self, item: Any) -> None:
        """Keeps room for an item's answer.

        Raises:
            InvalidInput: it might not fit.
        """
        if self._sizes.bound is None:
            return
        size = self._sizes.bound(item)
        with self._lock:
            if size <= self._left:
                self._left -= size
                return
        limit = self._sizes.limit
        seen = f"of up to {size} bytes" if size > limit else f"of up to {size} bytes beside those of the same call"
        raise InvalidInput(
            "answer", f"{seen}, at most {limit} in one message; ask for fewer candidates, blanks or items at a time"
        )


def cloze_answer_bytes(item: ClozeItem) -> int:
    """An upper bound: each blank answered with the candidates that take the most."""
    span = 10  # two numbers under 2²¹ with their tags
    sizes = [CANDIDATE_BYTES + 4 * len(text) + span * len(places) for text, places in item.candidates]
    if len(sizes) > item.top_k:
        sizes = sorted(sizes, reverse=True)[: item.top_k]
    return ITEM_BYTES + len(item.blanks) * (BLANK_BYTES + sum(sizes))
