"""Stories told of others: a document's repeated nouns give way to words like them, so that few stories teach more."""

from dataclasses import dataclass

import numpy as np

from tianzi_training.cloze.data.vocabulary import Vocabulary

LIKE = 10  # words that a word may give way to
CHUNK = 2000


@dataclass(frozen=True)
class Alike:
    """For each noun with a vector the LIKE nearest nouns. types: (S,) of a Vocabulary, ascending. like: (S, LIKE)."""

    types: np.ndarray
    like: np.ndarray


def find_alike(vocabulary: Vocabulary, vectors: np.ndarray) -> Alike:
    """vectors: (words, width) of the lexicon."""
    types = np.flatnonzero((vocabulary.word >= 0) & vocabulary.noun)
    if len(types) <= LIKE:
        return Alike(np.empty(0, np.int64), np.empty((0, LIKE), np.int64))
    own = vectors[vocabulary.word[types]]
    directions = own / np.linalg.norm(own, axis=1, keepdims=True).clip(min=1e-9)
    nearest = np.empty((len(types), LIKE), np.int64)
    for start in range(0, len(types), CHUNK):
        near = directions[start : start + CHUNK] @ directions.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        nearest[start : start + CHUNK] = np.argpartition(-near, LIKE, axis=1)[:, :LIKE]
    return Alike(types, types[nearest])


def replace_nouns(rng: np.random.Generator, ids: np.ndarray, alike: Alike, noun: np.ndarray, most: float) -> np.ndarray:
    """The document (T,) with up to a share `most` of its repeated nouns replaced, each everywhere by the same other.

    No replacement stands in the document already: two who act stay two.
    """
    if not len(alike.types):
        return ids
    types, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    rows = np.searchsorted(alike.types, types).clip(max=len(alike.types) - 1)
    able = noun[types] & (counts >= 2) & (alike.types[rows] == types)
    chosen = np.flatnonzero(able & (rng.random(len(types)) < most * rng.random()))
    taken, replaced = set(types.tolist()), types.copy()
    for i in chosen:
        other = int(alike.like[rows[i], rng.integers(LIKE)])
        if other not in taken:
            taken.add(other)
            replaced[i] = other
    return replaced[inverse]
