"""Several blanks: which is filled when, and what the later ones see."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from tianzi_models.cloze.joint import ROUNDS, fill, rounds
from tianzi_models.cloze.text import BLANK, ClozeInput

WORD = 10  # candidate k is the word WORD + k


def document(blanks: int, candidates: int = 3) -> ClozeInput:
    """Blanks at 0, 2, 4 …, a full stop behind each."""
    words = np.array([BLANK, 5] * blanks)
    return ClozeInput(
        words=words,
        chars=np.stack([words] * 4, 1),
        blanks=np.arange(blanks) * 2,
        candidate_words=WORD + np.arange(candidates),
        candidate_chars=np.stack([WORD + np.arange(candidates)] * 4, 1),
        match=np.zeros(len(words), np.int64),
    )


class Reader:
    """Surer of later blanks than of earlier ones; expects the word after the one to the right, round and round."""

    def __init__(self) -> None:
        self.seen: list[list[ClozeInput]] = []

    def __call__(self, inputs: Sequence[ClozeInput]) -> list[npt.NDArray[np.float32]]:
        self.seen.append(list(inputs))
        return [self.probs(one) for one in inputs]

    def probs(self, one: ClozeInput) -> npt.NDArray[np.float32]:
        count = len(one.candidate_words)
        probs = np.zeros((len(one.blanks), count), np.float32)
        for row, place in zip(probs, one.blanks, strict=True):
            right = one.words[place + 2] if place + 2 < len(one.words) else WORD - 1
            row[(right + 1 - WORD) % count if right != BLANK else 0] = 0.5 + place / 1000
        return probs


def test_the_less_sure_blanks_see_the_answers_of_the_surer() -> None:
    reader = Reader()
    (probs,) = fill([document(4)], reader)
    assert probs.argmax(-1).tolist() == [0, 1, 0, 0]  # the second sees the third's answer, 0, and expects one more
    assert [one.blanks.tolist() for (one,) in reader.seen] == [[0, 2, 4, 6], [0, 2]]
    last = reader.seen[-1][0]
    assert last.words.tolist() == [BLANK, 5, BLANK, 5, 10, 5, 10, 5]
    assert last.chars[:, 3].tolist() == last.words.tolist() and not last.match.any()


def test_documents_of_one_batch_have_nothing_to_do_with_each_other() -> None:
    inputs = [document(2), document(1), document(0), document(9, candidates=5)]
    for one, together in zip(inputs, fill(inputs, Reader()), strict=True):
        assert together.shape == (len(one.blanks), len(one.candidate_words))
        np.testing.assert_array_equal(together, fill([one], Reader())[0])


@pytest.mark.parametrize("blanks", [1, 2, 3, 4, 5, 8, 63, 64])
def test_every_blank_is_filled_in_few_rounds(blanks: int) -> None:
    reader = Reader()
    (probs,) = fill([document(blanks)], reader)
    assert (probs.max(-1) > 0).all()
    assert len(reader.seen) == rounds(blanks) <= ROUNDS
    open_blanks = [len(one.blanks) for (one,) in reader.seen]
    assert all(more > fewer for more, fewer in pairwise(open_blanks))


def test_the_document_given_stays_as_it_was() -> None:
    one = document(5)
    fill([one], Reader())
    assert (one.words == document(5).words).all() and len(one.blanks) == 5
