"""What a text prints for its blanks to choose among, which is no part of the text that a reader learns from."""

from bisect import bisect, bisect_left
from collections.abc import Sequence, Set
from dataclasses import dataclass

from tianzi_models.cloze.reading.marks import Mark
from tianzi_models.cloze.reading.options import Option, find_lists, owners
from tianzi_models.cloze.reading.word_bank import find_banks


@dataclass(frozen=True)
class Printed:
    """spans: [start, end) that are no text, ascending, apart from each other. options: of each blank, () for none."""

    spans: tuple[tuple[int, int], ...]
    options: tuple[tuple[Option, ...], ...]


def find_printed(text: str, marks: Sequence[Mark], given: Set[str] = frozenset()) -> Printed:
    """The lettered options and word banks of a text. marks: its blanks. given: the request's candidates.

    A blank that has options of its own takes no words of a bank.
    """
    lists = owners(find_lists(text, marks), marks)
    owned = sorted({span for one in lists.values() for span in one.spans})
    starts = [start for start, _ in owned]
    banks = [
        bank for bank in find_banks(text, marks, given) if bisect(starts, bank.start) == bisect_left(starts, bank.end)
    ]
    spans = sorted({*owned, *((bank.start, bank.end) for bank in banks)})
    first = [bank.start for bank in banks]
    options = [
        tuple(lists[i].options if i in lists else banks[max(0, bisect(first, mark.start) - 1)].words if banks else ())
        for i, mark in enumerate(marks)
    ]
    return Printed(tuple(spans), tuple(options))
