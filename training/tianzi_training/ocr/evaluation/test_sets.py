"""The recogniser's test sets, made of fonts and photographs that it was never trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.types import GrayArray
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.batches import GROUP
from tianzi_training.ocr.data.charset import CONFUSABLE, LOOK_ALIKES, gb2312_hanzi, level1_hanzi, tgscc
from tianzi_training.ocr.data.glyphs import Glyphs
from tianzi_training.ocr.data.handwriting.kanjivg import load_stroke_order
from tianzi_training.ocr.data.handwriting.skeleton import trace_all
from tianzi_training.ocr.data.handwriting.writer import write
from tianzi_training.ocr.data.negatives import draw_nothing, draw_several
from tianzi_training.ocr.data.plates import binarise, load_plates
from tianzi_training.ocr.evaluation.corruptions.spoiled import KINDS, spoil

SEED = 7
SPOILED, SPOILED_PART = "spoiled: ", 8
"""Before each kind's name; each has this part of the other sets' pictures, as there are many."""
PLATES = Path("data/plates")

Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class EvalSet:
    """Pictures with the classes that they show (all forms of each); "" where there is no single character."""

    pictures: Sequence[GrayArray]
    truth: Sequence[str]

    def __len__(self) -> int:
        return len(self.truth)


def build_sets(charset: Sequence[str], held_out: Sequence[Glyphs], per_font: int) -> dict[str, EvalSet]:
    """Name → set. per_font: characters of each font and set at most.

    Clean print by kind of character and by font; print that is degraded, noisy or spoiled; hands, brushes, and
    their strokes written anew, also in the true order where KanjiVG is; number plates where their photographs are; and
    pictures that must not be answered.
    """
    rng = np.random.default_rng(SEED)
    printed = [g for g in held_out if g.font.style in ("print", "kai")]
    sets = {f"clean, {name}": _draw(printed, charset, rng, per_font, of) for name, of in kinds(charset).items()}
    level1 = kinds(charset)["level-1 hanzi"]
    for glyphs in printed:
        sets[f"clean, level-1 hanzi, {glyphs.font.name}"] = _draw([glyphs], charset, rng, per_font, level1)
    for strength in (0.5, 1.0):
        altered = _alter(_draw(printed, charset, rng, per_font, level1), lambda g, s=strength: degrade(g, s))
        sets[f"degraded at {strength:.0%} of the training's strength, level-1 hanzi"] = altered
    for kind in KINDS:
        some = _draw(printed, charset, rng, per_font // SPOILED_PART, level1)
        sets[f"{SPOILED}{kind}, level-1 hanzi"] = _alter(some, lambda g, k=kind: spoil(k, g, rng))
    for percent in (5, 15):
        clean = _draw(printed, charset, rng, per_font, level1)
        sets[f"{percent} % ink noise, level-1 hanzi"] = _alter(clean, lambda g, p=percent: ink_noise(g, p, rng))
    for style in ("hand", "brush"):
        fonts = [g for g in held_out if g.font.style == style]
        sets[f"{style}, all classes"] = _draw(fonts, charset, rng, per_font, set())
    written = [g for g in held_out if g.font.style in ("kai", "hand")]
    for haste in (0.5, 1.0):
        some = _draw(written, charset, rng, per_font // SPOILED_PART, level1)
        name = f"written anew, haste {haste}, level-1 hanzi"
        sets[name] = _alter(some, lambda g, h=haste: [write(strokes, rng, h) for strokes in trace_all(g)])
    if drawings := load_stroke_order(charset, held_out=True):
        for haste in (0.5, 1.0):
            sets[f"written in stroke order, haste {haste}, all classes"] = EvalSet(
                [write(drawings[1][i], rng, haste) for i in range(len(drawings[0].ids))],
                [charset[n] for n in drawings[0].ids],
            )
    photographs = load_plates(PLATES, charset)[1]
    truth = [charset[n] for n in photographs.ids]
    sets["number plates, photographs"] = EvalSet(photographs.pictures, truth)
    sets["number plates, binarised 20×20"] = EvalSet([binarise(rng, p) for p in photographs.pictures], truth)
    sample = _draw(printed, charset, rng, 4 * GROUP, set())
    glyphs = np.stack(sample.pictures) if len(sample) else np.zeros((0, 1, 1), np.uint8)
    count = 2 * per_font if len(sample) else 0
    sets["nothing readable"] = EvalSet([draw_nothing(rng) for _ in range(count)], [""] * count)
    sets["several characters"] = EvalSet([draw_several(rng, glyphs) for _ in range(count)], [""] * count)
    return {name: one for name, one in sets.items() if len(one)}


def kinds(charset: Sequence[str]) -> dict[str, set[str]]:
    """Groups of classes that are reported apart, by the character that is answered."""
    known = {forms[0] for forms in charset}
    simplified = set(gb2312_hanzi()) | set("".join(tgscc()))
    hanzi = {char for char in known if "\u4e00" <= char <= "\u9fff" or char > "\U00020000"} | (simplified & known)
    return {
        "level-1 hanzi": set(level1_hanzi()),
        "level-2 hanzi": set(gb2312_hanzi()) - set(level1_hanzi()),
        "hanzi of the 8,105 outside GB 2312": set("".join(tgscc())) - set(gb2312_hanzi()),
        "traditional hanzi outside both": hanzi - simplified,
        "letters, digits, punctuation": known - hanzi,
        "look-alike hanzi": {char for group in CONFUSABLE for char in group},
        "look-alikes that size and place would tell": {char for group in LOOK_ALIKES for char in group},
        "all": set(),
    }


def degrade(images: Images, strength: float) -> list[GrayArray]:
    """The training's distortions, all at once; strength: 0 to 1."""
    augment = Augment(int(images[0].sum()), strength)
    return augment.photograph(images)


def ink_noise(images: Images, percent: int, rng: np.random.Generator) -> list[GrayArray]:
    """The source article's noise: a share of all pixels turned to ink."""
    return list(np.where(rng.random(images.shape) < percent / 100, 0, images).astype(np.uint8))


def _draw(
    fonts: Sequence[Glyphs], charset: Sequence[str], rng: np.random.Generator, per_font: int, of: set[str]
) -> EvalSet:
    """At most per_font glyphs of each font, of some classes; an empty set stands for all."""
    pictures: list[GrayArray] = []
    truth: list[str] = []
    for glyphs in fonts:
        fitting = np.array([i for i, n in enumerate(glyphs.ids) if not of or charset[n][0] in of], np.int64)
        for i in np.sort(rng.permutation(fitting)[:per_font]):
            pictures.append(np.asarray(glyphs.images[i]))
            truth.append(charset[glyphs.ids[i]])
    return EvalSet(pictures, truth)


def _alter(clean: EvalSet, alter: Callable[[Images], list[GrayArray]]) -> EvalSet:
    """The same characters, changed a group at a time."""
    order = np.random.default_rng(SEED).permutation(len(clean))
    pictures: list[GrayArray] = []
    for start in range(0, len(order), GROUP):
        pictures += alter(np.stack([clean.pictures[i] for i in order[start : start + GROUP]]))
    return EvalSet(pictures, [clean.truth[i] for i in order])
