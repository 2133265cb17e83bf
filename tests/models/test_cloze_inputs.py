"""What the network reads: windows of long documents, and batches."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianzi_models.cloze.inputs import CONTEXT_PIECES, WINDOW_PIECES, ClozeInput, Ids, collate, windows
from tianzi_models.cloze.pieces import END, MAX_PIECES, START

MOST = 512
"""Positions that the encoder has."""
COUNTS = st.one_of(
    st.lists(st.integers(1, MAX_PIECES), min_size=1, max_size=700),
    st.tuples(st.integers(1, MAX_PIECES), st.integers(1, 4000)).map(lambda pair: [pair[0]] * pair[1]),
)


@settings(deadline=None)  # of a busy machine
@given(COUNTS)
def test_each_word_is_of_one_window_and_has_context_in_it(counts: list[int]) -> None:
    pieces = np.array(counts)
    ends = np.cumsum(pieces)
    total, reached = int(ends[-1]), 0
    found = list(windows(pieces))
    for start, end, first, last in found:
        assert first == reached, "each word is of one window, in order"
        reached = last
        assert 0 <= start <= first < last <= end <= len(counts)
        assert int(pieces[start:end].sum()) + 2 <= MOST
        before, after = int(pieces[start:first].sum()), int(pieces[last:end].sum())
        # As much as words that are read whole leave of it.
        assert start == 0 or CONTEXT_PIECES - MAX_PIECES < before <= CONTEXT_PIECES
        assert end == len(counts) or CONTEXT_PIECES - MAX_PIECES < after <= CONTEXT_PIECES
    assert reached == len(counts)
    assert (len(found) == 1) == (total <= WINDOW_PIECES)


def document(counts: list[int], blanks: list[int], candidates: int, seed: int = 0) -> ClozeInput:
    """Any numbers of the right shapes."""
    rng = np.random.default_rng(seed)
    length = len(counts)

    def ids(*shape: int) -> Ids:
        return rng.integers(6, 1000, shape)

    pieces = ids(length, MAX_PIECES)
    pieces[np.arange(MAX_PIECES) >= np.array(counts)[:, None]] = 0
    return ClozeInput(
        pieces=pieces,
        counts=np.array(counts),
        codes=ids(length),
        match=rng.integers(0, candidates + 1, length),
        blanks=np.array(blanks, np.int64),
        candidate_words=rng.integers(-1, 9, candidates),
        candidate_pieces=ids(candidates, MAX_PIECES),
        candidate_codes=ids(candidates),
    )


DOCUMENTS = [
    document([1, 2, 3], [1], 2, 1),
    document([2] * 900, [5, 899], 7, 2),
    document([6] * 90, [0, 1, 2], 0, 3),
    document([1] * 4000, [3999], 3, 4),
]


def test_each_word_is_found_where_its_pieces_are() -> None:
    batch = collate(DOCUMENTS)
    flat = batch["pieces"].reshape(-1)
    for n, one in enumerate(DOCUMENTS):
        for word, count in enumerate(one.counts.tolist()):
            first, last = batch["first"][n, word], batch["last"][n, word]
            assert last - first + 1 == count
            assert flat[first : last + 1].tolist() == one.pieces[word, :count].tolist()


def test_windows_are_framed_and_padded_at_the_end() -> None:
    pieces = collate(DOCUMENTS)["pieces"]
    assert len(pieces) == sum(len(list(windows(one.counts))) for one in DOCUMENTS)
    assert pieces.shape[1] <= MOST
    for row in pieces:
        length = int((row > 0).sum())
        assert row[0] == START and row[length - 1] == END and not row[length:].any() and row[:length].all()


def test_other_arrays_are_padded_and_whole() -> None:
    batch = collate(DOCUMENTS)
    for name in ("codes", "match", "blanks", "candidate_words", "candidate_pieces"):
        assert batch[name].dtype == np.int64
        for row, one in zip(batch[name], DOCUMENTS, strict=True):
            own = getattr(one, name)
            assert row[: len(own)].tolist() == own.tolist()
            assert (row[len(own) :] == (-1 if name == "candidate_words" else 0)).all()
    assert batch["candidate_pieces"].shape == (4, 7, MAX_PIECES) and batch["blanks"].shape == (4, 3)


def test_a_batch_without_candidates_has_room_for_one() -> None:
    """No axis of the graph is ever empty."""
    batch = collate([document([1, 1], [0], 0)])
    assert batch["candidate_words"].tolist() == [[-1]] and batch["candidate_pieces"].shape == (1, 1, MAX_PIECES)


@pytest.mark.parametrize("length", [WINDOW_PIECES, WINDOW_PIECES + 1])
def test_a_document_that_fits_is_one_window(length: int) -> None:
    found = list(windows(np.ones(length, np.int64)))
    assert len(found) == (1 if length == WINDOW_PIECES else 2)
