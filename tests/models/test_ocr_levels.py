"""Ink is told from ground where a picture holds more than two levels, and kept whole where it holds few pixels."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tianzi_models.ocr.image import normalize_crop
from tianzi_models.ocr.levels import find_levels, ink_box
from tianzi_models.ocr.types import GrayArray

SIDE = 54
Rng = np.random.Generator


def mask() -> np.ndarray:
    """(SIDE, SIDE) in [0, 1]: something like 田 with a foot, well inside."""
    image = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(image)
    draw.rectangle((12, 10, 40, 34), outline=255, width=4)
    draw.line((26, 10, 26, 44), fill=255, width=4)
    draw.line((12, 22, 40, 22), fill=255, width=4)
    draw.line((10, 43, 43, 43), fill=255, width=4)
    return np.asarray(image) / 255.0


def clouds(rng: Rng, low: float, high: float) -> np.ndarray:
    small = Image.fromarray(rng.random((4, 4)).astype(np.float32))
    field = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return low + (high - low) * (field - field.min()) / np.ptp(field)


def outlined(rng: Rng) -> GrayArray:
    """White with a black rim, over a picture."""
    wide = np.asarray(Image.fromarray((mask() * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5))) / 255.0
    return (clouds(rng, 70, 190) * (1 - wide) + 250 * mask()).astype(np.uint8)


def on_patches(rng: Rng) -> GrayArray:
    """Black over a dark half and a light half."""
    ground = np.where(np.arange(SIDE) < rng.integers(24, 32), 100, 210) + rng.integers(0, 4, (SIDE, SIDE))
    return (ground * (1 - mask()) + 5 * mask()).astype(np.uint8)


def on_halves(rng: Rng) -> GrayArray:
    """Black on a ground that is dark and even as far as some row, light and even under it."""
    ground = np.where(np.arange(SIDE)[:, None] < rng.integers(20, 36), rng.integers(95, 110), 230)
    return (ground * (1 - mask()) + 10 * mask()).astype(np.uint8)


def shadowed(rng: Rng) -> GrayArray:
    """White on grey, with a shadow down and to the right."""
    shadow = np.roll(mask(), (2, 2), (0, 1)) * 0.7
    ground = rng.uniform(140, 210) * (1 - shadow) + rng.uniform(40, 80) * shadow
    return (ground * (1 - mask()) + 255 * mask()).astype(np.uint8)


def likeness(crop: GrayArray, other: GrayArray) -> float:
    """Correlation of two crops, 1 for the same."""
    return float(np.corrcoef(crop.ravel(), other.ravel())[0, 1])


CLEAN = normalize_crop((255 * (1 - mask())).astype(np.uint8), 48)


@pytest.mark.parametrize("picture", [outlined, on_patches, on_halves, shadowed])
@pytest.mark.parametrize("inverse", [False, True], ids=["as it is", "inverse"])
@pytest.mark.parametrize("seed", range(5))
def test_ink_on_a_ground_of_many_levels_is_found(picture: object, inverse: bool, seed: int) -> None:
    drawn = picture(np.random.default_rng(seed))  # type: ignore[operator]
    drawn = 255 - drawn if inverse else drawn
    levels = find_levels(drawn, np.bincount(drawn.ravel(), minlength=256))
    assert levels is not None
    dark_ink = (picture not in (outlined, shadowed)) != inverse
    assert (levels[0] < levels[1]) == dark_ink
    assert likeness(normalize_crop(drawn, 48), CLEAN) > 0.85


def test_what_lies_between_the_levels_is_kept_where_it_is_much() -> None:
    """As of few pixels, or out of focus: every grey of the strokes' edges tells where they are."""
    y, x = np.mgrid[-20:20, -20:20]
    soft = (0.4 * (x * x + y * y)).clip(0, 255).astype(np.uint8)  # a blot without an edge
    levels = find_levels(soft, np.bincount(soft.ravel(), minlength=256))
    dark, light = soft[soft <= 128].mean(), soft[soft > 128].mean()
    assert levels is not None
    assert levels[0] < dark < light < levels[1]


def test_two_clean_levels_become_black_and_white() -> None:
    picture = np.where(mask() > 0.5, 90, 140).astype(np.uint8)
    picture[::7, ::5] += 3  # a little of a paper's texture
    levels = find_levels(picture, np.bincount(picture.ravel(), minlength=256))
    assert levels is not None
    assert 90 < levels[0] < 100 < 130 < levels[1] < 140


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2)])
def test_no_shape_is_too_small(shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    levels = find_levels(noise, np.bincount(noise.ravel(), minlength=256))
    assert levels is None or levels[0] != levels[1]


def test_any_noise_has_levels_that_differ() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        centres = rng.integers(0, 256, rng.integers(2, 6))
        noise = (rng.choice(centres, (24, 24)) + rng.normal(0, rng.uniform(0, 30), (24, 24))).clip(0, 255)
        picture = noise.astype(np.uint8)
        levels = find_levels(picture, np.bincount(picture.ravel(), minlength=256))
        assert levels is None or abs(levels[0] - levels[1]) > 1


def test_specks_are_no_part_of_the_box() -> None:
    ink = mask() > 0.5
    box = ink_box(ink)
    ink[2, 2] = ink[50, 51] = True
    assert ink_box(ink) == box == (10, 10, 46, 44)
