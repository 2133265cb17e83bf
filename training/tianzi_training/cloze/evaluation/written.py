"""Figures on texts written by hand for this project, which are never trained on: open blanks by kind, choices by kind,
and texts that do or do not hold a fitting word.

sets/open.jsonl     {"kind", "text", "answers": every word that fits}
sets/choice.jsonl   {"kind", "text", "candidates", "answer"}
sets/fits.jsonl     {"text", "answer"}, a word of the text; sets/nofit.jsonl: {"text"}, which holds none
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.types import BlankAnswer, ClozeRequest
from tianzi_training.cloze.evaluation.cmrc import BATCH, CALIBRATION_BINS
from tianzi_training.metrics import accuracy, calibration_error

SETS = Path(__file__).with_name("sets")
TOP = 5
SURE = 0.5


def evaluate(model: ClozeModel) -> dict[str, dict[str, Any]]:
    """Open blanks: the first word and the first TOP; choices; how often a text without a fitting word is answered with
    a confidence over SURE all the same, and one with a fitting word is not."""
    figures: dict[str, dict[str, Any]] = {}
    items = read("open")
    blanks = _answer(model, [ClozeRequest(item["text"], top_k=TOP) for item in items])
    pairs = [
        (blank.candidates[0].confidence, _first(blank) in item["answers"])
        for item, blank in zip(items, blanks, strict=True)
    ]
    for kind, numbers in _kinds(items):
        first = [pairs[i][1] for i in numbers]
        five = sum(any(word.text in items[i]["answers"] for word in blanks[i].candidates) for i in numbers)
        figures[f"open{kind}"] = {**accuracy(sum(first), len(first)), "first_five": round(five / len(numbers), 4)}
    figures["open"]["calibration_error"] = calibration_error(pairs, CALIBRATION_BINS)
    figures["open"]["rejected"] = round(sum(blank.rejected for blank in blanks) / len(blanks), 4)
    items = read("choice")
    blanks = _answer(model, [ClozeRequest(item["text"], candidates=tuple(item["candidates"])) for item in items])
    for kind, numbers in _kinds(items):
        figures[f"choice{kind}"] = accuracy(sum(_first(blanks[i]) == items[i]["answer"] for i in numbers), len(numbers))
    sure = {}
    for name in ("fits", "nofit"):
        items = read(name)
        blanks = _answer(model, [ClozeRequest(item["text"], source="text") for item in items])
        sure[name] = [not blank.rejected and blank.candidates[0].confidence > SURE for blank in blanks]
        if name == "fits":
            figures["a word of the text fits"] = accuracy(
                sum(_first(blank) == item["answer"] for item, blank in zip(items, blanks, strict=True)), len(items)
            )
            figures["a word of the text fits"]["rejected"] = round(sum(b.rejected for b in blanks) / len(blanks), 4)
    figures["no word of the text fits"] = {
        "answered_over_half": round(sum(sure["nofit"]) / len(sure["nofit"]), 4),
        "rejected": round(sum(blank.rejected for blank in blanks) / len(blanks), 4),
        "total": len(blanks),
    }
    return {f"written by hand, {name}": values for name, values in figures.items()}


def read(name: str) -> list[dict[str, Any]]:
    """The items of one set."""
    lines = (SETS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _answer(model: ClozeModel, requests: Sequence[ClozeRequest]) -> list[BlankAnswer]:
    return [answer.blanks[0] for answer in model.answer_all(requests, BATCH)]


def _first(blank: BlankAnswer) -> str:
    return blank.candidates[0].text


def _kinds(items: Sequence[dict[str, Any]]) -> list[tuple[str, list[int]]]:
    """("", every item), then (", KIND", its items)."""
    kinds = dict.fromkeys(item["kind"] for item in items)
    of = {kind: [i for i, item in enumerate(items) if item["kind"] == kind] for kind in kinds}
    return [("", list(range(len(items)))), *((f", {kind}", numbers) for kind, numbers in of.items())]
