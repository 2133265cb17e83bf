"""Batches for the recogniser: glyphs drawn at random, augmented, then cropped as the server crops."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import Dataset

from models.ocr.image import normalize_crop
from training.data.augment import Augment
from training.data.charset import PUNCTUATION, level1_hanzi
from training.data.glyphs import GLYPH_PX, Glyphs

GROUP = 32  # pictures of one call share size, blur and the like
HARD_SHARE = 0.65  # of groups that are augmented at the step's level


class OcrBatches(Dataset[tuple[Tensor, Tensor]]):
    """Item `step` is a batch: crops (N, 1, crop_px, crop_px) uint8, labels (N,) int64; `num_classes` = nothing.

    The batch is a function of seed and step alone, so that training goes on after a kill as it would have.
    """

    def __init__(
        self,
        glyphs: Sequence[Glyphs],
        charset: Sequence[str],
        *,
        steps: int,
        batch_size: int,
        crop_px: int,
        seed: int,
        warmup: float,
        nothing_share: float,
    ) -> None:
        self.glyphs = glyphs
        self.num_classes = len(charset)
        self.steps, self.batch_size, self.crop_px = steps, batch_size, crop_px
        self.seed, self.warmup, self.nothing_share = seed, warmup, nothing_share
        weights = class_weights(charset)
        fonts = np.array([g.font.weight * weights[g.ids].sum() for g in glyphs])
        self.font_probs = fonts / fonts.sum()
        self.glyph_sums = [weights[g.ids].cumsum() for g in glyphs]

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, step))
        # Easy pictures first: a fresh network learns nothing from the hard ones.
        level = min(1.0, 0.2 + 0.8 * step / max(1, self.warmup * self.steps))
        crops, labels = [], []
        for _ in range(self.batch_size // GROUP):
            images, ids = self._draw(rng)
            # Part stays clean print at any level.
            augment = Augment(int(rng.integers(2**62)), level if rng.random() < HARD_SHARE else 0.1)
            ink = 1 - torch.from_numpy(images).float().unsqueeze(1) / 255
            pictures = augment.photograph(ink)
            for i in np.flatnonzero(rng.random(GROUP) < self.nothing_share):
                pictures[i], ids[i] = draw_nothing(rng, images, augment), self.num_classes
            crops += [normalize_crop(picture, self.crop_px) for picture in pictures]
            labels.append(ids)
        return torch.from_numpy(np.stack(crops)).unsqueeze(1), torch.from_numpy(np.concatenate(labels))

    def _draw(self, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        images, ids = [], []
        for number in rng.choice(len(self.glyphs), GROUP, p=self.font_probs):
            glyphs = self.glyphs[number]
            sums = self.glyph_sums[number]
            i = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
            images.append(glyphs.images[i])
            ids.append(glyphs.ids[i])
        return np.stack(images), np.array(ids)


def class_weights(charset: Sequence[str]) -> npt.NDArray[np.float64]:
    """(C,): how often a class is drawn, 1 for the 3,755 hanzi of GB 2312 level 1."""
    level1 = set(level1_hanzi())
    weights = [
        1.0 if form[0] in level1 else 2.0 if ord(form[0]) < 128 or form[0] in PUNCTUATION else 0.6 for form in charset
    ]
    return np.array(weights)


def draw_nothing(rng: np.random.Generator, glyphs: npt.NDArray[np.uint8], augment: Augment) -> npt.NDArray[np.uint8]:
    """A picture without a single readable character: blank, noise, scribble, shapes, or several characters."""
    kind = rng.choice(["blank", "noise", "scribble", "shapes", "several"], p=[0.1, 0.15, 0.25, 0.2, 0.3])
    side = int(rng.integers(24, 96))
    if kind == "noise":
        return _noise(rng, side)
    if kind == "several":
        picture = _several(rng, glyphs)
        return augment.jpeg(picture) if rng.random() < 0.7 else 255 - picture
    image = Image.new("L", (side, side), int(rng.integers(150, 256)))
    draw = ImageDraw.Draw(image)
    if kind == "scribble":
        for _ in range(rng.integers(1, 4)):
            points = np.cumsum(rng.normal(0, side / 5, (int(rng.integers(5, 24)), 2)), axis=0) + side / 2
            draw.line(
                [tuple(p) for p in points], fill=int(rng.integers(0, 120)), width=int(rng.integers(1, 5)), joint="curve"
            )
    elif kind == "shapes":
        # Several, or one filled: a single outline would be a 口 or a 〇.
        for _ in range(rng.integers(2, 6)):
            (x0, x1), (y0, y1) = np.sort(rng.integers(0, side, 2)), np.sort(rng.integers(0, side, 2))
            shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
            shape((x0, y0, x1, y1), fill=int(rng.integers(0, 200)))
    gray = np.asarray(image).astype(np.float64) + rng.normal(0, rng.uniform(0, 6), (side, side))
    picture = np.clip(gray, 0, 255).astype(np.uint8)
    return picture if rng.random() < 0.7 else 255 - picture


def _noise(rng: np.random.Generator, side: int) -> npt.NDArray[np.uint8]:
    """Grain of any coarseness, from sensor noise to clouds; or a share of black pixels."""
    if rng.random() < 0.3:
        return np.where(rng.random((side, side)) < rng.uniform(0.01, 0.5), 0, 255).astype(np.uint8)
    coarse = int(rng.integers(3, side + 1))
    values = rng.normal(128, rng.uniform(10, 60), (coarse, coarse)).clip(0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def _several(rng: np.random.Generator, glyphs: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two to four whole characters in a row or a column, which no single character is as long as."""
    count = int(rng.integers(2, 5))
    chosen = glyphs[rng.choice(len(glyphs), count, replace=False)]
    gap = int(rng.integers(0, 6))
    cut = [np.pad(g, gap, constant_values=255) for g in chosen]
    row = np.concatenate(cut, axis=int(rng.random() < 0.75))
    side = int(rng.integers(20, GLYPH_PX + 1))
    image = Image.fromarray(row)
    return np.asarray(image.resize((max(8, row.shape[1] * side // GLYPH_PX), max(8, row.shape[0] * side // GLYPH_PX))))
