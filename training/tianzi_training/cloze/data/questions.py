"""Questions made from text the way CMRC 2017's makers did, and the arrays of a batch of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tianzi_models.cloze.text import BLANK, RESERVED, SEPARATOR, ClozeInput, collate
from tianzi_models.vocab import PAD, UNKNOWN
from tianzi_training.cloze.data.lexicon import Lexicon
from tianzi_training.cloze.data.swap import Alike, swap_nouns
from tianzi_training.config import ClozeConfig

MAX_TOKENS = 481
MOST_REPEATED = 8
REPEATED = ((1, 0.4), (2, 0.6), (3, 1.0), (6, 3.0))
"""What a question counts whose answer stands so often in the document or oftener. With many blanks in a document
answers stand there less often than the official questions' do: 12 % once, 13 % twice, 32 % to 5 times, 43 % more.
"""


@dataclass(frozen=True)
class Source:
    """One text: ids of a Lexicon, documents: (D, 2) [start, end) in it; share of the questions made from it, and that
    at the first step.

    blanks: (D,) the place in the text that an official question blanks out; empty for none.
    """

    ids: np.ndarray
    documents: np.ndarray
    share: float
    first_share: float
    blanks: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @cached_property
    def ends(self) -> np.ndarray:
        """Ends of the documents were they alone in the text: long ones are drawn more often."""
        return np.cumsum(self.documents[:, 1] - self.documents[:, 0])


@dataclass(frozen=True)
class Question:
    """A document with blanks. ids: (T,) of the Lexicon. blanks: (Q,) positions. answers: (Q,) ids."""

    ids: np.ndarray
    blanks: np.ndarray
    answers: np.ndarray


def draw_length(rng: np.random.Generator) -> int:
    """Tokens of a document: about 320 and at most 481, as CMRC 2017's have."""
    return int(np.clip(rng.normal(375, 75), 200, MAX_TOKENS))


def draw_document(
    rng: np.random.Generator, source: Source, ends_sentence: np.ndarray, length: int
) -> tuple[np.ndarray, int | None]:
    """A run of sentences of one document, of at most length tokens; and the place of the official blank in it.

    A document with an official blank is taken whole.
    """
    number = np.searchsorted(source.ends, rng.integers(source.ends[-1]), side="right")
    start, end = source.documents[number]
    if len(source.blanks):
        return source.ids[start:end], int(source.blanks[number] - start)
    if end - start <= length:
        return source.ids[start:end], None
    first = int(rng.integers(start, end - length + 1))
    ids = source.ids[first : first + length]
    stops = np.flatnonzero(ends_sentence[ids[: length // 3]])
    if first > start and len(stops):
        ids = ids[stops[0] + 1 :]
    stops = np.flatnonzero(ends_sentence[ids])
    return (ids[: stops[-1] + 1] if len(stops) and stops[-1] > length // 3 else ids), None


def blank_out(
    rng: np.random.Generator,
    ids: np.ndarray,
    lexicon: Lexicon,
    max_blanks: int,
    move_query: bool = False,
    official: int | None = None,
) -> Question:
    """Blanks nouns that stand in the document at least twice; half of the occurrences of each stay.

    move_query: the sentence of a document's one blank is moved behind a separator, as People's Daily asks.
    official: a place that is a blank in any case.
    """
    types, inverse, counts = np.unique(ids, return_inverse=True, return_counts=True)
    asked = lexicon.noun[types] & (counts >= 2)
    places = np.flatnonzero(asked[inverse])
    # As in the official questions: the answer often stands three times and more besides the blank (75 %),
    # and one hanzi alone is rarely asked for (8 %; among repeated nouns 40 %).
    weight = np.minimum(counts - 1, MOST_REPEATED)[inverse[places]]
    weight = weight * np.where(lexicon.chars_of[ids[places], 1] == 0, 0.2, 1.0)
    order = places[np.argsort(-(rng.random(len(places)) ** (1 / weight)))]
    left = counts // 2
    chosen: list[int] = []
    if official is not None:
        chosen.append(official)
        left[inverse[official]] -= 1
    for place in order:
        if len(chosen) == max_blanks:
            break
        if left[inverse[place]] > 0 and place != official:
            left[inverse[place]] -= 1
            chosen.append(int(place))
    blanks = np.array(sorted(chosen), np.int64)
    answers = ids[blanks]
    ids = ids.copy()
    ids[blanks] = BLANK
    if len(blanks) == 1 and move_query and official is None:
        ids, blanks = _query_last(ids, blanks, lexicon.ends_sentence)
    return Question(ids, blanks, answers)


def _query_last(ids: np.ndarray, blanks: np.ndarray, ends_sentence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    stops = np.flatnonzero(ends_sentence[ids]) + 1
    place = int(blanks[0])
    start = int(max((s for s in stops if s <= place), default=0))
    end = int(min((s for s in stops if s > place), default=len(ids)))
    moved = np.concatenate([ids[:start], ids[end:], [SEPARATOR], ids[start:end]])
    return moved, blanks - start + len(ids) - (end - start) + 1


def encode_question(
    question: Question, lexicon: Lexicon, forgotten: np.ndarray | None = None
) -> tuple[ClozeInput, np.ndarray]:
    """What the network reads of a question, and the numbers of its answers among the candidates (-1: not there).

    forgotten: word ids that are read as unknown, through their characters alone.
    """
    types, inverse = np.unique(question.ids, return_inverse=True)
    candidate = lexicon.candidate[types]
    number = np.cumsum(candidate) * candidate
    words = lexicon.ids[types]
    if forgotten is not None:
        words = np.where(np.isin(words, forgotten), UNKNOWN, words)
    chars = lexicon.chars_of[types]
    rows = np.searchsorted(types, question.answers).clip(max=len(types) - 1)
    answers = np.where(types[rows] == question.answers, number[rows], 0) - 1
    return (
        ClozeInput(
            words=words[inverse],
            chars=chars[inverse],
            blanks=question.blanks,
            candidate_words=words[candidate],
            candidate_chars=chars[candidate],
            match=number[inverse],
        ),
        answers,
    )


class ClozeBatches(Dataset[dict[str, Tensor]]):
    """Item `step` is a batch, a function of seed and step alone: ClozeInput's fields collated, and

    answers: (N, Q) candidate numbers, -1 = padding.
    lm_places: (N, M) positions whose word is to be guessed among the words of lm_group documents, lm_words (G, V)
    and lm_chars (G, V, C), as number lm_targets (N, M).
    """

    def __init__(
        self, sources: Sequence[Source], lexicon: Lexicon, config: ClozeConfig, alike: Alike | None = None
    ) -> None:
        """alike: what nouns give way to; none do without it."""
        self.sources, self.lexicon, self.config, self.alike = sources, lexicon, config, alike
        self.last = normalised([source.share for source in sources])
        self.first = normalised([source.first_share for source in sources])

    def __len__(self) -> int:
        return self.config.steps

    def shares(self, step: int) -> np.ndarray:
        """(sources,): how the documents of a step are shared out."""
        done = min(1.0, step / max(1.0, self.config.first_steps * self.config.steps))
        return (1 - done) * self.first + done * self.last

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        config, lexicon, shares = self.config, self.lexicon, self.shares(step)
        rng = np.random.default_rng((config.seed, step))
        num_words = len(lexicon.words)
        forgotten = rng.integers(len(RESERVED), num_words, int(config.word_dropout * num_words))
        length = draw_length(rng)  # one for the batch: less padding
        texts, inputs, answers, places = [], [], [], []
        while len(inputs) < config.batch_size:
            source = self.sources[rng.choice(len(self.sources), p=shares)]
            ids, official = draw_document(rng, source, lexicon.ends_sentence, length)
            if self.alike is not None:
                ids = swap_nouns(rng, ids, self.alike, lexicon.noun, config.swap)
            moved = rng.random() < config.move_query
            question = blank_out(rng, ids, lexicon, 1 if moved else config.max_blanks, moved, official)
            if len(question.blanks) == 0:
                continue
            guessed = np.flatnonzero(lexicon.candidate[question.ids])
            one, numbers = encode_question(question, lexicon, forgotten)
            texts.append(question.ids)
            inputs.append(one)
            answers.append(numbers)
            places.append(rng.choice(guessed, config.lm_words))
        batch = {**collate(inputs), "answers": pad(answers, -1), "lm_places": np.stack(places)}
        batch |= self._guessing(texts, places, forgotten)
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _guessing(
        self, texts: Sequence[np.ndarray], places: Sequence[np.ndarray], forgotten: np.ndarray
    ) -> dict[str, np.ndarray]:
        lexicon, group = self.lexicon, self.config.lm_group
        choices, targets = [], []
        for start in range(0, len(texts), group):
            types = np.unique(np.concatenate(texts[start : start + group]))
            types = types[lexicon.candidate[types]]
            choices.append(types)
            there = zip(texts[start : start + group], places[start : start + group], strict=True)
            targets += [np.searchsorted(types, ids[place]) for ids, place in there]
        words = [np.where(np.isin(lexicon.ids[t], forgotten), UNKNOWN, lexicon.ids[t]) for t in choices]
        padded = pad(words, PAD)
        chars = np.full((*padded.shape, lexicon.chars_of.shape[1]), PAD, np.int64)
        for row, types in zip(chars, choices, strict=True):
            row[: len(types)] = lexicon.chars_of[types]
        return {"lm_targets": np.stack(targets), "lm_words": padded, "lm_chars": chars}


def normalised(shares: Sequence[float]) -> np.ndarray:
    """The shares, adding up to 1."""
    return np.array(shares) / sum(shares)


def pad(arrays: Sequence[np.ndarray], value: int) -> np.ndarray:
    """(N, longest) int64, filled up with value."""
    padded = np.full((len(arrays), max(map(len, arrays))), value, np.int64)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return padded
