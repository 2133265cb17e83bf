"""Accuracy of a cloze bundle on questions made from the documents that its training held out: with one blank, with
several, and with given candidates, through the code that serves it.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.progress import track

from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.types import ClozeAnswer, ClozeRequest
from tianzi_training.cloze.data.questions import Source, draw_document, mask_words
from tianzi_training.cloze.data.vocabulary import BLANK_TYPE, Vocabulary, dictionary_words
from tianzi_training.cloze.evaluation.cmrc import BATCH, CALIBRATION_BINS
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.cloze.validation import STORY_PIECES
from tianzi_training.config import ClozeConfig, ConfigError, parse_config
from tianzi_training.metrics import accuracy, calibration_error

QUESTIONS = 2000
SURE = 4
"""Times as many with one blank: of 2,000, chance alone makes two points of calibration error."""
BLANKS = 5
CHOICES = 10
MARK = "XXXXX"
SEED = 1  # another than the validation's, on which the temperature was fitted


@dataclass(frozen=True)
class Made:
    """A document with blanks, and what stood there."""

    request: ClozeRequest
    truth: tuple[str, ...]


def evaluate(model: ClozeModel, questions: int = QUESTIONS) -> dict[str, dict[str, Any]]:
    """Figures on questions from the held-out documents of the bundle's own configuration.

    Raises:
        ConfigError: the training's texts are not there, or nothing of them was held out.
    """
    config = parse_config(ClozeConfig, model.bundle.manifest["trained"]["config"])
    task = ClozeTask(replace(config, vocabulary=str(model.bundle.path)))
    if not task.held_out:
        raise ConfigError("held_out: nothing was")
    maker = Maker(list(task.held_out.values()), task.vocab)
    figures = {
        "one blank": _figures(model, maker.blanks(SURE * questions, 1), calibrated=True),
        f"{BLANKS} blanks": _figures(model, maker.blanks(questions // BLANKS, BLANKS)),
    }
    for name, words in (("nouns", maker.nouns), ("idioms", maker.idioms)):
        if len(words) >= CHOICES:
            figures[f"one of {CHOICES} {name} given"] = _figures(model, maker.choices(questions // 2, words))
    return {f"held-out documents, {name}": values for name, values in figures.items()}


class Maker:
    """Makes questions, always the same ones, from the held-out documents."""

    def __init__(self, sources: Sequence[Source], vocabulary: Vocabulary) -> None:
        self.sources, self.vocabulary = sources, vocabulary
        seen = np.zeros(len(vocabulary.types), bool)
        for source in sources:
            for start, end in source.documents:
                seen[source.ids[start:end]] = True
        words = dictionary_words()
        two = np.array([len(word) > 1 for word in vocabulary.types])
        self.nouns = np.flatnonzero(seen & vocabulary.noun & two)
        idiom = [len(word) == 4 and words.get(word, (0, ""))[1] in ("i", "l") for word in vocabulary.types]
        self.idioms = np.flatnonzero(seen & np.array(idiom))

    def blanks(self, count: int, blanks: int) -> Iterator[Made]:
        """Documents with exactly so many blanks, each of a noun that stands there besides."""
        rng = np.random.default_rng(SEED)
        while count:
            question = mask_words(rng, self._draw(rng), self.vocabulary, blanks, 0.0)
            if len(question.blanks) == blanks and question.question.all():
                count -= 1
                yield Made(ClozeRequest(self._tokens(question.ids), source="text"), self._tokens(question.answers))

    def choices(self, count: int, words: np.ndarray) -> Iterator[Made]:
        """Documents with one of some words blanked, to be chosen among as many others as make CHOICES.

        words: types; the answer need not stand elsewhere in the document. Fewer questions where the words are rare.
        """
        rng = np.random.default_rng(SEED)
        for _ in range(20 * count):
            ids = self._draw(rng).copy()
            places = np.flatnonzero(np.isin(ids, words))
            if not len(places):
                continue
            place = rng.choice(places)
            truth = ids[place]
            others = rng.choice(words[words != truth], CHOICES - 1, replace=False)
            ids[place] = BLANK_TYPE
            given = self._tokens(rng.permutation([truth, *others]))
            yield Made(ClozeRequest(self._tokens(ids), candidates=given), self._tokens([truth]))
            count -= 1
            if not count:
                return

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        return draw_document(rng, self.sources[rng.integers(len(self.sources))], self.vocabulary, STORY_PIECES)

    def _tokens(self, ids: Sequence[int] | np.ndarray) -> tuple[str, ...]:
        return tuple(MARK if i == BLANK_TYPE else self.vocabulary.types[i] for i in ids)


def _figures(model: ClozeModel, questions: Iterator[Made], calibrated: bool = False) -> dict[str, Any]:
    made = list(questions)
    pairs, whole = [], 0
    answers = model.answer_all((one.request for one in made), BATCH)
    for one, answer in zip(track(made, "questions", disable=not sys.stderr.isatty()), answers, strict=True):
        marks = _marked(answer, one.truth)
        pairs += marks
        whole += all(right for _, right in marks)
    figures = accuracy(sum(right for _, right in pairs), len(pairs))
    if calibrated:
        figures["calibration_error"] = calibration_error(pairs, CALIBRATION_BINS)
    if len(pairs) > len(made):
        figures["documents_all_right"] = round(whole / max(1, len(made)), 4)
    return figures


def _marked(answer: ClozeAnswer, truth: tuple[str, ...]) -> list[tuple[float, bool]]:
    best = [blank.candidates[0] for blank in answer.blanks]
    return [(word.confidence, word.text == true) for word, true in zip(best, truth, strict=True)]
