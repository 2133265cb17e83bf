"""A row of crops as text: what each crop shows, weighed against how characters follow each other."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tianzi_models.bundle import Bundle
from tianzi_models.vocab import Vocab

BIGRAMS, BIGRAM_CHARACTERS = "bigrams.npz", "bigrams.txt"
CANDIDATES = 5
"""Of each crop so many are weighed."""
LEAST = 1e-12
"""A confidence of 0 is a rounded one."""

Place: TypeAlias = Mapping[str, float]
"""A crop's candidates with their confidences, best first."""
Floats: TypeAlias = npt.NDArray[np.float64]


class Bigrams:
    """How often each character follows each: P(b | a) = (n(a, b) + μ/V) / (n(a) + μ), where V characters are known.

    That is add-α smoothing with α = μ/V. An unknown character is followed by, and follows, all alike.
    """

    def __init__(
        self, vocab: Vocab, totals: npt.NDArray[np.float32], keys: npt.NDArray[np.int64], counts: Floats, mu: float
    ) -> None:
        """totals: (V + 2,) n(a) by the vocabulary's ids. keys: (P,) a·(V + 2) + b, ascending. counts: (P,) n(a, b)."""
        self.vocab, self.totals, self.keys, self.counts, self.mu = vocab, totals, keys, counts, mu

    def scores(self, before: Sequence[str], after: Sequence[str]) -> Floats:
        """(A, B): ln P(b | a)."""
        first, second = (np.array(self.vocab.encode(chars), np.int64) for chars in (before, after))
        wanted = first[:, None] * len(self.vocab) + second
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        pairs = np.where(self.keys[place] == wanted, self.counts[place], 0.0)
        flat = self.mu / (len(self.vocab) - 2)
        return np.log((pairs + flat) / (self.totals[first, None] + self.mu))

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> "Bigrams | None":
        """Those of a bundle, where it has any."""
        if BIGRAMS not in bundle.manifest["files"]:
            return None
        with np.load(bundle.path / BIGRAMS) as arrays:
            steps, codes, totals = arrays["steps"], arrays["codes"], arrays["totals"]
        facts = bundle.facts["bigrams"]
        counts = facts["least"] * float(facts["ratio"]) ** codes.astype(np.float64)
        vocab = Vocab.from_text(bundle.text(BIGRAM_CHARACTERS))
        return cls(vocab, totals, np.cumsum(steps, dtype=np.int64), counts, float(facts["mu"]))


def best_path(row: Sequence[Place], bigrams: Bigrams, weight: float = 1.0) -> str:
    """One candidate a place: those that maximise Π W(sᵢ)·P(sᵢ₊₁|sᵢ)^weight, by Viterbi's algorithm."""
    if not row:
        return ""
    places = [list(place) for place in row]
    score = _logs(row[0])
    back = []
    for i in range(1, len(row)):
        through = score[:, None] + weight * bigrams.scores(places[i - 1], places[i])  # (before, here)
        back.append(through.argmax(0))
        score = through.max(0) + _logs(row[i])
    path = [int(score.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return "".join(place[number] for place, number in zip(places, reversed(path), strict=True))


def _logs(place: Place) -> Floats:
    return np.log(np.maximum(list(place.values()), LEAST))
