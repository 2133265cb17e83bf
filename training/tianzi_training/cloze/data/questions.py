"""Texts with masked words, as the arrays of a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from tianzi_models.cloze.inputs import BLANK_CODE, ClozeInput, collate
from tianzi_training.cloze.data.vocabulary import BLANK_TYPE, Vocabulary

FREQUENT = 1e-3
"""A word this frequent is masked as often as it stands; one a hundred times as frequent a tenth as often."""
MOST_REPEATED = 8
REPEATED = ((1, 0.7), (2, 0.8), (3, 1.0), (6, 2.0))
"""What a question counts whose answer stands so often besides the blank or oftener, so that the questions are like
CMRC 2017's: 13 % once, 13 % twice, 31 % to 5 times, 43 % more.
"""


Asked: TypeAlias = tuple[ClozeInput, dict[str, np.ndarray]]


@dataclass(frozen=True)
class Source:
    """One text: ids of a Vocabulary's types, documents: (D, 2) [start, end) in it."""

    ids: np.ndarray
    documents: np.ndarray

    @cached_property
    def ends(self) -> np.ndarray:
        """Ends of the documents were they alone in the text: long ones are drawn more often."""
        return np.cumsum(self.documents[:, 1] - self.documents[:, 0])


@dataclass(frozen=True)
class Question:
    """A document with blanks. ids: (L,) types. blanks: (Q,) positions. answers: (Q,) types. question: (Q,) what each
    counts among the text's words, 0 for none."""

    ids: np.ndarray
    blanks: np.ndarray
    answers: np.ndarray
    question: np.ndarray


def draw_document(rng: np.random.Generator, source: Source, vocabulary: Vocabulary, length: int) -> np.ndarray:
    """A run of sentences of one document, of at most length pieces."""
    number = np.searchsorted(source.ends, rng.integers(source.ends[-1]), side="right")
    start, end = source.documents[number]
    ids = source.ids[start:end]
    sizes = np.cumsum(vocabulary.count[ids])
    if sizes[-1] <= length:
        return ids
    stops = np.flatnonzero(vocabulary.ends_sentence[ids]) + 1
    begins = np.r_[0, stops[stops < len(ids)]]
    # Where at least half of the length is left, so that the last sentences are not drawn alone.
    begins = begins[sizes[-1] - np.r_[0, sizes][begins] >= length // 2]
    first = int(rng.choice(begins))
    before = sizes[first - 1] if first else 0
    last = int(np.searchsorted(sizes, before + length, side="right"))
    inside = stops[(stops > first) & (stops <= last)]
    if len(inside) and sizes[inside[-1] - 1] - before > length // 2:
        last = int(inside[-1])
    return ids[first:last]


def mask_words(
    rng: np.random.Generator, ids: np.ndarray, vocabulary: Vocabulary, questions: int, share: float
) -> Question:
    """Masks up to `questions` nouns that stand in the document elsewhere, too, and a share of all other words."""
    types, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    chosen: dict[int, float] = {}
    if questions:
        asked = vocabulary.noun[types] & (counts >= 2)
        places = np.flatnonzero(asked[inverse])
        # As in CMRC 2017's questions: the answer often stands three times and more, and is rarely one hanzi alone.
        weight = np.minimum(counts - 1, MOST_REPEATED)[inverse[places]].astype(float)
        weight *= np.where([len(vocabulary.types[i]) == 1 for i in ids[places]], 0.2, 1.0)
        left = counts - (counts + 1) // 2
        for place in places[np.argsort(-(rng.random(len(places)) ** (1 / weight)))]:
            if len(chosen) == questions:
                break
            if left[inverse[place]] > 0:
                left[inverse[place]] -= 1
                chosen[int(place)] = 1.0
    able = np.flatnonzero(vocabulary.candidate[ids])
    able = able[~np.isin(able, list(chosen))]
    if len(able):
        weight = np.minimum(1.0, np.sqrt(FREQUENT / np.maximum(vocabulary.frequency[ids[able]], 1e-9)))
        count = min(len(able), max(0 if chosen else 1, round(share * len(able))))
        for place in rng.choice(able, count, replace=False, p=weight / weight.sum()):
            chosen[int(place)] = 0.0
    blanks = np.array(sorted(chosen), np.int64)
    answers = ids[blanks]
    masked = ids.copy()
    masked[blanks] = BLANK_TYPE
    stays = np.bincount(inverse, minlength=len(types)) - np.bincount(inverse[blanks], minlength=len(types))
    question = np.zeros(len(blanks))
    for i, place in enumerate(blanks):
        if chosen[int(place)]:
            times = stays[inverse[place]]
            question[i] = next((value for least, value in reversed(REPEATED) if times >= least), 0.0)
    return Question(masked, blanks, answers, question)


def encode(question: Question, vocabulary: Vocabulary) -> Asked:
    """One document as the network reads it, and what losses.cloze_loss asks of it, each (Q,).

    The arrays are those of tianzi_models.cloze.text.encode_tokens, looked up instead of spelt.
    """
    ids = question.ids
    types, inverse = np.unique(ids, return_inverse=True)
    candidate = vocabulary.candidate[types]
    number = np.cumsum(candidate) * candidate
    chosen = types[candidate]
    rows = np.searchsorted(types, question.answers).clip(max=len(types) - 1)
    answers = np.where(types[rows] == question.answers, number[rows], 0) - 1
    answer_words = vocabulary.word[question.answers]
    codes = ids.astype(np.int64) + BLANK_CODE
    one = ClozeInput(
        pieces=vocabulary.pieces_of[ids].astype(np.int64),
        counts=vocabulary.count[ids],
        codes=codes,
        match=number[inverse],
        blanks=question.blanks,
        candidate_words=vocabulary.word[chosen],
        candidate_pieces=vocabulary.pieces_of[chosen].astype(np.int64),
        candidate_codes=chosen.astype(np.int64) + BLANK_CODE,
    )
    return one, {
        "answers": answers,
        "answer_words": answer_words,
        "question": np.where(answers >= 0, question.question, 0.0),
        "asked": ((answers >= 0) | (answer_words >= 0)).astype(np.float64),
    }


def collate_questions(documents: Sequence[Asked]) -> dict[str, Tensor]:
    """The network's inputs and what is asked, as one tensor each, padded at the end (answers with -1)."""
    batch: dict[str, np.ndarray] = dict(collate([one for one, _ in documents]))
    for name in documents[0][1]:
        arrays = [asked[name] for _, asked in documents]
        whole = arrays[0].dtype.kind == "i"
        padded = np.full((len(arrays), max(map(len, arrays))), -1 if whole else 0, np.int64 if whole else np.float32)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        batch[name] = padded
    return {name: torch.from_numpy(array) for name, array in batch.items()}
