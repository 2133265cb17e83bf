"""Denormal numbers are zero within flushed(), and themselves again behind it."""

import threading

import numpy as np
import pytest

from tianzi_models import denormals

SMALL = np.full(4, 1e-40, np.float32)


def smallest() -> float:
    return float((SMALL * np.float32(1.0)).max())


@pytest.mark.skipif(denormals._C is None, reason="C's fenv.h is another here")
def test_only_this_thread_takes_them_for_zero_and_only_within() -> None:
    within = threading.Event()
    asked: list[float] = []

    def other() -> None:
        within.wait(10)
        asked.append(smallest())

    thread = threading.Thread(target=other)  # a thread that is started within would inherit it
    thread.start()
    assert smallest() > 0
    with denormals.flushed():
        assert smallest() == 0
        within.set()
        thread.join()
    assert asked[0] > 0
    assert smallest() > 0


def test_an_error_within_leaves_the_thread_as_it_was() -> None:
    with pytest.raises(RuntimeError), denormals.flushed():
        raise RuntimeError
    assert smallest() > 0


def test_where_there_is_no_such_switch_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denormals, "_C", None)
    with denormals.flushed():
        assert smallest() > 0
