"""Cuts a source into parts: what is answered, written and, after a kill, done again at once."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from tianzi_service.score.input.entries import Entry, update, weight
from tianzi_service.score.input.sources import Source

PART_ITEMS = 1024
MAX_PART_BYTES = 64 << 20
"""Of what entries hold: parts of large images have fewer items."""


class Part(NamedTuple):
    """Entries in a row. digest: tells whether a source still gives what it gave. worst: confidences above it are not
    among the least certain any more."""

    number: int
    entries: tuple[Entry, ...]
    digest: str
    worst: float = 1.0


@dataclass(frozen=True)
class Shard:
    """One of count runs that share a source: each takes every count-th item. number: from 1."""

    number: int = 1
    count: int = 1

    def of(self, entries: Iterator[Entry]) -> Iterator[Entry]:
        return islice(entries, self.number - 1, None, self.count)

    def size(self, items: int) -> int:
        """How many of so many items are its own."""
        return len(range(self.number - 1, items, self.count))


def cut(source: Source, shard: Shard, part_items: int) -> Iterator[Part]:
    """The parts of a shard, always the same for the same source."""
    entries: list[Entry] = []
    held = number = 0
    digest = hashlib.sha256()
    for entry in shard.of(source.entries()):
        entries.append(entry)
        held += weight(entry)
        update(digest, entry)
        if len(entries) == part_items or held >= MAX_PART_BYTES:
            yield Part(number, tuple(entries), digest.hexdigest())
            entries, held, number, digest = [], 0, number + 1, hashlib.sha256()
    if entries:
        yield Part(number, tuple(entries), digest.hexdigest())
