"""Batches for the recogniser: glyphs drawn at random, augmented, then cropped as the server crops."""

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from tianzi_models.ocr.allowed import PLATE
from tianzi_models.ocr.image import normalize_crop
from tianzi_training.config import OcrConfig
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.augment.capture import jpeg, scan
from tianzi_training.ocr.data.charset import (
    CONFUSABLE,
    LOOK_ALIKES,
    PUNCTUATION,
    gb2312_hanzi,
    level1_hanzi,
    tgscc,
)
from tianzi_training.ocr.data.glyphs import Glyphs
from tianzi_training.ocr.data.handwriting.skeleton import Strokes, load_strokes
from tianzi_training.ocr.data.handwriting.stroke_order import Stroke
from tianzi_training.ocr.data.handwriting.synthetic_font import set_type
from tianzi_training.ocr.data.handwriting.writer import write
from tianzi_training.ocr.data.negatives import draw_nothing
from tianzi_training.ocr.data.plates import Photographs, binarise, vary

GROUP = 32  # pictures that share size, blur and the like, where they are drawn to measure
HARD_SHARE = 0.65  # of groups that are augmented, at MIN_STRENGTH to 1 of the step's level
MIN_STRENGTH = 0.3
# Fonts of regular, running and round hands and of plain thin lines, whose strokes are written anew beside KanjiVG's:
# three of four groups of hands.
WRITTEN = ("lxgw-wenkai-light", "noto-sans-light", "long-cang", "zhi-mang-xing", "yomogi", "seto", "iansui")
WRITTEN_SHARE = 0.75
MAX_HASTE = 1.4
# Those of them whose strokes are plain are also set in typefaces made up.
PLAIN = ("lxgw-wenkai-light", "noto-sans-light", "yomogi", "iansui", "kanjivg")
MADE_UP_SHARE = 0.18  # of groups of print

Render: TypeAlias = Callable[[list[Stroke], np.random.Generator], npt.NDArray[np.uint8]]
"""Strokes → a glyph, black on white."""


@dataclass(frozen=True)
class Group:
    """Glyphs that share size, blur and the like. images: (N, S, S) uint8, black on white; ids: (N,) class numbers."""

    images: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.int64]
    plate: bool
    style: str  # how they are bent, a key of augment.STYLES
    strength: float
    seed: int

    def expose(self, device: torch.device | str = "cpu") -> Tensor:
        """(N, H, H) uint8 on the device: what the camera sees of them."""
        return Augment(self.seed, self.strength, self.style, device).expose(self.images)


class GlyphSampler:
    """Draws glyphs: a font by its weight and what it has of the classes, then a class by its weight."""

    def __init__(
        self, glyphs: Sequence[Glyphs], weights: npt.NDArray[np.float64], styles: Mapping[str, float] | None = None
    ) -> None:
        """weights: (C,), 0 = never drawn. styles: factors on the weights of fonts by style, 1 where none is named."""
        kept = [g for g in glyphs if weights[g.ids].any()]
        self.glyphs = kept
        self.sums = [weights[g.ids].cumsum() for g in kept]
        factors = [g.font.weight * (styles or {}).get(g.font.style, 1.0) for g in kept]
        fonts = np.array([factor * sums[-1] for factor, sums in zip(factors, self.sums, strict=True)])
        self.font_probs = fonts / fonts.sum()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """images (count, GLYPH_PX, GLYPH_PX) uint8, ids (count,)."""
        images, ids = [], []
        for number in rng.choice(len(self.glyphs), count, p=self.font_probs):
            sums = self.sums[number]
            i = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
            images.append(self.image(rng, int(number), i))
            ids.append(self.glyphs[number].ids[i])
        return np.stack(images), np.array(ids)

    def image(self, _: np.random.Generator, number: int, i: int) -> npt.NDArray[np.uint8]:
        """Glyph i of a font."""
        return np.asarray(self.glyphs[number].images[i])


class StrokeSampler(GlyphSampler):
    """Draws glyphs anew from their strokes."""

    def __init__(
        self, sources: Sequence[tuple[Glyphs, Strokes]], weights: npt.NDArray[np.float64], render: Render
    ) -> None:
        super().__init__([glyphs for glyphs, _ in sources], weights)
        self.strokes = {id(glyphs): strokes for glyphs, strokes in sources}
        self.render = render

    def image(self, rng: np.random.Generator, number: int, i: int) -> npt.NDArray[np.uint8]:
        return self.render(self.strokes[id(self.glyphs[number])][i], rng)


def write_hastily(strokes: list[Stroke], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Strokes → a glyph, by a hand that is in more or less of a hurry."""
    return write(strokes, rng, rng.uniform(0.1, MAX_HASTE))


class OcrBatches(Dataset[tuple[Tensor, Tensor]]):
    """Item `step` is a batch: crops (N, 1, crop_px, crop_px) uint8, labels (N,) int64; `num_classes` = nothing.

    The batch is a function of seed and step alone, so that training goes on after a kill as it would have.
    """

    def __init__(
        self,
        glyphs: Sequence[Glyphs],
        charset: Sequence[str],
        config: OcrConfig,
        photographs: Photographs | None = None,
        drawings: tuple[Glyphs, Strokes] | None = None,
        written: Sequence[str] = WRITTEN,
    ) -> None:
        """photographs: of number plates, drawn beside glyphs in groups of style "plate".

        drawings: characters with the strokes that a hand makes, written anew beside those of fonts.
        written: the fonts whose strokes are followed, which takes minutes the first time.
        """
        self.num_classes, self.config = len(charset), config
        self.glyphs, self.charset = glyphs, charset
        self.photographs = photographs if photographs and photographs.pictures else None
        weights = class_weights(charset)
        self.samplers = {
            "print": GlyphSampler(glyphs, weights),
            "hand": GlyphSampler(glyphs, weights, {"hand": 5.0, "brush": 3.0, "kai": 2.0, "print": 0.4, "bitmap": 0.0}),
            "plate": GlyphSampler(glyphs, of_classes(charset, PLATE), {"brush": 0.0, "hand": 0.1}),
        }
        followed = [g for g in glyphs if g.font.name in written]
        sources = [*zip(followed, load_strokes(followed, charset), strict=True), *([drawings] if drawings else [])]
        plain = [source for source in sources if source[0].font.name in PLAIN]
        self.pen = StrokeSampler(sources, weights, write_hastily) if sources else None
        self.made_up = StrokeSampler(plain, weights, set_type) if plain else None
        self.alphanumeric = GlyphSampler(glyphs, of_classes(charset, string.ascii_letters + string.digits))

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        done = []
        for number in range(self.groups):
            group = self.draw(step, number)
            done.append(self.finish(group, group.expose().numpy()))
        crops, labels = zip(*done, strict=True)
        return torch.from_numpy(np.concatenate(crops)).unsqueeze(1), torch.from_numpy(np.concatenate(labels))

    @property
    def groups(self) -> int:
        """Of a batch."""
        return self.config.batch_size // self.config.group

    def draw(self, step: int, number: int) -> Group:
        """Group `number` of a step's batch: glyphs, and how they are to be bent."""
        c = self.config
        rng = np.random.default_rng((c.seed, step, number))
        # Easy pictures first: a fresh network learns nothing from the hard ones.
        level = min(1.0, 0.2 + 0.8 * step / max(1, c.level_warmup * c.steps))
        style = rng.choice(
            ["print", "hand", "plate"], p=[1 - c.hand_share - c.plate_share, c.hand_share, c.plate_share]
        )
        # Part stays clean print at any level.
        hard = style != "print" or rng.random() < HARD_SHARE
        strength = level * rng.uniform(MIN_STRENGTH, 1.0) if hard else 0.1
        bent = str(style)
        if style == "hand" and self.pen and rng.random() < WRITTEN_SHARE:
            # Bent already; most of what is written is seen well.
            images, ids = self.pen.draw(rng, c.group)
            strength, bent = strength * rng.uniform(0.1, 1.0), "print"
        elif style == "print" and self.made_up and rng.random() < MADE_UP_SHARE:
            images, ids = self.made_up.draw(rng, c.group)
        else:
            images, ids = self.samplers[style].draw(rng, c.group)
        return Group(images, ids, style == "plate", bent, strength, int(rng.integers(2**62)))

    def finish(
        self, group: Group, exposed: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """What the camera saw of a group (N, H, H) → crops (N, crop_px, crop_px) and labels (N,)."""
        rng, ids = np.random.default_rng(group.seed), group.ids.copy()
        pictures = [scan(rng, group.strength, picture) for picture in exposed]
        if group.plate:
            self._plates(rng, pictures, ids)
        for i in np.flatnonzero(rng.random(len(ids)) < self.config.nothing_share):
            several = group.images if rng.random() < 0.6 else self.alphanumeric.draw(rng, 4)[0]
            pictures[i], ids[i] = jpeg(rng, group.strength, draw_nothing(rng, several)), self.num_classes
        return np.stack([normalize_crop(picture, self.config.crop_px) for picture in pictures]), ids

    def _plates(
        self, rng: np.random.Generator, pictures: list[npt.NDArray[np.uint8]], ids: npt.NDArray[np.int64]
    ) -> None:
        """Puts photographs in the place of some, and binarises more than half, as plate readers do."""
        for i in range(len(pictures)):
            if self.photographs and rng.random() < 0.3:
                number = int(rng.integers(len(self.photographs.pictures)))
                pictures[i], ids[i] = vary(rng, self.photographs.pictures[number]), self.photographs.ids[number]
            if rng.random() < 0.6:
                pictures[i] = binarise(rng, pictures[i])


def class_weights(charset: Sequence[str]) -> npt.NDArray[np.float64]:
    """(C,): how often a class is drawn, 1 for the 3,755 hanzi of GB 2312 level 1, twice that for look-alikes.

    Digits four times: of an upright stroke by itself 1 is a better guess than l, / or |; as 一 is of a level one.
    Traditional forms a third: where a face leaves open whether it is 决 or 決, 决 is the better guess.
    """
    level1, confusable = set(level1_hanzi()), {char for group in CONFUSABLE for char in group}
    simplified = {*gb2312_hanzi(), *"".join(tgscc())}
    indistinct = {char for group in LOOK_ALIKES for char in group}
    weights = []
    for forms in charset:
        char = forms[0]
        if char in string.digits:
            weight = 4.0
        elif char in level1 & indistinct:
            weight = 6.0
        elif ord(char) < 128 or char in PUNCTUATION:
            weight = 2.0
        else:
            weight = 1.0 if char in level1 else 0.6 if char in simplified else 0.33
        weights.append(weight * 2 if char in confusable and ord(char) > 127 else weight)
    return np.array(weights)


def of_classes(charset: Sequence[str], chars: str) -> npt.NDArray[np.float64]:
    """(C,): 1 for the classes of some characters, 0 for the others."""
    return np.array([float(any(form in chars for form in forms)) for forms in charset])
