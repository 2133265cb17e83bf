"""Stories told of others: a document's repeated nouns give way to words like them, so that few stories teach more."""

from dataclasses import dataclass

import numpy as np

from tianzi_training.cloze.data.lexicon import Lexicon

LIKE = 10  # words that a word may give way to
CHUNK = 2000


@dataclass(frozen=True)
class Alike:
    """For each noun with a vector the LIKE nearest nouns. types: (S,) lexicon types, ascending. like: (S, LIKE)."""

    types: np.ndarray
    like: np.ndarray


def find_alike(lexicon: Lexicon, vectors: np.ndarray) -> Alike:
    """vectors: (words, width) of the lexicon's word vocabulary, NaN for words without one."""
    index = {symbol: i for i, symbol in enumerate(lexicon.types)}
    types = np.array([index[symbol] for symbol in lexicon.words.symbols])
    known = np.flatnonzero(lexicon.noun[types] & ~np.isnan(vectors[:, 0]))
    known = known[np.argsort(types[known])]
    if len(known) <= LIKE:
        return Alike(np.empty(0, np.int64), np.empty((0, LIKE), np.int64))
    directions = vectors[known] / np.linalg.norm(vectors[known], axis=1, keepdims=True)
    nearest = np.empty((len(known), LIKE), np.int64)
    for start in range(0, len(known), CHUNK):
        near = directions[start : start + CHUNK] @ directions.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        nearest[start : start + CHUNK] = np.argpartition(-near, LIKE, axis=1)[:, :LIKE]
    return Alike(types[known], types[known][nearest])


def swap_nouns(rng: np.random.Generator, ids: np.ndarray, alike: Alike, noun: np.ndarray, most: float) -> np.ndarray:
    """The document (T,) with up to a share `most` of its repeated nouns replaced, each everywhere by the same other.

    No replacement stands in the document already: two who act stay two.
    """
    if not len(alike.types):
        return ids
    types, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    rows = np.searchsorted(alike.types, types).clip(max=len(alike.types) - 1)
    able = noun[types] & (counts >= 2) & (alike.types[rows] == types)
    chosen = np.flatnonzero(able & (rng.random(len(types)) < most * rng.random()))
    taken, swapped = set(types.tolist()), types.copy()
    for i in chosen:
        other = int(alike.like[rows[i], rng.integers(LIKE)])
        if other not in taken:
            taken.add(other)
            swapped[i] = other
    return swapped[inverse]
