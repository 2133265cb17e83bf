"""The best assignment, compared with all of them."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianzi_models.cloze.assignment import assign

SCORES = st.one_of(st.integers(-3, 0).map(float), st.floats(-50, 0), st.just(-np.inf))


@given(st.data())
def test_none_of_all_assignments_is_better(data: st.DataObject) -> None:
    blanks = data.draw(st.integers(0, 4))
    candidates = data.draw(st.integers(blanks, 5))
    rows = st.lists(SCORES, min_size=candidates, max_size=candidates)
    scores = np.array(data.draw(st.lists(rows, min_size=blanks, max_size=blanks)), float).reshape(blanks, candidates)
    found = assign(scores)
    assert len(set(found)) == len(found) == blanks
    finite = np.where(np.isinf(scores), -1e9, scores)
    best = max(finite[range(blanks), list(chosen)].sum() for chosen in permutations(range(candidates), blanks))
    assert finite[range(blanks), found].sum() == pytest.approx(best)


def test_a_blank_gives_way_to_one_that_needs_the_word_more() -> None:
    assert assign(np.log([[0.6, 0.4], [0.9, 0.1]])) == [1, 0]


def test_fewer_candidates_than_blanks() -> None:
    with pytest.raises(ValueError, match="1 candidates for 2 blanks"):
        assign(np.zeros((2, 1)))


def test_many() -> None:
    order = np.random.default_rng(0).permutation(200)
    assert assign(np.eye(200)[order] - 1) == order.tolist()
