"""rank, against probabilities that are summed up over an explicit vocabulary."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianzi_models.cloze.distribution import Ranking, Scores, of_length, rank, renumbered, restricted
from tianzi_models.cloze.inputs import Ids

FACTS = {
    "temperature": 1.3,
    "text_temperature": 1.3,
    "candidates_temperature": 0.7,
    "candidates_prior": 0.0,
    "fits_scale": 1.0,
    "fits_shift": 0.0,
    "reject_any": 0.0,
    "reject_candidates": -1e9,
}
LEXICON = 9


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Scores, Ids, dict[int, float]]:
    """Scores of a lexicon of LEXICON words and some words of a text; and each word's weight, worked out by hand.

    Weights go by rank's numbers: a word of the text by its own, a word of the lexicon alone behind them.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    temperature = FACTS["temperature"]
    fits = rng.normal(0, 4, LEXICON)
    known = draw(st.integers(0, 4))
    words = np.r_[rng.choice(LEXICON, known, replace=False), np.full(draw(st.integers(0, 3)), -1)].astype(np.int64)
    words = rng.permutation(words)
    fit = np.where(words >= 0, fits[words], rng.normal(0, 4, len(words)))
    point = np.where(rng.random(len(words)) < 0.3, -1e4, rng.normal(0, 4, len(words)))
    weights = {i: float((np.exp(fit[i]) * (1 + np.exp(point[i]))) ** (1 / temperature)) for i in range(len(words))}
    for word in set(range(LEXICON)) - set(words.tolist()):
        weights[len(words) + word] = float(np.exp(fits[word] / temperature))
    lexicon = float(np.log(np.exp(fits / temperature).sum()))
    return Scores(fit, point, np.argsort(-fits), np.sort(fits)[::-1], lexicon, np.zeros(len(fit))), words, weights


def by_number(ranking: Ranking) -> dict[int, float]:
    return dict(zip(ranking.numbers.tolist(), ranking.probs.tolist(), strict=True))


@settings(deadline=None)  # of a busy machine
@given(worlds())
def test_any_word_has_its_share_of_all_and_they_add_up_to_one(world: tuple[Scores, Ids, dict[int, float]]) -> None:
    scores, words, weights = world
    ranking = rank(scores, words, "any", FACTS)
    total = sum(weights.values())
    assert by_number(ranking) == pytest.approx({i: w / total for i, w in weights.items()}, abs=1e-9)
    assert ranking.probs.sum() == pytest.approx(1)
    assert (np.diff(ranking.probs) <= 0).all() and not ranking.rejected


@settings(deadline=None)
@given(worlds(), st.integers(1, LEXICON))
def test_words_that_do_not_leave_the_graph_keep_their_mass(
    world: tuple[Scores, Ids, dict[int, float]], top: int
) -> None:
    scores, words, _ = world
    cut = Scores(scores.fit, scores.point, scores.top[:top], scores.top_fit[:top], scores.lexicon, scores.prior)
    whole, found = by_number(rank(scores, words, "any", FACTS)), by_number(rank(cut, words, "any", FACTS))
    assert found == pytest.approx({number: whole[number] for number in found}, abs=1e-12)
    assert set(range(len(words))) <= found.keys()


@settings(deadline=None)
@given(worlds())
def test_words_of_the_text_share_what_speaks_for_the_text(world: tuple[Scores, Ids, dict[int, float]]) -> None:
    scores, words, weights = world
    if not len(words):
        return
    own = np.array([weights[i] for i in range(len(words))])
    share = own.sum() / sum(weights.values())
    for scale, shift in ((1.0, 0.0), (0.5, 1.0), (0.0, 20.0)):
        ranking = rank(scores, words, "text", {**FACTS, "fits_scale": scale, "fits_shift": shift})
        share = min(max(share, 1e-9), 1 - 1e-9)
        fits = 1 / (1 + np.exp(-shift) * ((1 - share) / share) ** scale)
        assert ranking.fits == pytest.approx(fits)
        expected = dict(enumerate((own / own.sum() * fits).tolist()))
        assert by_number(ranking) == pytest.approx(expected, abs=1e-9)
        assert ranking.rejected == (ranking.fits < 0.5)


@settings(deadline=None)
@given(worlds())
def test_given_words_add_up_to_one_at_their_own_temperature(world: tuple[Scores, Ids, dict[int, float]]) -> None:
    scores, words, _ = world
    if not len(words):
        return
    own = (np.exp(scores.fit) * (1 + np.exp(scores.point))) ** (1 / FACTS["candidates_temperature"])
    ranking = rank(scores, words, "candidates", FACTS)
    assert by_number(ranking) == pytest.approx(dict(enumerate((own / own.sum()).tolist())), abs=1e-9)


def simple(fit: list[float], point: list[float], top_fit: list[float]) -> Scores:
    """The lexicon's words are numbered by how well they fit, the text's are not in it."""
    top = np.array(top_fit, np.float64)
    lexicon = float(np.logaddexp.reduce(top)) if len(top) else -1e4
    return Scores(
        np.array(fit, np.float64), np.array(point, np.float64), np.arange(len(top)), top, lexicon, np.zeros(len(fit))
    )


def test_a_temperature_flattens() -> None:
    scores, words = simple([2.0, 0.0], [-1e4, -1e4], []), np.array([-1, -1])
    for temperature in (0.5, 1.0, 2.0):
        facts: dict[str, Any] = {**FACTS, "temperature": temperature, "candidates_temperature": temperature}
        for source in ("any", "candidates"):
            assert rank(scores, words, source, facts).probs[0] == pytest.approx(1 / (1 + np.exp(-2 / temperature)))


def test_ties_keep_the_texts_order_and_it_comes_before_the_lexicon() -> None:
    ranking = rank(simple([1.0, 1.0], [-1e4, -1e4], [1.0]), np.array([-1, -1]), "any", {**FACTS, "temperature": 1.0})
    assert ranking.numbers.tolist() == [0, 1, 2]


def test_a_text_without_words_is_answered_from_the_lexicon() -> None:
    ranking = rank(simple([], [], [2.0, 1.0]), np.empty(0, np.int64), "any", {**FACTS, "temperature": 1.0})
    assert ranking.numbers.tolist() == [0, 1] and ranking.probs.sum() == pytest.approx(1)


@pytest.mark.parametrize(("threshold", "rejected"), [(0.49, False), (0.51, True)])
def test_no_word_fits_where_the_best_has_too_small_a_share(threshold: float, rejected: bool) -> None:
    facts = {**FACTS, "temperature": 1.0, "reject_any": threshold}
    assert rank(simple([1.0], [-1e4], [1.0]), np.array([-1]), "any", facts).rejected is rejected


@pytest.mark.parametrize(("threshold", "rejected"), [(-3.1, False), (-2.9, True)])
def test_no_given_word_fits_where_the_lexicon_knows_a_far_better_one(threshold: float, rejected: bool) -> None:
    facts = {**FACTS, "temperature": 1.0, "reject_candidates": threshold}
    assert (
        rank(simple([1.0, 2.0], [-1e4] * 2, [5.0, 4.0]), np.array([-1, -1]), "candidates", facts).rejected is rejected
    )
    # One that the lexicon knows nothing better than is never rejected.
    assert not rank(simple([9.0], [-1e4], [5.0]), np.array([-1]), "candidates", facts).rejected


def test_a_rounded_sum_of_the_lexicon_gives_no_more_than_certainty() -> None:
    """As int8 may round it: the lexicon's sum is less than the part of a word of the text that it holds."""
    exact = simple([3.0], [-1e4], [3.0, 1.0])
    for off in (-0.5, -0.1, 0.1):
        rounded = Scores(exact.fit, exact.point, exact.top, exact.top_fit, exact.lexicon + off, exact.prior)
        ranking = rank(rounded, np.array([0]), "any", {**FACTS, "temperature": 1.0})
        assert ranking.numbers.tolist() == [0, 1 + 1]
        assert ranking.probs.sum() <= 1 + 1e-9 and (np.diff(ranking.probs) < 0).all()
        assert rank(rounded, np.array([0]), "text", FACTS).fits <= 1


def test_large_energies_do_not_overflow() -> None:
    for source in ("any", "text", "candidates"):
        ranking = rank(simple([5000.0, -5000.0], [3000.0, -1e4], [4000.0]), np.array([-1, -1]), source, FACTS)
        assert np.isfinite(ranking.probs).all() and ranking.numbers[0] == 0


def test_how_frequent_a_given_word_is_counts_that_much_less() -> None:
    scores = replace(simple([2.0, 0.0], [-1e4, -1e4], []), prior=np.array([2.0, 0.0]))
    facts = {**FACTS, "candidates_prior": 1.0, "candidates_temperature": 1.0}
    ranking = rank(scores, np.array([0, 1]), "candidates", facts)
    assert ranking.probs.tolist() == pytest.approx([0.5, 0.5])


def test_some_candidates_are_ranked_under_their_own_numbers() -> None:
    scores, allowed = simple([5.0, 1.0, 0.0, 2.0], [-1e4] * 4, [0.5, 0.2]), np.array([1, 3])
    ranking = renumbered(rank(restricted(scores, allowed), np.array([-1, -1]), "any", FACTS), allowed, 4)
    assert ranking.numbers[ranking.numbers < 4].tolist() == [3, 1]
    assert (ranking.numbers[ranking.numbers >= 4] - 4).tolist() == sorted(ranking.numbers[ranking.numbers >= 4] - 4)


def test_words_of_another_length_leave_their_share_to_the_others() -> None:
    ranking = rank(simple([1.0, 1.0, 0.0], [-1e4] * 3, []), np.array([-1, -1, -1]), "text", FACTS)
    short = of_length(ranking, np.array([True, False, True]))
    assert short.numbers.tolist() == [ranking.numbers[0], ranking.numbers[2]]
    assert short.probs.sum() == pytest.approx(1.0)
    assert of_length(ranking, np.zeros(3, bool)).rejected, "no word has that length"
