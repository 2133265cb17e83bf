"""Strokes written by a hurried hand: each a little off its place, its length and its direction, some joined."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from tianzi_training.ocr.data.glyphs import GLYPH_PX, INK_PX
from tianzi_training.ocr.data.handwriting.skeleton import even
from tianzi_training.ocr.data.handwriting.stroke_order import Floats, Stroke

FINE = 2  # drawn at so many times the size
# Standard deviations at haste 1, in pixels of a glyph, radians, and of the logarithm of a length.
SHIFT_PX, TREMBLE_PX, TURN, STRETCH = 2.4, 0.8, 0.1, 0.12
SLANT, LEAN, SQUEEZE = 0.15, 0.1, 0.12  # of the whole character
DRIFT_PX, KNOTS = 2.4, 4  # of neighbouring strokes together, as parts of a character lie: KNOTS × KNOTS over it
LINK_PX = 40.0  # the pen stays down over no more than this
LINKED = 0.7  # share of strokes that are joined to the one before, at most, at haste 1
FLOW = 1.2  # points over which the pen's way is smoothed, at most, at haste 1: a hurried hand cuts its corners
TAIL = 0.1, 0.5  # of the way to the next stroke's beginning, drawn where the pen is lifted late
BEND_PX = 1.6  # standard deviation at haste 1 of how far a stroke's middle is off the line between its ends
WIDTHS_PX = 1.2, 4.2
MIN_FLOW = 0.2  # of less, nothing is to be seen
PRESSURE = 0.12  # standard deviation of the logarithm of a stroke's width


def write(strokes: list[Stroke], rng: np.random.Generator, haste: float) -> npt.NDArray[np.uint8]:
    """Strokes in the order of writing → a glyph (GLYPH_PX, GLYPH_PX), black on white.

    haste: 0 as they are, 1 as in a hurry.
    """
    slant, lean = rng.normal(0, SLANT * haste), rng.normal(0, LEAN * haste)
    wide, high = np.exp(rng.normal(0, SQUEEZE * haste, 2))
    whole = np.array([[wide, slant], [lean, high]])
    lines = [_hasty(stroke @ whole.T, rng, haste) for stroke in _drifted(strokes, rng, haste)]
    lines = _linked(lines, rng, rng.uniform(0, LINKED) * haste)
    if (flow := rng.uniform(0, FLOW) * haste) > MIN_FLOW:
        lines = [_flowing(line, flow) for line in lines]
    width_px = math.exp(rng.uniform(math.log(WIDTHS_PX[0]), math.log(WIDTHS_PX[1])))
    return _draw(lines, width_px * np.exp(rng.normal(0, PRESSURE * haste, len(lines))))


def _drifted(strokes: list[Stroke], rng: np.random.Generator, haste: float) -> list[Stroke]:
    """All strokes moved by one smooth field, so that parts of the character change place and size."""
    points = np.concatenate(strokes)
    knots = rng.normal(0, DRIFT_PX * haste, (2, KNOTS, KNOTS))
    at = points.T * ((KNOTS - 1) / (GLYPH_PX - 1))
    moves = [ndimage.map_coordinates(field, at, order=3, mode="nearest") for field in knots]
    ends = np.cumsum([len(stroke) for stroke in strokes])[:-1]
    return np.split(points + np.stack(moves, axis=1), ends)


def _hasty(line: Stroke, rng: np.random.Generator, haste: float) -> Stroke:
    centre = line.mean(axis=0)
    turn, stretch = rng.normal(0, TURN * haste), math.exp(rng.normal(0, STRETCH * haste))
    cos, sin = stretch * math.cos(turn), stretch * math.sin(turn)
    line = (line - centre) @ np.array([[cos, sin], [-sin, cos]]) + centre
    # A stroke's ends tremble, what lies between follows.
    knots = rng.normal(0, TREMBLE_PX * haste, (3, 2))
    along = np.linspace(0, 2, len(line))
    tremble = np.stack([np.interp(along, [0, 1, 2], knots[:, k]) for k in (0, 1)], axis=1)
    way = line[-1] - line[0]
    aside = np.array([-way[1], way[0]]) / max(1.0, float(np.hypot(*way)))
    # A short stroke has no room to bend.
    bend = rng.normal(0, BEND_PX * haste) * min(1.0, len(line) / 6) * np.sin(along * (math.pi / 2))
    return np.asarray(line + rng.normal(0, SHIFT_PX * haste, 2) + tremble + bend[:, None] * aside)


def _linked(lines: list[Stroke], rng: np.random.Generator, share: float) -> list[Stroke]:
    """A share of those that follow each other closely without lifting the pen; as large a share leaves a tail."""
    linked: list[Floats] = []
    for line in lines:
        if linked and np.hypot(*(line[0] - linked[-1][-1])) < LINK_PX:
            dice, end = rng.random(), linked[-1][-1]
            if dice < share:
                linked[-1] = np.concatenate([linked[-1], line])
                continue
            if dice < 2 * share:
                linked[-1] = np.concatenate([linked[-1], [end + rng.uniform(*TAIL) * (line[0] - end)]])
        linked.append(line)
    return linked


def _flowing(line: Stroke, points: float) -> Stroke:
    """The pen's way without its fast turns; the ends stay. points: standard deviation of the smoothing."""
    evenly = even(line)
    smooth = ndimage.gaussian_filter1d(evenly, points, axis=0, mode="nearest")
    return np.concatenate([evenly[:1], smooth[1:-1], evenly[-1:]])


def _draw(lines: list[Stroke], widths_px: Floats) -> npt.NDArray[np.uint8]:
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = FINE * (INK_PX - float(widths_px.max())) / max(1.0, float((high - low).max()))
    page = Image.new("L", (FINE * GLYPH_PX, FINE * GLYPH_PX), 255)
    pen = ImageDraw.Draw(page)
    for line, width_px in zip(lines, widths_px, strict=True):
        width = FINE * float(width_px)
        placed = (line - (low + high) / 2) * zoom + FINE * GLYPH_PX / 2
        pen.line(placed.ravel().tolist(), fill=0, width=max(1, round(width)), joint="curve")
        for x, y in (placed[0], placed[-1]):
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=0)
    return np.asarray(page.reduce(FINE))
