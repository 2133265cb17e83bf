"""Accuracy of a cloze bundle on questions in CMRC 2017's format, through the code that serves it."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import track

from models.cloze.cmrc import read_answers, read_doc_query, to_request
from models.cloze.model import ClozeModel
from models.cloze.text import ClozeItem
from training.config import ConfigError
from training.evaluate import accuracy

BATCH = 16


def evaluate(model: ClozeModel, questions: Path, answers: Path) -> dict[str, dict[str, Any]]:
    """Figures on a file: the model's accuracy, and that of always naming the document's most frequent word.

    Raises:
        InvalidInput: a file is not of the format.
        ConfigError: a question has no answer.
    """
    truth = read_answers(answers)
    right = frequent = total = known = 0
    for qids, items in _batches(model, questions):
        for qid, item, output in zip(qids, items, model.run(items), strict=True):
            if qid not in truth:
                raise ConfigError(f"{answers}: no answer for {qid}")
            best = model.postprocess(item, output).blanks[0].candidates[0].text
            total += 1
            right += best == truth[qid]
            frequent += most_frequent(item) == truth[qid]
            known += any(text == truth[qid] for text, _ in item.candidates)
    name = questions.stem
    return {
        name: {**accuracy(right, total), "answer_among_candidates": round(known / max(1, total), 4)},
        f"{name}, most frequent word": accuracy(frequent, total),
    }


def most_frequent(item: ClozeItem) -> str:
    """The candidate of two characters or more that stands in the document most often."""
    counts = Counter({text: len(spans) for text, spans in item.candidates if len(text) > 1})
    return counts.most_common(1)[0][0] if counts else ""


def _batches(model: ClozeModel, questions: Path) -> Iterator[tuple[list[str], Sequence[ClozeItem]]]:
    asked = list(read_doc_query(questions))
    for start in track(range(0, len(asked), BATCH), questions.name, disable=not sys.stderr.isatty()):
        part = asked[start : start + BATCH]
        yield [qid for qid, _, _ in part], [model.preprocess(to_request(doc, query, top_k=1)) for _, doc, query in part]
