"""Number plates: real photographs of their characters, and what a binarising plate reader makes of any picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]

BINARY_PX = 20
HELD_OUT_EVERY = 5  # of a class's photographs, each fifth is kept for measuring


@dataclass(frozen=True)
class Photographs:
    """pictures: N grey arrays of any size; ids: (N,) class numbers."""

    pictures: list[Picture]
    ids: npt.NDArray[np.int64]


def load_plates(folder: Path, charset: Sequence[str]) -> tuple[Photographs, Photographs]:
    """Photographs to train on and those held out, from folder/CHARACTER/*.jpg; both empty where there is no folder."""
    number = {forms[0]: i for i, forms in enumerate(charset)}
    split: tuple[list[tuple[Picture, int]], list[tuple[Picture, int]]] = ([], [])
    for province in sorted(p for p in folder.glob("*") if p.name in number):
        for i, file in enumerate(sorted(province.glob("*.jpg"))):
            with Image.open(file) as image:
                split[i % HELD_OUT_EVERY == 0].append((np.asarray(image.convert("L")), number[province.name]))
    train, held_out = (Photographs([p for p, _ in part], np.array([i for _, i in part], np.int64)) for part in split)
    return train, held_out


def vary(rng: np.random.Generator, picture: Picture) -> Picture:
    """The same photograph, cut, turned, lit and grained a little otherwise."""
    height, width = picture.shape
    pad = np.pad(picture, 4, mode="edge")
    image = Image.fromarray(pad).rotate(rng.uniform(-4, 4), Image.Resampling.BILINEAR, fillcolor=int(np.median(pad)))
    left, top, right, bottom = rng.integers(2, 6, 4)
    image = image.crop((int(left), int(top), width + 8 - int(right), height + 8 - int(bottom)))
    zoom = rng.uniform(0.8, 2.0)
    size = (max(10, round(image.width * zoom * rng.uniform(0.9, 1.15))), max(10, round(image.height * zoom)))
    gray = np.asarray(image.resize(size, Image.Resampling.BILINEAR)).astype(np.float64)
    gray = (gray - gray.mean()) * rng.uniform(0.6, 1.5) + gray.mean() + rng.uniform(-30, 30)
    gray += rng.normal(0, rng.uniform(0, 8), gray.shape)
    gray = gray.clip(0, 255).astype(np.uint8)
    return 255 - gray if rng.random() < 0.3 else gray


def binarise(rng: np.random.Generator, picture: Picture) -> Picture:
    """(H, W) → (20, 20) of two levels: squared up or stretched, scaled, then cut near Otsu's threshold."""
    height, width = picture.shape
    if rng.random() < 0.7:
        side = max(height, width)
        rim = int(np.median(np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])))
        square = np.full((side, side), rim, np.uint8)
        top, left = (side - height) // 2, (side - width) // 2
        square[top : top + height, left : left + width] = picture
        picture = square
    resample = Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.BILINEAR
    small = np.asarray(Image.fromarray(picture).resize((BINARY_PX, BINARY_PX), resample)).astype(np.float64)
    low, high = small.min(), small.max()
    levels = np.histogram(small, 64, (low, high + 1e-6))
    cut = _otsu(levels[0].astype(np.float64), (levels[1][:-1] + levels[1][1:]) / 2)
    cut += rng.uniform(-0.12, 0.12) * (high - low)
    return np.where(small < cut, 0, 255).astype(np.uint8)


def _otsu(counts: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> float:
    below = counts.cumsum()[:-1]
    above = counts.sum() - below
    total = (counts * centres).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total[:-1] / below - (total[-1] - total[:-1]) / above) ** 2
    return float(centres[int(np.nanargmax(np.nan_to_num(between)))])
