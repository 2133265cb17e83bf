"""Pictures of print that is spoiled, for measuring and for training."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from tianzi_models.ocr.image import normalize_crop
from tianzi_training.ocr.data.augment.clutter import frame, neighbours, relief, rules, stamp, surround
from tianzi_training.ocr.data.augment.degradation import dots, emboss, gaps, holes, strike, wear
from tianzi_training.ocr.data.augment.dice import Dice
from tianzi_training.ocr.data.glyphs import GLYPH_PX
from tianzi_training.ocr.evaluation.corruptions.spoiled import KINDS, spoil


def glyphs(count: int = 4) -> np.ndarray:
    """A cross and a frame, 56 px large."""
    image = Image.new("L", (GLYPH_PX, GLYPH_PX), 255)
    draw = ImageDraw.Draw(image)
    draw.rectangle((8, 4, 56, 60), outline=0, width=5)
    draw.line((32, 4, 32, 60), fill=0, width=5)
    draw.line((8, 30, 56, 30), fill=0, width=5)
    return np.stack([np.asarray(image)] * count)


@pytest.mark.parametrize("kind", KINDS)
def test_a_spoiled_picture_still_shows_its_glyph(kind: str) -> None:
    upright, turned = glyphs(16), glyphs(16).swapaxes(1, 2)
    pictures, others = (spoil(kind, some, np.random.default_rng(1)) for some in (upright, turned))
    clean = normalize_crop(upright[0], 48).astype(int)
    for picture, other in zip(pictures, others, strict=True):
        assert picture.ndim == 2 and picture.dtype == np.uint8
        crop, other_crop = (normalize_crop(one, 48).astype(int) for one in (picture, other))
        assert np.abs(crop - clean).mean() > 1  # spoiled
        assert np.abs(crop - other_crop).mean() > 10  # but not beyond telling one glyph from another


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_fixes_the_pictures(kind: str) -> None:
    first, second = (spoil(kind, glyphs(), np.random.default_rng(3)) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def ink(count: int = 64) -> torch.Tensor:
    return 1 - torch.from_numpy(glyphs(count)).float().unsqueeze(1) / 255


@pytest.mark.parametrize(
    "change", [relief, frame, rules, stamp, neighbours, emboss, dots, holes, gaps, strike], ids=lambda f: f.__name__
)
def test_a_few_are_changed_and_the_others_are_left(change: object) -> None:
    clean = ink(400)
    changed = change(Dice(1, 1.0), clean)  # type: ignore[operator]
    touched = (changed != clean).flatten(1).any(1).float().mean().item()
    assert 0.01 < touched < 0.25
    assert changed.shape == clean.shape
    assert -1 <= changed.min() <= changed.max() <= 1
    assert torch.equal(clean, ink(400))  # drawn on a copy


@pytest.mark.parametrize("changes", [surround, wear])
def test_an_easy_picture_has_none(changes: object) -> None:
    assert torch.equal(changes(Dice(1, 0.0), ink()), ink())  # type: ignore[operator]
