"""Pictures without a single readable character: what the recogniser must not answer."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Picture = npt.NDArray[np.uint8]

KINDS = {"blank": 0.08, "noise": 0.12, "scribble": 0.2, "shapes": 0.2, "several": 0.4}
"""How often each kind is drawn."""


def draw_nothing(rng: np.random.Generator, glyphs: npt.NDArray[np.uint8] | None = None) -> Picture:
    """One picture of a random kind. glyphs: (N, S, S) uint8, black on white, of which "several" takes two to four;
    without them the other kinds alone are drawn."""
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    while kind == "several" and glyphs is None:
        kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    if kind == "several" and glyphs is not None:
        picture = draw_several(rng, glyphs)
    elif kind == "noise":
        picture = draw_noise(rng)
    else:
        side = int(rng.integers(24, 96))
        image = Image.new("L", (side, side), int(rng.integers(150, 256)))
        if kind == "scribble":
            _scribble(rng, image)
        elif kind == "shapes":
            _shapes(rng, image)
        picture = _grain(rng, np.asarray(image), rng.uniform(0, 6))
    return picture if rng.random() < 0.7 else 255 - picture


def draw_noise(rng: np.random.Generator) -> Picture:
    """Grain of any coarseness, from sensor noise to clouds; or a share of black pixels; or a slope of light."""
    side = int(rng.integers(24, 96))
    kind = rng.random()
    if kind < 0.3:
        return np.where(rng.random((side, side)) < rng.uniform(0.01, 0.5), 0, 255).astype(np.uint8)
    if kind < 0.4:
        ramp = np.add.outer(np.linspace(0, rng.uniform(-90, 90), side), np.linspace(0, rng.uniform(-90, 90), side))
        return _grain(rng, 128 + ramp, rng.uniform(0, 8))
    coarse = int(rng.integers(3, side + 1))
    values = rng.normal(128, rng.uniform(10, 60), (coarse, coarse)).clip(0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC))


def draw_several(rng: np.random.Generator, glyphs: npt.NDArray[np.uint8]) -> Picture:
    """Two to four characters in a row or a column, as close as print sets them: two digits are square together."""
    count = int(rng.choice([2, 3, 4], p=[0.6, 0.25, 0.15]))
    upright = rng.random() < 0.25
    gap = int(rng.integers(2, 12))
    parts = []
    for glyph in glyphs[rng.choice(len(glyphs), count, replace=False)]:
        glyph = glyph.T if upright else glyph
        columns = np.flatnonzero((glyph < 128).any(axis=0))
        parts.append(np.pad(glyph[:, columns[0] : columns[-1] + 1], ((0, 0), (0, gap)), constant_values=255))
    row = np.concatenate(parts, axis=1)
    row = row.T if upright else row
    zoom = rng.uniform(20, 64) / min(row.shape)
    squeeze = math.exp(rng.uniform(-0.25, 0.25))
    size = (max(8, round(row.shape[1] * zoom * squeeze)), max(8, round(row.shape[0] * zoom / squeeze)))
    small = np.asarray(Image.fromarray(row).resize(size, Image.Resampling.BILINEAR))
    return _grain(rng, small, rng.uniform(0, 12))


def _scribble(rng: np.random.Generator, image: Image.Image) -> None:
    """One to three strokes that wander, smooth or jagged."""
    side, draw = image.width, ImageDraw.Draw(image)
    for _ in range(rng.integers(1, 4)):
        knots = rng.normal(0, side / 5, (int(rng.integers(5, 24)), 2)).cumsum(axis=0) + rng.uniform(0.2, 0.8, 2) * side
        if rng.random() < 0.6:
            at = np.linspace(0, len(knots) - 1, 8 * len(knots))
            kernel = np.hanning(17)[1:-1] / np.hanning(17).sum()
            lines = [np.interp(at, np.arange(len(knots)), knots[:, i]) for i in (0, 1)]
            knots = np.stack([np.convolve(np.pad(line, 7, mode="edge"), kernel, "valid") for line in lines], axis=1)
        ink = int(rng.integers(0, 120))
        draw.line([tuple(p) for p in knots], fill=ink, width=int(rng.integers(1, 5)), joint="curve")


def _shapes(rng: np.random.Generator, image: Image.Image) -> None:
    """Several shapes, or one that no character looks like: a lone ring would be a 〇, a lone frame a 口."""
    side, draw = image.width, ImageDraw.Draw(image)
    if rng.random() < 0.35:
        corners = int(rng.choice([3, 5, 6, 7, 10]))
        turn, radius = rng.uniform(0, 2 * math.pi), rng.uniform(0.25, 0.48) * side
        inner = rng.uniform(0.35, 0.6) if corners == 10 else 1.0  # ten corners, every other one pulled in: a star
        angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
        reach = [radius * (inner if i % 2 else 1.0) for i in range(corners)]
        points = [(side / 2 + r * math.cos(a), side / 2 + r * math.sin(a)) for a, r in zip(angles, reach, strict=True)]
        filled = rng.random() < 0.5
        draw.polygon(points, fill=20 if filled else None, outline=20, width=int(rng.integers(1, 5)))
        return
    for _ in range(rng.integers(2, 6)):
        (x0, x1), (y0, y1) = np.sort(rng.integers(0, side, 2)), np.sort(rng.integers(0, side, 2))
        box, ink, width = (
            (int(x0), int(y0), int(x1) + 2, int(y1) + 2),
            int(rng.integers(0, 120)),
            int(rng.integers(1, 5)),
        )
        kind = rng.random()
        if kind < 0.35:
            draw.ellipse(box, fill=ink if rng.random() < 0.5 else None, outline=ink, width=width)
        elif kind < 0.7:
            draw.rectangle(box, fill=ink if rng.random() < 0.5 else None, outline=ink, width=width)
        else:
            draw.arc(box, rng.uniform(0, 360), rng.uniform(0, 360), fill=ink, width=width)


def _grain(rng: np.random.Generator, gray: npt.NDArray[np.generic], sigma: float) -> Picture:
    return np.clip(gray.astype(np.float64) + rng.normal(0, sigma, gray.shape), 0, 255).astype(np.uint8)
