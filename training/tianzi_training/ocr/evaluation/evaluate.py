"""The recogniser on fonts and photographs that it was never trained on: figures, commonest confusions, pictures."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tianzi_models.base import Model
from tianzi_models.ocr.types import GrayArray, OcrAnswer, OcrRequest
from tianzi_training.config import ConfigError
from tianzi_training.metrics import accuracy, calibration_error
from tianzi_training.ocr.data.charset import build_charset, look_alikes
from tianzi_training.ocr.data.glyphs import load_glyphs, read_catalogue
from tianzi_training.ocr.evaluation.figures import draw_confusions, draw_reliability
from tianzi_training.ocr.evaluation.test_sets import EvalSet, build_sets

CALIBRATION_BINS = 15
PER_FONT = 2000  # characters of each font in a set
KEPT_CLEAN = 0.95  # share of clean characters that the stricter threshold lets through

Answered = tuple[str, OcrAnswer]


def evaluate(model: Model[Any, Any, Any, Any], confusions: int, pictures: Path | None) -> dict[str, dict[str, Any]]:
    """Set → figures. Prints the commonest confusions of print; writes reliability.png and confusions.png."""
    sets = held_out_sets(PER_FONT)
    answers = {name: answer_all(model, one.pictures) for name, one in sets.items()}
    clean = list(zip(sets["clean, all"].truth, answers["clean, all"], strict=True))
    strict = float(np.quantile([confidence(a) for _, a in clean], 1 - KEPT_CLEAN))
    figures = {}
    for name, one in sets.items():
        rows = list(zip(one.truth, answers[name], strict=True))
        figures[name] = score(rows) if one.truth[0] else unanswered([a for _, a in rows], strict)
    figures["clean, all"]["calibration_error"] = calibration_error(
        outcomes(sets["clean, all"].truth, answers["clean, all"]), CALIBRATION_BINS
    )
    # The strict threshold as a figure, so that a reader can set it.
    figures["clean, all"]["keeps_95_percent"] = round(strict, 4)
    wrong = Counter((f[0], a.candidates[0].text) for f, a in clean if a.candidates[0].text not in f)
    print("commonest confusions:", " ".join(f"{a}→{b}×{n}" for (a, b), n in wrong.most_common(confusions)))
    lost = Counter(f[0] for f, a in clean if a.candidates[0].text not in f)
    print("worst classes:", " ".join(f"{char}×{n}" for char, n in lost.most_common(confusions)))
    if pictures is not None:
        pictures.mkdir(parents=True, exist_ok=True)
        mixed = [n for n in sets if n.startswith(("clean, all", "degraded", "hand", "brush", "number"))]
        draw_reliability({n: outcomes(sets[n].truth, answers[n]) for n in mixed}, pictures / "reliability.png")
        draw_confusions(sets["clean, all"], answers["clean, all"], pictures / "confusions.png")
    return figures


def held_out_sets(per_font: int) -> dict[str, EvalSet]:
    """The test sets of the installed held-out fonts. Raises ConfigError where there are none."""
    charset = build_charset()
    held_out = load_glyphs([font for font in read_catalogue() if font.held_out], charset)
    if not held_out:
        raise ConfigError("no held-out fonts are installed: run `./run fonts` first")
    return build_sets(charset, held_out, per_font)


def answer_all(model: Model[Any, Any, Any, Any], pictures: Sequence[GrayArray], batch: int = 64) -> list[OcrAnswer]:
    """Each picture's answer, in order."""
    return list(model.answer_all(map(OcrRequest, pictures), batch))


def confidence(answer: OcrAnswer) -> float:
    """Of the answer; 0 where it says that there is no character."""
    return 0.0 if answer.rejected else answer.candidates[0].confidence


def outcomes(truth: Sequence[str], answers: Sequence[OcrAnswer]) -> list[tuple[float, bool]]:
    """(confidence of the best candidate, whether it is right) of each picture."""
    pairs = zip(truth, answers, strict=True)
    return [(a.candidates[0].confidence, a.candidates[0].text in forms) for forms, a in pairs]


def score(rows: Sequence[Answered]) -> dict[str, Any]:
    """Top-1 with its interval, with crops that nobody can tell apart forgiven, top-5, and the share rejected."""
    right = sum(a.candidates[0].text in forms for forms, a in rows)
    forgiven = sum(bool({a.candidates[0].text} & look_alikes(forms)) for forms, a in rows)
    top5 = sum(any(c.text in forms for c in a.candidates) for forms, a in rows)
    total = max(1, len(rows))
    return {
        **accuracy(right, len(rows)),
        "forgiven": round(forgiven / total, 4),
        "top5": round(top5 / total, 4),
        "rejected": round(sum(a.rejected for _, a in rows) / total, 4),
    }


def unanswered(answers: Sequence[OcrAnswer], strict: float) -> dict[str, Any]:
    """Pictures that show no single character: the share rejected, and the share still answered at both thresholds."""
    rejected = sum(a.rejected for a in answers)
    loud = sum(confidence(a) >= strict for a in answers)
    return {
        "total": len(answers),
        "rejected": round(rejected / len(answers), 4),
        "answered_strictly": round(loud / len(answers), 4),
    }
