"""The recogniser on fonts that it was never trained on: by kind of character, degraded, with ink noise, and nothing."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.base import Model
from models.ocr.types import GrayArray, OcrAnswer, OcrRequest
from training.config import ConfigError
from training.data.augment import Augment
from training.data.charset import build_charset, gb2312_hanzi, level1_hanzi, look_alikes, tgscc
from training.data.glyphs import Glyphs, load_glyphs, read_catalogue
from training.data.ocr import GROUP, draw_nothing
from training.evaluate import accuracy

PER_FONT = 4000  # characters of each font in the sets that are degraded
NOTHING = 2000  # pictures without a single readable character
SEED = 7


def evaluate(model: Model[Any, Any, Any, Any], confusions: int) -> dict[str, dict[str, Any]]:
    """Set → figures; prints the commonest confusions of clean print."""
    charset = build_charset()
    held_out = [g for g in load_glyphs(read_catalogue(), charset) if g.font.held_out]
    if not held_out:
        raise ConfigError("no held-out fonts are installed: run `./run fonts` first")
    rng = np.random.default_rng(SEED)
    figures: dict[str, dict[str, Any]] = {}
    wrong: Counter[tuple[str, str]] = Counter()
    answers: list[tuple[str, OcrAnswer]] = []
    for glyphs in held_out:
        truth = [charset[number] for number in glyphs.ids]
        for forms, answer in zip(truth, answer_all(model, list(glyphs.images)), strict=True):
            answers.append((forms, answer))
            if answer.candidates[0].text not in forms:
                wrong[forms[0], answer.candidates[0].text] += 1
        rows = [(f, a) for f, a in answers[-len(truth) :] if f[0] in set(level1_hanzi())]
        figures[f"clean, level-1 hanzi, {glyphs.font.name}"] = score(rows)
    for name, members in kinds().items():
        figures[f"clean, {name}"] = score([(f, a) for f, a in answers if f[0] in members])
    figures["clean, all"] = {**score(answers), "calibration_error": calibration_error(answers)}
    figures["degraded, all"] = _altered(model, held_out, charset, rng, _degrade)
    for percent in (5, 15):
        noisy = _altered(model, held_out, charset, rng, lambda images, share=percent: _ink_noise(images, share, rng))
        figures[f"{percent} % ink noise, all"] = noisy
    blanks = [draw_nothing(rng, held_out[0].images[:GROUP], Augment(n, 1.0)) for n in range(NOTHING)]
    rejected = sum(answer.rejected for answer in answer_all(model, blanks))
    figures["nothing readable: rejected"] = accuracy(rejected, len(blanks))
    print("commonest confusions:", " ".join(f"{a}→{b}×{n}" for (a, b), n in wrong.most_common(confusions)))
    return figures


def answer_all(model: Model[Any, Any, Any, Any], pictures: Sequence[GrayArray], batch: int = 64) -> list[OcrAnswer]:
    """Each picture's answer, in order."""
    answers: list[OcrAnswer] = []
    for start in range(0, len(pictures), batch):
        items = [model.preprocess(OcrRequest(picture)) for picture in pictures[start : start + batch]]
        answers += [model.postprocess(i, o) for i, o in zip(items, model.run(items), strict=True)]
    return answers


def kinds() -> dict[str, set[str]]:
    """Groups of classes that are reported apart."""
    simplified = set(gb2312_hanzi()) | set("".join(tgscc()))
    charset = {forms[0] for forms in build_charset()}
    hanzi = {char for char in charset if "\u4e00" <= char <= "\u9fff" or char > "\U00020000"} | simplified
    return {
        "level-1 hanzi": set(level1_hanzi()),
        "level-2 hanzi": set(gb2312_hanzi()) - set(level1_hanzi()),
        "hanzi of the 8,105 outside GB 2312": set("".join(tgscc())) - set(gb2312_hanzi()),
        "traditional hanzi outside both": hanzi - simplified,
        "letters, digits, punctuation": charset - hanzi,
    }


def score(rows: Sequence[tuple[str, OcrAnswer]]) -> dict[str, Any]:
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


def calibration_error(rows: Sequence[tuple[str, OcrAnswer]], bins: int = 15) -> float:
    """Expected calibration error of the top confidence (arXiv:1706.04599 §2)."""
    confidence = np.array([a.candidates[0].confidence for _, a in rows])
    right = np.array([a.candidates[0].text in forms for forms, a in rows], dtype=np.float64)
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(float((right - confidence)[place == b].sum())) for b in range(bins)]
    return round(sum(gaps) / len(rows), 4)


def _altered(
    model: Model[Any, Any, Any, Any],
    fonts: Sequence[Glyphs],
    charset: Sequence[str],
    rng: np.random.Generator,
    alter: Callable[[npt.NDArray[np.uint8]], list[GrayArray]],
) -> dict[str, Any]:
    """Figures on PER_FONT characters of each font, changed a group at a time."""
    rows: list[tuple[str, OcrAnswer]] = []
    for glyphs in fonts:
        chosen = rng.permutation(len(glyphs.ids))[: PER_FONT // GROUP * GROUP]
        pictures: list[GrayArray] = []
        for start in range(0, len(chosen), GROUP):
            pictures += alter(glyphs.images[chosen[start : start + GROUP]])
        rows += zip([charset[n] for n in glyphs.ids[chosen]], answer_all(model, pictures), strict=True)
    return score(rows)


def _degrade(images: npt.NDArray[np.uint8]) -> list[GrayArray]:
    augment = Augment(int(images[0].sum()), 1.0)
    return augment.photograph(1 - torch.from_numpy(images).float().unsqueeze(1) / 255)


def _ink_noise(images: npt.NDArray[np.uint8], percent: int, rng: np.random.Generator) -> list[GrayArray]:
    """The source article's noise: a share of all pixels turned to ink."""
    return list(np.where(rng.random(images.shape) < percent / 100, 0, images).astype(np.uint8))
