"""Several blanks: which is filled when, and what the later ones see."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from tianzi_models.cloze.distribution import Ranking
from tianzi_models.cloze.inputs import BLANK_CODE, ClozeInput, Ids
from tianzi_models.cloze.iterative import ROUNDS, each_once, fill, rounds
from tianzi_models.cloze.pieces import BLANK, MAX_PIECES

WORD = 10  # candidate k is read as the pieces WORD + k, twice, and has the code 100 + k


def document(blanks: int, candidates: int = 3) -> ClozeInput:
    """Blanks at 0, 2, 4 …, a full stop behind each."""
    first = np.array([BLANK, 6] * blanks, np.int64)
    pieces = np.zeros((len(first), MAX_PIECES), np.int64)
    pieces[:, 0] = first
    return ClozeInput(
        pieces=pieces,
        counts=np.ones(len(first), np.int64),
        codes=np.array([BLANK_CODE, 3] * blanks, np.int64),
        match=np.zeros(len(first), np.int64),
        blanks=np.arange(blanks) * 2,
        candidate_words=np.arange(candidates),
        candidate_pieces=np.stack([spelled(k) for k in range(candidates)]),
        candidate_codes=100 + np.arange(candidates),
    )


def spelled(number: int) -> Ids:
    return np.array([WORD + number] * 2 + [0] * (MAX_PIECES - 2))


def spell(one: ClozeInput, number: int) -> tuple[Ids, int]:
    return spelled(number), 100 + number


def ranking(best: int, count: int, prob: float, rejected: bool = False) -> Ranking:
    numbers = np.array([best, *(k for k in range(count) if k != best)])
    return Ranking(numbers, np.array([prob, *[(1 - prob) / count] * (count - 1)]), 1.0, rejected)


class Reader:
    """Surer of later blanks than of earlier ones; expects the word after the one to the right, round and round."""

    def __init__(self, rejected: bool = False) -> None:
        self.rejected = rejected
        self.seen: list[list[ClozeInput]] = []
        self.numbers: list[list[int]] = []

    def __call__(self, inputs: Sequence[ClozeInput], numbers: Sequence[tuple[int, Ids]]) -> list[list[Ranking]]:
        self.seen.append(list(inputs))
        self.numbers.append([number for number, _ in numbers])
        return [[self.ranking(one, place) for place in one.blanks.tolist()] for one in inputs]

    def ranking(self, one: ClozeInput, place: int) -> Ranking:
        count = len(one.candidate_words)
        right = int(one.pieces[place + 2, 0]) if place + 2 < len(one.pieces) else BLANK
        best = 0 if right == BLANK else (right + 1 - WORD) % count
        return ranking(best, count, 0.5 + place / 1000, self.rejected)


def test_the_less_sure_blanks_see_the_answers_of_the_surer() -> None:
    reader = Reader()
    (found,) = fill([document(4)], reader, spell)
    # The second sees the third's answer, 0, and expects one more.
    assert [ranking.numbers[0] for ranking in found] == [0, 1, 0, 0]
    assert [one.blanks.tolist() for (one,) in reader.seen] == [[0, 2, 4, 6], [0, 2]]
    last = reader.seen[-1][0]
    assert last.pieces[:, 0].tolist() == [BLANK, 6, BLANK, 6, 10, 6, 10, 6]
    assert last.pieces[4].tolist() == last.pieces[6].tolist() == spelled(0).tolist()
    assert last.counts.tolist() == [1, 1, 1, 1, 2, 1, 2, 1]
    assert last.codes.tolist() == [BLANK_CODE, 3, BLANK_CODE, 3, 100, 3, 100, 3]
    assert not last.match.any(), "an answer is no place where a candidate stands"


def test_an_answer_of_the_lexicon_is_spelt_too() -> None:
    asked: list[int] = []

    def spell_any(one: ClozeInput, number: int) -> tuple[Ids, int]:
        asked.append(number)
        return spelled(number), 100 + number

    def read(inputs: Sequence[ClozeInput], numbers: Sequence[tuple[int, Ids]]) -> list[list[Ranking]]:
        return [[Ranking(np.array([50 + i]), np.array([1 / (i + 2)]), 1.0, False) for i in range(len(one.blanks))]
                for one in inputs]  # fmt: skip

    fill([document(3)], read, spell_any)
    assert asked == [50, 51], "the surest two of three in the first round; the last round spells nothing"


def test_a_word_that_does_not_fit_is_not_put_into_its_place() -> None:
    reader = Reader(rejected=True)
    (found,) = fill([document(4)], reader, spell)
    assert all(ranking.rejected for ranking in found)
    last = reader.seen[-1][0]
    assert last.pieces.tolist() == document(4).pieces.tolist() and last.blanks.tolist() == [0, 2]
    assert last.codes.tolist() == document(4).codes.tolist() and last.counts.tolist() == [1] * 8


def test_documents_of_one_batch_have_nothing_to_do_with_each_other() -> None:
    inputs = [document(2), document(1), document(0), document(9, candidates=5)]
    reader = Reader()
    together = fill(inputs, reader, spell)
    assert reader.numbers == [[0, 1, 3], [0, 3]], "documents keep their numbers, and leave when they are filled"
    for one, found in zip(inputs, together, strict=True):
        assert len(found) == len(one.blanks)
        for ranking, alone in zip(found, fill([one], Reader(), spell)[0], strict=True):
            np.testing.assert_array_equal(ranking.numbers, alone.numbers)
            np.testing.assert_array_equal(ranking.probs, alone.probs)


@pytest.mark.parametrize("blanks", [1, 2, 3, 4, 5, 8, 63, 64])
def test_every_blank_is_filled_in_few_rounds(blanks: int) -> None:
    reader = Reader()
    (found,) = fill([document(blanks)], reader, spell)
    assert len(found) == blanks
    assert len(reader.seen) == rounds(blanks) <= ROUNDS
    open_blanks = [len(one.blanks) for (one,) in reader.seen]
    assert all(more > fewer for more, fewer in pairwise(open_blanks))


def test_the_document_given_stays_as_it_was() -> None:
    one, same = document(5), document(5)
    fill([replace(one)], Reader(), spell)
    assert all((getattr(one, name) == getattr(same, name)).all() for name in vars(one))


def test_each_candidate_fills_one_blank_where_that_is_asked() -> None:
    both_like_the_first = [
        Ranking(np.array([0, 1, 7]), np.array(probs), 1.0, False) for probs in ((0.6, 0.3, 0.1), (0.9, 0.05, 0.05))
    ]
    found = each_once(both_like_the_first, 2)
    assert [ranking.numbers.tolist() for ranking in found] == [[1, 0, 7], [0, 1, 7]]
    assert found[0].probs.tolist() == [0.3, 0.6, 0.1], "confidences stay what they are"
