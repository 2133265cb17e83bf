"""Strokes made of dots are joined, and nothing else is blurred."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tianzi_models.ocr.dots import is_dotted
from tianzi_models.ocr.image import normalize_crop

SIDE = 60


def drawing(ink: int = 0, ground: int = 255, side: int = SIDE) -> Image.Image:
    """Something like 日 with a foot."""
    image = Image.new("L", (side, side), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0.25 * side, 0.2 * side, 0.7 * side, 0.7 * side), outline=ink, width=side // 12)
    draw.line((0.25 * side, 0.45 * side, 0.7 * side, 0.45 * side), fill=ink, width=side // 12)
    draw.line((0.2 * side, 0.85 * side, 0.8 * side, 0.85 * side), fill=ink, width=side // 12)
    return image


CLEAN = normalize_crop(np.asarray(drawing()), 48).astype(float)


def likeness(picture: Image.Image) -> float:
    """Correlation of the picture's crop with the clean drawing's."""
    crop = normalize_crop(np.asarray(picture.convert("L")), 48).astype(float)
    return float(np.corrcoef(crop.ravel(), CLEAN.ravel())[0, 1])


@pytest.mark.parametrize(("ink", "ground"), [(0, 150), (60, 170), (0, 120)])
def test_scattered_dots_are_joined(ink: int, ground: int, monkeypatch: pytest.MonkeyPatch) -> None:
    fax = drawing(ink, ground).convert("1")
    joined = likeness(fax)
    monkeypatch.setattr("tianzi_models.ocr.image.is_dotted", lambda _: False)
    assert joined > 0.75 and joined > likeness(fax) + 0.1


@pytest.mark.parametrize("share", [0.0, 0.05, 0.15])
def test_whole_strokes_with_or_without_noise_are_not(share: float) -> None:
    rng = np.random.default_rng(1)
    assert not is_dotted((np.asarray(drawing()) < 128) | (rng.random((SIDE, SIDE)) < share))


@pytest.mark.parametrize("margin", [0, 20, 60])
def test_a_margin_changes_nothing(margin: int) -> None:
    needles = np.zeros((SIDE, SIDE), bool)
    needles[::2, ::2] = needles[1::2, 1::2] = np.asarray(drawing())[::2, ::2] < 128
    assert is_dotted(np.pad(needles, margin))


def test_a_picture_of_few_pixels_is_not() -> None:
    checkered = (np.indices((30, 30)).sum(axis=0) % 2).astype(bool)
    assert not is_dotted(checkered) and is_dotted(np.tile(checkered, (2, 2)))
