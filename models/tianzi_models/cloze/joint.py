"""Several blanks of one document: filled best first, each with the earlier answers in their places."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.text import ClozeInput

ROUNDS = 2
"""How often a document is read at most: in each round the surest of its open blanks are filled."""

Probs: TypeAlias = npt.NDArray[np.float32]
Read: TypeAlias = Callable[[Sequence[ClozeInput]], Sequence[Probs]]


def rounds(blanks: int) -> int:
    """How often a document with so many blanks is read."""
    return max(1, min(blanks, ROUNDS))


@dataclass
class _Open:
    """A document with the blanks that are still to be filled: their numbers in the request."""

    input: ClozeInput
    numbers: npt.NDArray[np.int64]
    probs: Probs


def fill(inputs: Iterable[ClozeInput], read: Read) -> list[Probs]:
    """P(candidate) of each blank, (Q, K) a document, given the answers that were surer.

    read: documents → (Q, K) each, every blank for itself.
    """
    documents = [
        _Open(one, np.arange(len(one.blanks)), np.zeros((len(one.blanks), len(one.candidate_words)), np.float32))
        for one in inputs
    ]
    for left in range(ROUNDS, 0, -1):
        still = [document for document in documents if len(document.numbers)]
        if not still:
            break
        for document, probs in zip(still, read([one.input for one in still]), strict=True):
            _settle(document, probs, -(-len(document.numbers) // left))
    return [document.probs for document in documents]


def _settle(document: _Open, probs: Probs, count: int) -> None:
    """Fills the surest blanks, so many."""
    order = np.argsort(-probs.max(-1), kind="stable")
    now, later = order[:count], np.sort(order[count:])
    document.probs[document.numbers[now]] = probs[now]
    if len(later):
        answers, places = probs[now].argmax(-1), document.input.blanks[now]
        words, chars = document.input.words.copy(), document.input.chars.copy()
        words[places] = document.input.candidate_words[answers]
        chars[places] = document.input.candidate_chars[answers]
        document.input = replace(document.input, words=words, chars=chars, blanks=document.input.blanks[later])
    document.numbers = document.numbers[later]
