"""The arrays that the network reads: of one document, and of a batch, long documents cut into windows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.pieces import END, START

BLANK_CODE, SEPARATOR_CODE, FIRST_CODE = 1, 2, 3
WINDOW_PIECES = 500
"""A document of more pieces is read in windows of so many, which overlap by at least CONTEXT_PIECES on each side."""
CONTEXT_PIECES = 80

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClozeInput:
    """One document, all int64.

    pieces: (L, P) of each word, 0 = padding. counts: (L,) how many pieces each word has. codes: (L,) alike for the same
    words. match: (L,) 1 + the candidate that stands there, 0 = none. blanks: (Q,) positions in L.
    candidate_words: (K,) of the lexicon, -1 for others. candidate_pieces: (K, P). candidate_codes: (K,).
    """

    pieces: Ids
    counts: Ids
    codes: Ids
    match: Ids
    blanks: Ids
    candidate_words: Ids
    candidate_pieces: Ids
    candidate_codes: Ids


def windows(counts: Ids) -> Iterator[tuple[int, int, int, int]]:
    """Which words each window reads, [start, end), and which of them are its own, [first, last): each word is of one.

    counts: (L,) pieces of each word.
    """
    ends = np.cumsum(counts)
    total = int(ends[-1])
    if total <= WINDOW_PIECES:
        yield 0, len(counts), 0, len(counts)
        return
    own = WINDOW_PIECES - 2 * CONTEXT_PIECES
    number = -(-total // own)
    borders = [*np.searchsorted(ends, [total * i / number for i in range(number)]).tolist(), len(counts)]
    for first, last in pairwise(borders):
        before, after = int(ends[first] - counts[first]), int(ends[last - 1])
        start = int(np.searchsorted(ends - counts, before - CONTEXT_PIECES))
        end = int(np.searchsorted(ends, after + CONTEXT_PIECES, side="right"))
        yield start, end, first, last


def collate(inputs: Sequence[ClozeInput]) -> dict[str, Ids]:
    """What the graph takes, padded with 0 (candidate_words with -1).

    pieces: (W, T) of the windows of all documents. first, last: (N, L) where in pieces, flattened, each word's first
    and last piece are. The others are ClozeInput's fields, (N, …).
    """
    rows: list[Ids] = []
    places: list[list[tuple[int, int, int, Ids]]] = []
    for one in inputs:
        own = []
        for start, end, first, last in windows(one.counts):
            counts, pieces = one.counts[start:end], one.pieces[start:end]
            kept = pieces[np.arange(pieces.shape[1]) < counts[:, None]]
            own.append((len(rows), first, last, np.cumsum(counts)[first - start : last - start]))
            rows.append(np.concatenate([[START], kept, [END]]))
        places.append(own)
    width = max(map(len, rows))
    batch = {"pieces": _padded(rows, width)}
    length = max(len(one.counts) for one in inputs)
    batch["first"], batch["last"] = (np.zeros((len(inputs), length), np.int64) for _ in range(2))
    for n, (one, own) in enumerate(zip(inputs, places, strict=True)):
        for row, first, last, ends in own:
            batch["last"][n, first:last] = row * width + ends
            batch["first"][n, first:last] = row * width + ends - one.counts[first:last] + 1
    for name in ("codes", "match", "blanks", "candidate_words", "candidate_pieces"):
        arrays = [getattr(one, name) for one in inputs]
        batch[name] = _padded(arrays, max(1, *map(len, arrays)), -1 if name == "candidate_words" else 0)
    return batch


def _padded(arrays: Sequence[Ids], length: int, value: int = 0) -> Ids:
    padded = np.full((len(arrays), length, *arrays[0].shape[1:]), value, np.int64)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
