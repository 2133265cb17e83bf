"""Strokes are set in typefaces that there are not."""

import numpy as np
import pytest

from tests.training.test_pen import CROSS, TEE, WELL, glyph, likeness
from tianzi_training.ocr.data.glyphs import GLYPH_PX, INK_PX
from tianzi_training.ocr.data.handwriting.skeleton import trace_all
from tianzi_training.ocr.data.handwriting.synthetic_font import (
    FULL,
    GAP_PX,
    HOOK_PX,
    LEVEL,
    UPRIGHT,
    Face,
    set_type,
    shaped,
    swept,
)

SQUARE = np.array([[-2.0, -1.0], [2.0, -1.0], [2.0, 1.0], [-2.0, 1.0]])


def face(**changes: object) -> Face:
    plain: dict[str, object] = {"gap_px": 0.0, "straightens": False, "hooks": True, "serif": 0.0}
    plain |= {"bars": (), "dot_px": 16.0}
    return Face(**{"nib": SQUARE, "waist": np.ones(2), **plain, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("lines", [CROSS, WELL, TEE], ids=["cross", "well", "tee"])
def test_a_character_stays_itself_and_no_two_faces_are_alike(lines: list[tuple[int, int, int, int]]) -> None:
    (strokes,) = trace_all(glyph(lines)[None])
    rng = np.random.default_rng(0)
    made = [set_type(strokes, rng) for _ in range(40)]
    assert all(picture.shape == (GLYPH_PX, GLYPH_PX) and picture.dtype == np.uint8 for picture in made)
    alike = [likeness(picture, glyph(lines)) for picture in made]
    assert np.median(alike) > 0.7 and np.quantile(alike, 0.1) > 0.4
    ink = [float((picture < 128).mean()) for picture in made]
    assert max(ink) > 2 * min(ink)
    assert len({picture.tobytes() for picture in made}) == 40


def test_many_strokes_are_thinner_and_leave_white() -> None:
    rows = [np.array([[4.0, y], [60.0, y]]) for y in np.linspace(4, 60, 15)]
    rng = np.random.default_rng(0)
    shares = [float((set_type(rows, rng) < 128).sum()) / INK_PX**2 for _ in range(40)]
    assert max(shares) < 2 * FULL < 1


def test_the_nib_sweeps_a_convex_hull() -> None:
    def area(corners: list[tuple[float, float]]) -> float:
        x, y = np.array(corners).T
        return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2

    still, way = np.zeros(2), np.array([10.0, 0.0])
    assert area(swept(SQUARE, still, way)) == pytest.approx(8 + 10 * 2)
    assert area(swept(SQUARE, still, way[::-1])) == pytest.approx(8 + 10 * 4)
    assert area(swept(SQUARE, still, np.array([3.0, 5.0]))) == pytest.approx(8 + 3 * 2 + 5 * 4)
    assert area(swept(SQUARE, still, still)) == pytest.approx(8)


def test_hooks_go_with_the_faces_that_have_none() -> None:
    down = np.array([[30.0, y] for y in range(4, 60, 4)])
    hooked = np.concatenate([down, [[26.0, 52.0], [22.0, 50.0]]])
    assert len(shaped(hooked, face())) == len(hooked)
    np.testing.assert_allclose(shaped(hooked, face(hooks=False)), down)
    corner = np.concatenate([down, [[30 + x, 56.0] for x in np.arange(4, HOOK_PX + 8, 4)]])  # longer than a hook
    assert len(shaped(corner, face(hooks=False))) == len(corner)


def test_strokes_are_straightened_and_shortened() -> None:
    slope = np.linspace([4.0, 30.0], [60.0, 24.0], 14)
    level = shaped(slope, face(straightens=True))
    assert np.ptp(level[:, 1]) == pytest.approx(0) and np.ptp(level[:, 0]) == pytest.approx(np.hypot(56, 6))
    diagonal = np.linspace([4.0, 4.0], [60.0, 60.0], 14)
    np.testing.assert_allclose(shaped(diagonal, face(straightens=True)), diagonal)
    assert np.ptp(shaped(level, face(gap_px=GAP_PX))[:, 0]) == pytest.approx(np.hypot(56, 6) - 2 * GAP_PX)
    dot = np.array([[30.0, 8.0], [32.0, 14.0]])
    assert np.ptp(shaped(dot, face(bars=(LEVEL,)))[:, 1]) == pytest.approx(0)
    assert np.ptp(shaped(dot, face(bars=(LEVEL, UPRIGHT)))[:, 0]) == pytest.approx(0)  # the nearer one
    assert np.ptp(shaped(slope, face(bars=(LEVEL,)))[:, 1]) == pytest.approx(6)  # too long for a dot
    assert np.ptp(shaped(dot, face(gap_px=GAP_PX)), axis=0) == pytest.approx([1, 3])  # half of it stays
