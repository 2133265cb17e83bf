"""Which candidate is meant, by the blank filler: a doubtful character's word is blanked, and the model asked."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tianzi_models.base import Model
from tianzi_models.cloze.segment import segment
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.ocr.lattice import Bigrams, Place

SURE = 0.99  # a place whose best candidate is as sure is not asked about
WINDOW = 8  # characters on either side that decide where a word ends
BLANK, BATCH = "____", 32

Scores = dict[tuple[int, int], npt.NDArray[np.float64]]
"""Row and place → ln P of each of its candidates."""


def blanked(text: str, place: int, chars: Sequence[str]) -> tuple[ClozeRequest, int]:
    """The request whose candidates are the text's word at the place, spelled with each of the characters.

    Where the spellings are cut otherwise, the blank takes all of their words' places. Also the number of its token.
    """
    left = max(0, place - WINDOW)
    variants = [text[left:place] + char + text[place + 1 : place + 1 + WINDOW] for char in chars]
    spans = [_word_at(variant, place - left) for variant in variants]
    start, end = min(span[0] for span in spans), max(span[1] for span in spans)
    before = segment(text[: left + start])
    document = (*before, BLANK, *segment(text[left + end :]))
    tokens = tuple(token for token in document if not token.isspace())
    return ClozeRequest(tokens, candidates=tuple(v[start:end] for v in variants), top_k=len(chars)), len(
        [token for token in before if not token.isspace()]
    )


def _word_at(text: str, place: int) -> tuple[int, int]:
    start = 0
    for word in segment(text):
        if start + len(word) > place:
            return start, start + len(word)
        start += len(word)
    raise ValueError(f"place {place} of a text of {len(text)}")


class Mender:
    """Asks the blank filler about doubtful places."""

    def __init__(self, model: Model[Any, Any, Any, Any], fold: Mapping[int, str]) -> None:
        """fold: how a character stands in the texts that the model has learnt."""
        self.model, self.fold = model, fold

    def scores(self, rows: Sequence[Sequence[Place]], read: Sequence[Sequence[str]], whole_page: bool) -> Scores:
        """ln P of the candidates of doubtful places; the text around is what was read, of the row or of the page."""
        asked, requests = [], []
        flat = "".join("".join(row) for row in read).translate(self.fold)
        start = 0
        for i, row in enumerate(rows):
            text = flat if whole_page else flat[start : start + len(row)]
            for j, candidates in enumerate(row):
                forms = list(dict.fromkeys(char.translate(self.fold) for char in candidates))
                if next(iter(candidates.values())) < SURE and len(forms) > 1:
                    asked.append((i, j, forms))
                    requests.append(blanked(text, j + (start if whole_page else 0), forms))
            start += len(row)
        found: Scores = {}
        for (i, j, forms), by_form in zip(asked, self._ask(requests), strict=True):
            probs = dict(zip(forms, by_form, strict=True))
            found[i, j] = np.log([probs[char.translate(self.fold)] for char in rows[i][j]])
        return found

    def _ask(self, requests: Sequence[tuple[ClozeRequest, int]]) -> list[list[float]]:
        """Of each request the probability of its candidates, in their order."""
        found = []
        answers = self.model.answer_all((request for request, _ in requests), BATCH)
        for (request, token), answer in zip(requests, answers, strict=True):
            blank = next(blank for blank in answer.blanks if blank.position == (token, token + 1))
            by_text = {candidate.text: candidate.confidence for candidate in blank.candidates}
            found.append([max(by_text.get(text, 0.0), 1e-9) for text in request.candidates])
        return found


def choose(
    rows: Sequence[Sequence[Place]], draft: Sequence[Sequence[str]], scores: Sequence[Scores], weights: Sequence[float]
) -> list[list[str]]:
    """The best candidate of each place by ln W + Σ weight·ln P; places that the first scores lack stay as drafted."""
    chosen = [list(line) for line in draft]
    for i, j in scores[0]:
        total = np.log(np.maximum(list(rows[i][j].values()), 1e-12))
        total += sum(weight * part[i, j] for weight, part in zip(weights, scores, strict=True))
        chosen[i][j] = list(rows[i][j])[int(total.argmax())]
    return chosen


def neighbours(
    rows: Sequence[Sequence[Place]], read: Sequence[Sequence[str]], bigrams: Bigrams, places: Scores
) -> Scores:
    """ln P(char | before) + ln P(after | char) of the candidates of some places, the characters around as read."""
    found: Scores = {}
    for i, j in places:
        chars = list(rows[i][j])
        total = np.zeros(len(chars))
        if j:
            total = total + bigrams.scores([read[i][j - 1]], chars)[0]
        if j + 1 < len(read[i]):
            total = total + bigrams.scores(chars, [read[i][j + 1]])[:, 0]
        found[i, j] = total
    return found
