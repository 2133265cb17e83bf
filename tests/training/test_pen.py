"""Glyphs are taken apart into strokes, and the strokes written anew."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tianzi_models.ocr.image import normalize_crop
from tianzi_training.ocr.data.glyphs import GLYPH_PX
from tianzi_training.ocr.data.handwriting.skeleton import SPACING_PX, Strokes, trace_all
from tianzi_training.ocr.data.handwriting.thinning import thin_to_lines
from tianzi_training.ocr.data.handwriting.writer import write

Line = tuple[int, int, int, int]
CROSS: list[Line] = [(8, 30, 56, 30), (32, 6, 32, 58)]
WELL: list[Line] = [(8, 22, 56, 22), (6, 42, 58, 42), (22, 6, 22, 58), (42, 6, 42, 58)]
TEE: list[Line] = [(8, 10, 56, 10), (32, 10, 32, 58)]
APART: list[Line] = [(10, 12, 54, 12), (6, 50, 58, 50)]


def glyph(lines: list[Line], width: int = 5) -> np.ndarray:
    image = Image.new("L", (GLYPH_PX, GLYPH_PX), 255)
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=0, width=width)
    return np.asarray(image)


def dots() -> np.ndarray:
    image = Image.new("L", (GLYPH_PX, GLYPH_PX), 255)
    for y in (8, 48):
        ImageDraw.Draw(image).rectangle((28, y, 35, y + 7), fill=0)
    return np.asarray(image)


def soft(picture: np.ndarray) -> np.ndarray:
    crop = Image.fromarray(normalize_crop(picture, 48))
    return np.asarray(crop.filter(ImageFilter.GaussianBlur(2)), np.float64).ravel()


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(soft(a), soft(b))[0, 1])


@pytest.mark.parametrize(
    ("lines", "count"), [(CROSS, 2), (WELL, 4), (TEE, 2), (APART, 2)], ids=["cross", "well", "tee", "apart"]
)
@pytest.mark.parametrize("width", [2, 5, 7])
def test_strokes_go_on_through_crossings(lines: list[Line], count: int, width: int) -> None:
    (strokes,) = trace_all(glyph(lines, width)[None])
    assert len(strokes) == count
    for x0, y0, x1, y1 in lines:  # each is one of them, but for its ends, which thinning shortens
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
        assert min(np.hypot(*(stroke - middle).T).min() for stroke in strokes) < SPACING_PX
    lengths = sorted(float(np.hypot(*np.diff(stroke, axis=0).T).sum()) for stroke in strokes)
    assert lengths == pytest.approx(sorted(x1 - x0 + y1 - y0 for x0, y0, x1, y1 in lines), abs=8)


def test_lines_are_a_pixel_wide_and_nothing_vanishes() -> None:
    ink = np.stack([glyph(WELL), glyph(TEE, 9), dots()]) < 128
    lines = thin_to_lines(ink)
    assert not (lines & ~ink).any()
    solid = lines[:, :-1, :-1] & lines[:, 1:, :-1] & lines[:, :-1, 1:] & lines[:, 1:, 1:]
    assert not solid.any()
    assert lines[2, :30].any() and lines[2, 30:].any()


def test_dots_and_rings_are_strokes() -> None:
    ring = Image.new("L", (GLYPH_PX, GLYPH_PX), 255)
    ImageDraw.Draw(ring).ellipse((6, 6, 58, 58), outline=0, width=4)
    two, one = trace_all(np.stack([dots(), np.asarray(ring)]))
    assert len(two) == 2
    assert sorted(float(stroke[0, 1]) for stroke in two) == pytest.approx([11.5, 51.5], abs=2)
    assert len(one) == 1
    assert np.hypot(*(one[0] - 32).T) == pytest.approx(24, abs=2)


@pytest.mark.parametrize("picture", [glyph(CROSS), glyph(WELL), glyph(TEE), glyph(APART)])
def test_without_haste_the_strokes_are_the_glyph(picture: np.ndarray) -> None:
    (strokes,) = trace_all(picture[None])
    written = write(strokes, np.random.default_rng(1), 0.0)
    assert written.shape == (GLYPH_PX, GLYPH_PX) and written.dtype == np.uint8
    assert likeness(written, picture) > 0.6


def test_haste_moves_strokes_one_by_one_and_a_seed_fixes_them() -> None:
    (strokes,) = trace_all(glyph(WELL)[None])
    calm = [write(strokes, np.random.default_rng(seed), 0.0) for seed in range(20)]
    hasty = [write(strokes, np.random.default_rng(seed), 1.0) for seed in range(20)]
    again = [write(strokes, np.random.default_rng(seed), 1.0) for seed in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(hasty, again, strict=True))
    apart, together = (np.mean([likeness(some[0], one) for one in some[1:]]) for some in (hasty, calm))
    assert apart < together - 0.1
    assert all((one < 128).any() and one.min() < one.max() for one in hasty)


def test_a_font_keeps_each_glyphs_strokes() -> None:
    found = trace_all(np.stack([glyph(CROSS), dots(), glyph(WELL)]))
    kept = Strokes(found)
    for i, strokes in enumerate(found):
        assert len(kept[i]) == len(strokes)
        for a, b in zip(kept[i], strokes, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
