"""Typefaces made up from strokes: a flat nib's contrast, gaps, straightened lines, bars for dots, no hooks, a waist.

Fonts of posters take liberties that text fonts do not, each its own. Whoever has seen a few fonts of them has not seen
what the next one does; here every glyph has its own.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from tianzi_training.ocr.data.glyphs import GLYPH_PX, INK_PX
from tianzi_training.ocr.data.handwriting.stroke_order import Floats, Stroke

FINE = 2  # drawn at so many times the size
THICK_PX = 2.5, 9.0  # of an upright stroke
CONTRAST = 0.22, 1.15  # a level stroke's thickness, as a share of an upright one's
FULL = 0.42  # share of the square that strokes may cover: those of many strokes are thinner
THINNEST_PX = 1.2
GAP_PX = 4.0  # at most, off either end of a stroke
STRAIGHT = 0.35  # radians off a level or upright line, up to which a stroke may be straightened
HOOK_PX, HOOK_TURN = 14.0, 1.0  # the end of a stroke, up to so long, that turns by more radians
DOT_PX = 10.0, 22.0  # a stroke up to so long, by the face, is a dot, for which some have bars
LEVEL, UPRIGHT = 0.0, math.pi / 2
BARS: tuple[tuple[float, ...], ...] = ((LEVEL,), (UPRIGHT,), (LEVEL, UPRIGHT))
WAIST = 0.2  # logarithm of the power that moves a glyph's middle up or down, at most


@dataclass(frozen=True)
class Face:
    """How a typeface draws its strokes."""

    nib: Floats  # (k, 2): corners of the pen, convex
    gap_px: float
    straightens: bool
    hooks: bool
    bars: tuple[float, ...]  # angles, the nearest of which a dot takes; none: dots stay dots
    dot_px: float
    waist: Floats  # (2,): powers of x and y
    serif: float  # of a level stroke's right end, as a share of the upright strokes' thickness

    @classmethod
    def draw(cls, rng: np.random.Generator, length_px: float) -> "Face":
        """One at random. length_px: of all strokes that it must fit."""
        thick = math.exp(rng.uniform(*np.log(THICK_PX)))
        level = thick * rng.uniform(*CONTRAST)
        thick, level = np.maximum(THINNEST_PX, np.array([thick, level]) * min(1.0, cls._room(length_px, thick, level)))
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
        if rng.random() < 0.3:  # a round one
            angles = np.linspace(0, 2 * math.pi, 12, endpoint=False)
            corners = np.stack([np.cos(angles), np.sin(angles)], axis=1) / 2
        nib = corners * [thick, level]
        if rng.random() < 0.25:  # held aslant, as a brush is
            turn = rng.uniform(-0.9, 0.3)
            cos, sin = math.cos(turn), math.sin(turn)
            nib = nib @ np.array([[cos, sin], [-sin, cos]])
        return cls(
            nib,
            rng.uniform(0.5, GAP_PX) if rng.random() < 0.35 else 0.0,
            bool(rng.random() < 0.6),
            bool(rng.random() < 0.6),
            BARS[int(rng.integers(len(BARS)))] if rng.random() < 0.5 else (),
            rng.uniform(*DOT_PX),
            np.exp(rng.uniform(-WAIST, WAIST, 2) * [0.6, 1.0]),
            rng.uniform(0.3, 0.9) if rng.random() < 0.25 else 0.0,
        )

    @staticmethod
    def _room(length_px: float, thick: float, level: float) -> float:
        return FULL * INK_PX**2 / max(1.0, length_px * (thick + level) / 2)


def set_type(strokes: list[Stroke], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Strokes → a glyph (GLYPH_PX, GLYPH_PX), black on white, of a typeface that there is not."""
    face = Face.draw(rng, sum(float(np.hypot(*np.diff(line, axis=0).T).sum()) for line in strokes))
    lines = [shaped(line, face) for line in strokes]
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1.0)
    # What lies between the ends; a level stroke by itself has nothing there.
    lines = [low + extent * (np.clip((line - low) / extent, 0, 1) ** face.waist) for line in lines]
    zoom = FINE * (INK_PX - face.nib.max(axis=0) + face.nib.min(axis=0)) / float(extent.max())
    centre = (low + high) / 2
    return _draw([(line - centre) * zoom.min() + FINE * GLYPH_PX / 2 for line in lines], face)


def shaped(line: Stroke, face: Face) -> Stroke:
    """A stroke as a face has it, but for its thickness."""
    if not face.hooks:
        line = _without_hook(line)
    way = line[-1] - line[0]
    length = float(np.hypot(*way))
    angle = math.atan2(way[1], way[0])
    if length > 1:
        to = None
        if face.bars and length < face.dot_px:
            to = min(face.bars, key=lambda bar: abs(math.remainder(angle - bar, math.pi)))
        elif face.straightens:
            to = next((a for a in (LEVEL, UPRIGHT) if abs(angle - a) < STRAIGHT and _is_straight(line)), None)
        if to is not None:
            middle = line.mean(axis=0)
            along = np.linspace(-length / 2, length / 2, len(line))[:, None]
            line = middle + along * [math.cos(to), math.sin(to)]
    return _shortened(line, face.gap_px)


def _without_hook(line: Stroke) -> Stroke:
    steps = np.diff(line, axis=0)
    lengths = np.hypot(*steps.T)
    left = np.cumsum(lengths[::-1])[::-1]  # from each point to the end
    for i in range(len(steps) - 1, 0, -1):
        if left[i] > HOOK_PX:
            break
        before, after = steps[i - 1], line[-1] - line[i]
        turn = abs(math.remainder(math.atan2(after[1], after[0]) - math.atan2(before[1], before[0]), 2 * math.pi))
        if turn > HOOK_TURN and left[0] > 2 * left[i]:
            return line[: i + 1]
    return line


def _is_straight(line: Stroke) -> bool:
    lengths = np.hypot(*np.diff(line, axis=0).T)
    return float(np.hypot(*(line[-1] - line[0]))) > 0.97 * float(lengths.sum())


def _shortened(line: Stroke, gap_px: float) -> Stroke:
    """Without its ends; a short stroke keeps half of itself."""
    along = np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T).cumsum()])
    gap = min(gap_px, float(along[-1]) / 4)
    if gap <= 0:
        return line
    wanted = np.linspace(gap, along[-1] - gap, len(line))
    return np.stack([np.interp(wanted, along, line[:, k]) for k in (0, 1)], axis=1)


def _draw(lines: list[Stroke], face: Face) -> npt.NDArray[np.uint8]:
    """What the nib covers on its way along each line."""
    page = Image.new("L", (FINE * GLYPH_PX, FINE * GLYPH_PX), 255)
    pen = ImageDraw.Draw(page)
    nib = FINE * face.nib
    for line in lines:
        for a, b in pairwise(line):
            pen.polygon(swept(nib, a, b), fill=0)
        way = line[-1] - line[0]
        if face.serif and way[0] > 3 * abs(way[1]) and _is_straight(line):
            size = face.serif * float(np.ptp(nib[:, 0]))
            x, y = line[-1] + [0, float(np.ptp(nib[:, 1])) / 2]
            pen.polygon([(x - 1.2 * size, y), (x - 0.3 * size, y - size), (x + 0.3 * size, y)], fill=0)
    return np.asarray(page.reduce(FINE))


def swept(nib: Floats, a: Floats, b: Floats) -> list[tuple[float, float]]:
    """The hull of a convex nib at both ends of a straight line: sides that look ahead lie at b, the others at a."""
    sides, way = np.roll(nib, -1, axis=0) - nib, b - a
    ahead = sides[:, 1] * way[0] - sides[:, 0] * way[1] > 0
    hull = []
    for i, corner in enumerate(nib):
        hull.append(tuple((b if ahead[i - 1] else a) + corner))
        if ahead[i - 1] != ahead[i]:
            hull.append(tuple((b if ahead[i] else a) + corner))
    return hull
