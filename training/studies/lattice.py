"""The characters of a row from the recogniser's candidates: counted bigrams, and Viterbi's path through them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

SHIFT = 21  # bits of a character's code

Row = Sequence[Mapping[str, float]]
"""Of each place its candidates with the recogniser's confidence, best first."""


@dataclass(frozen=True)
class Counts:
    """Weights of characters as the first of a pair, and of pairs: codes (P,) ascending, weights (P,)."""

    singles: Mapping[str, float]
    codes: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    def pairs(self, before: Sequence[str], after: Sequence[str]) -> npt.NDArray[np.float64]:
        """(A, B): weights of pairs."""
        wanted = _codes(before)[:, None] << SHIFT | _codes(after)[None]
        place = np.minimum(np.searchsorted(self.codes, wanted), len(self.codes) - 1)
        return np.where(self.codes[place] == wanted, self.weights[place], 0.0)


@dataclass(frozen=True)
class Bigrams:
    """P(next | char) = (n(char, next) + μ·Q(next)) / (n(char) + μ).

    Q is uniform (then μ = α·V: the article's add-α), or how often a character stands anywhere.
    """

    counts: Counts
    mu: float
    backed_off: bool = False

    @cached_property
    def total(self) -> float:
        """Weight of all characters, one more for each that is known."""
        return sum(self.counts.singles.values()) + len(self.counts.singles)

    def scores(self, before: Sequence[str], after: Sequence[str]) -> npt.NDArray[np.float64]:
        """(A, B): ln P(b | a)."""
        single = self.counts.singles
        flat = 1 / len(single)
        prior = np.array([(single.get(b, 0.0) + 1) / self.total if self.backed_off else flat for b in after])
        whole = np.array([[single.get(a, 0.0)] for a in before])
        return np.log((self.counts.pairs(before, after) + self.mu * prior) / (whole + self.mu))


def count(texts: Iterable[tuple[str, float]]) -> Counts:
    """Counts of texts, each given with what one of its pairs weighs."""
    codes, weights = [], []
    singles: dict[str, float] = {}
    for text, weight in texts:
        chars = _codes(text)
        for code, number in zip(*(a.tolist() for a in np.unique(chars[:-1], return_counts=True)), strict=True):
            singles[chr(code)] = singles.get(chr(code), 0.0) + weight * number
        found, numbers = np.unique(chars[:-1] << SHIFT | chars[1:], return_counts=True)
        codes.append(found)
        weights.append(numbers * weight)
    merged, place = np.unique(np.concatenate(codes), return_inverse=True)
    return Counts(singles, merged, np.bincount(place, np.concatenate(weights)))


def _codes(text: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.frombuffer("".join(text).encode("utf-32-le"), np.uint32).astype(np.int64)


def viterbi(row: Row, bigrams: Bigrams, weight: float = 1.0, fold: Mapping[int, str] | None = None) -> list[str]:
    """The candidates that maximise Π W(sᵢ)·P(sᵢ₊₁|sᵢ)^weight. fold: how a character stands in the counted text."""
    if not row:
        return []
    places = [list(candidates) for candidates in row]
    known = [[char.translate(fold or {}) for char in place] for place in places]
    score = _logs(row[0])
    back = []
    for i in range(1, len(row)):
        through = score[:, None] + weight * bigrams.scores(known[i - 1], known[i])  # (before, here)
        back.append(through.argmax(0))
        score = through.max(0) + _logs(row[i])
    path = [int(score.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return [place[number] for place, number in zip(places, reversed(path), strict=True)]


def _logs(candidates: Mapping[str, float]) -> npt.NDArray[np.float64]:
    return np.log(np.maximum(list(candidates.values()), 1e-12))
