"""Accuracy of a cloze bundle on questions in CMRC 2017's format, through the code that serves it."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from tianzi_models.cloze.cmrc import read_answers, read_doc_query, to_request
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.text import ClozeItem
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer
from tianzi_training.cloze.evaluation.figures import body_font, draw_explanations
from tianzi_training.config import ConfigError
from tianzi_training.metrics import accuracy, calibration_error

BATCH = 16
CALIBRATION_BINS = 10
SHEET_QUESTIONS = 50
CONTEXT_TOKENS = 20


@dataclass(frozen=True)
class Outcome:
    """One question with the answer that was given. tokens: of the document and, where it holds the blank, the query."""

    qid: str
    tokens: tuple[str, ...]
    truth: str
    answer: ClozeAnswer
    known: bool
    frequent: str

    @property
    def right(self) -> bool:
        return self.answer.blanks[0].candidates[0].text == self.truth

    @property
    def confidence(self) -> float:
        return self.answer.blanks[0].candidates[0].confidence

    @property
    def blank(self) -> int:
        return next(i for i, token in enumerate(self.tokens) if "XXXXX" in token)

    @property
    def places(self) -> list[int]:
        """Where the true answer stands."""
        return [i for i, token in enumerate(self.tokens) if token == self.truth]


def evaluate(
    model: ClozeModel, questions: Path, answers: Path, pictures: Path | None = None
) -> dict[str, dict[str, Any]]:
    """Figures on a file: the model's accuracy whole and by kind of question, and that of the most frequent word.

    pictures: folder for errors.md, the most confident errors for reading, and explanations.png, what was weighed.

    Raises:
        InvalidInput: a file is not of the format.
        ConfigError: a question has no answer.
    """
    truth = read_answers(answers)
    outcomes = list(answer_all(model, questions, truth, answers))
    name, total = questions.stem, len(outcomes)
    known = sum(one.known for one in outcomes) / max(1, total)
    figures: dict[str, dict[str, Any]] = {
        name: {
            **_share(outcomes),
            "answer_among_candidates": round(known, 4),
            "calibration_error": calibration_error([(one.confidence, one.right) for one in outcomes], CALIBRATION_BINS),
        },
        f"{name}, most frequent word": accuracy(sum(one.frequent == one.truth for one in outcomes), total),
    }
    for feature, of in FEATURES.items():
        groups: dict[str, list[Outcome]] = {}
        for one in outcomes:
            groups.setdefault(of(one), []).append(one)
        for value in sorted(groups):
            figures[f"{name}, {feature} {value}"] = _share(groups[value])
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        (pictures / "errors.md").write_text(error_sheet(outcomes), encoding="utf-8")
        if (font := body_font()) is None:
            print("cloze: no font, no explanations.png; see ./run fonts", file=sys.stderr)
        else:
            draw_explanations(examples(outcomes), font, pictures / "explanations.png")
    return figures


def answer_all(model: ClozeModel, questions: Path, truth: dict[str, str], answers: Path) -> Iterator[Outcome]:
    """Every question of the file, answered. Raises: as evaluate."""
    asked = list(read_doc_query(questions))
    top_k = model.bundle.facts["max_top_k"]
    for start in track(range(0, len(asked), BATCH), questions.name, disable=not sys.stderr.isatty()):
        part = asked[start : start + BATCH]
        items = [model.preprocess(to_request(document, query, top_k=top_k)) for _, document, query in part]
        for (qid, document, query), item, output in zip(part, items, model.run(items), strict=True):
            if qid not in truth:
                raise ConfigError(f"{answers}: no answer for {qid}")
            tokens = document if any("XXXXX" in token for token in document) else (*document, *query)
            known = any(text == truth[qid] for text, _ in item.candidates)
            answer = model.postprocess(item, output)
            yield Outcome(qid, tokens, truth[qid], answer, known, most_frequent(item))


def most_frequent(item: ClozeItem) -> str:
    """The candidate of two characters or more that stands in the document most often."""
    counts = Counter({text: len(spans) for text, spans in item.candidates if len(text) > 1})
    return counts.most_common(1)[0][0] if counts else ""


def _binned(value: float, bounds: Sequence[int], unit: str) -> str:
    """The range, 3 to 5 say, between bounds that holds the value."""
    low = max((b for b in bounds if b <= value), default=0)
    high = min((b for b in bounds if b > value), default=None)
    if high is None:
        return f"{low} {unit} or more"
    return f"{low} {unit}" if high == low + 1 else f"{low} to {high - 1} {unit}"


FEATURES: dict[str, Callable[[Outcome], str]] = {
    "answer of": lambda one: _binned(len(one.truth), (1, 2, 3, 4), "characters"),
    "answer stands": lambda one: _binned(len(one.places), (0, 1, 2, 3, 6), "times besides"),
    "blank at": lambda one: f"{int(4 * one.blank / len(one.tokens)) + 1}. quarter",
    "nearest": lambda one: _binned(
        min((abs(place - one.blank) for place in one.places), default=9999), (0, 10, 30, 100), "words away"
    ),
}
"""Kinds of question that are reported apart."""


def error_sheet(outcomes: Sequence[Outcome]) -> str:
    """The most confident errors as Markdown: around the blank, the truth with its places, what was answered."""
    wrong = sorted((one for one in outcomes if not one.right), key=lambda one: -one.confidence)
    lines = [f"# {len(wrong)} of {len(outcomes)} wrong; the {min(len(wrong), SHEET_QUESTIONS)} surest", ""]
    for one in wrong[:SHEET_QUESTIONS]:
        given = "，".join(f"{c.text} {c.confidence:.2f}" for c in one.answer.blanks[0].candidates[:3])
        lines += [f"## {one.qid}: {one.truth}, answered {given}", "", _around(one.tokens, one.blank), ""]
        near = sorted(one.places, key=lambda place: abs(place - one.blank))[:2]
        lines += [f"- {_around(one.tokens, place, 8)}" for place in near] or ["- does not stand in the document"]
        lines.append("")
    return "\n".join(lines)


def examples(outcomes: Sequence[Outcome], each: int = 2) -> list[tuple[str, Sequence[str], BlankAnswer]]:
    """Some right and some wrong answers with what was weighed: those whose confidence is nearest one half."""
    shown = []
    for right in (True, False):
        those = sorted((one for one in outcomes if one.right == right), key=lambda one: abs(one.confidence - 0.5))
        for one in those[:each]:
            given = "，".join(f"{c.text} {c.confidence:.2f}" for c in one.answer.blanks[0].candidates[:5])
            shown.append((f"{one.qid}  {one.truth} → {given}", one.tokens, one.answer.blanks[0]))
    return shown


def _around(tokens: Sequence[str], place: int, width: int = CONTEXT_TOKENS) -> str:
    before, after = tokens[max(0, place - width) : place], tokens[place + 1 : place + 1 + width]
    return f"{''.join(before)} **{tokens[place]}** {''.join(after)}"


def _share(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return accuracy(sum(one.right for one in outcomes), len(outcomes))
