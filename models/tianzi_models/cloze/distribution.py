"""From the network's scores to probabilities: of any word, of the text's words, of given candidates.

The network's distribution is P(w) ∝ exp(fit(w)) · (1 + exp(point(w))): how well a word fits the blank, times how much
the text points at it. A temperature divides all energies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]

FACTS = (
    "temperature",
    "text_temperature",
    "candidates_temperature",
    "candidates_prior",
    "fits_scale",
    "fits_shift",
    "reject_any",
    "reject_candidates",
)
"""What a bundle says of its network's confidence; tianzi_training.cloze.served fits it."""


@dataclass(frozen=True)
class Scores:
    """What the network gives for one blank.

    fit, point: (K,) of the text's words or the given candidates. top: (M,) the lexicon's best words, top_fit: (M,) how
    well these fit. lexicon: log Σ exp(fit / temperature) over the lexicon. prior: (K,) the part of fit that is the
    word's own, whatever stands around the blank: how frequent it is.
    """

    fit: Floats
    point: Floats
    top: Ids
    top_fit: Floats
    lexicon: float
    prior: Floats


@dataclass(frozen=True)
class Ranking:
    """The words for one blank, best first: numbers (R,), below K a candidate, K + i word i of the lexicon.

    probs: (R,). fits: the probability that what was asked for holds the answer at all. rejected: nothing fits.
    """

    numbers: Ids
    probs: Floats
    fits: float
    rejected: bool


def rank(scores: Scores, words: Ids, source: str, facts: Mapping[str, Any]) -> Ranking:
    """source: "any", "text" or "candidates". words: (K,) numbers of the candidates in the lexicon, -1 for others."""
    temperature = facts["temperature"]
    base = scores.fit / temperature
    energy = base + np.logaddexp(0.0, scores.point) / temperature
    if source == "candidates":
        # Who gives candidates has not drawn them from a text: that a word is frequent says less for it.
        given = energy * temperature - facts["candidates_prior"] * scores.prior
        probs = softmax(given / facts["candidates_temperature"])
        best = max(float(scores.top_fit.max(initial=-np.inf)) / temperature, float(energy.max()))
        return _ranked(np.arange(len(probs)), probs, 1.0, energy.max() - best < facts["reject_candidates"])
    highest = max(scores.lexicon, float(energy.max(initial=-np.inf)))
    every, others = np.exp(energy - highest), ~np.isin(scores.top, words)
    beside = np.exp(scores.top_fit[others] / temperature - highest)
    # The lexicon's sum has the text's words of the lexicon without what the text adds to them. It is rounded, in int8
    # the more so: what it leaves for other words is no less than what these have.
    outside = max(np.exp(scores.lexicon - highest) - np.exp(base[words >= 0] - highest).sum(), beside.sum())
    total = every.sum() + outside
    every = every / total
    if source == "text":
        mass = min(max(float(every.sum()), 1e-9), 1 - 1e-9)
        fits = 1 / (1 + np.exp(-(facts["fits_scale"] * np.log(mass / (1 - mass)) + facts["fits_shift"])))
        probs = softmax(energy * temperature / facts["text_temperature"])
        return _ranked(np.arange(len(energy)), probs * fits, fits, bool(fits < 0.5))
    numbers = np.concatenate([np.arange(len(every)), len(every) + scores.top[others]])
    probs = np.concatenate([every, beside / total])
    return _ranked(numbers, probs, 1.0, bool(probs.max(initial=0.0) < facts["reject_any"]))


def restricted(scores: Scores, allowed: Ids) -> Scores:
    """The scores of some of the candidates, by their numbers."""
    return replace(scores, fit=scores.fit[allowed], point=scores.point[allowed], prior=scores.prior[allowed])


def renumbered(ranking: Ranking, allowed: Ids, candidates: int) -> Ranking:
    """A ranking of restricted scores with the candidates' own numbers, and the lexicon's behind all of them."""
    few = len(allowed)
    inside = ranking.numbers < few
    numbers = np.where(
        inside, np.append(allowed, 0)[np.minimum(ranking.numbers, few)], ranking.numbers - few + candidates
    )
    return replace(ranking, numbers=numbers)


def of_length(ranking: Ranking, fitting: npt.NDArray[np.bool_]) -> Ranking:
    """The ranking of those words alone that have as many characters as asked for; all of them where none has."""
    if not fitting.any():
        return replace(ranking, rejected=True)
    probs = ranking.probs[fitting]
    return replace(ranking, numbers=ranking.numbers[fitting], probs=probs / max(float(probs.sum()), 1e-12))


def softmax(values: Floats) -> Floats:
    """Of the last axis."""
    weights = np.exp(values - values.max(-1, keepdims=True))
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def _ranked(numbers: Ids, probs: Floats, fits: float, rejected: bool) -> Ranking:
    order = np.argsort(-probs, kind="stable")
    return Ranking(numbers[order], probs[order], float(fits), bool(rejected))
