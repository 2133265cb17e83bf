"""Which grey levels are ink and which are ground, and how far between them a picture's contrast is stretched."""

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.types import GrayArray

# Grey levels between ink and ground under which a picture counts as blank.
MIN_CONTRAST = 8
GRAYS = np.arange(256, dtype=np.float64)
SQUARES = GRAYS * GRAYS
# Shares of the variance that the two levels explain (Otsu's η): at the upper one they part cleanly and a tenth is cut
# off at both ends, so that paper turns white and ink black; at the lower one, which is that of one bell of levels, most
# is said in between (few pixels, out of focus, grain), and the ends lie far outside the levels instead.
PARTED, MIXED = 0.93, 0.64
CUT_PARTED, CUT_MIXED = 0.1, -0.4
# Under this share there may be a third level: of a ground of two parts, or of a shadow.
UNEXPLAINED = 0.89
# Of a picture's border: ink does not stand there, but for what little a neighbour or a line leaves.
TOUCHING, FREE = 0.05, 0.03
# The extremes of an outlined character, as shares of the whole range; its ground lies beyond the third.
EXTREME, OUTLINED_RANGE = 0.15, 0.4
# Levels from the border's, and share of the picture, from which something darker and something lighter than the ground
# are a character and its shadow.
SHADE, SHADED = 20, 0.04
# How far a shadow lies from what casts it, and how much larger it seems, as shares of the picture's side.
MAX_SHIFT, MAX_STRETCH = 0.12, 0.06
COARSE = 4
COARSE_GRAYS = GRAYS.reshape(-1, COARSE).mean(axis=1)

Histogram = npt.NDArray[np.intp]
Floats = npt.NDArray[np.float64]
Levels = tuple[float, float]
Box = tuple[int, int, int, int]


def find_levels(gray: GrayArray, histogram: Histogram) -> Levels | None:
    """The levels of a picture (H, W) that become black, ink, and white, ground. None without contrast.

    Otsu's two classes (1979), as long as they explain the picture, or three.
    """
    counts = histogram.astype(np.float64)
    count, total = counts.cumsum(), (counts * GRAYS).cumsum()
    pixels, sum_of_all = float(count[-1]), float(total[-1])
    below, sums = count[:-1], total[:-1]
    # The variance between the classes, times pixels². Nothing parts them where one is empty.
    parting = sums * pixels - below * sum_of_all
    between = parting * parting / np.maximum(below * (pixels - below), 1.0)
    threshold = int(between.argmax())
    if between[threshold] == 0.0:
        return None
    dark = float(sums[threshold] / below[threshold])
    light = float((sum_of_all - sums[threshold]) / (pixels - below[threshold]))
    if light - dark < MIN_CONTRAST:
        return None
    share = float(below[threshold]) / pixels
    if 0.45 <= share <= 0.6:
        # Near half and half (bold strokes, tight crops) the border decides: it is ground more often than not.
        share = float((_border(gray) <= threshold).mean())
    ink, ground = (dark, light) if share <= 0.5 else (light, dark)
    variance = float(counts @ SQUARES) / pixels - (sum_of_all / pixels) ** 2
    explained = float(between[threshold]) / pixels**2 / variance
    if explained >= PARTED:
        return _stretched(ink, ground, CUT_PARTED)
    border = _border(gray)
    if shaded := _shaded(gray, border, count):
        return _stretched(*shaded, CUT_PARTED)
    if explained < UNEXPLAINED and ((border <= threshold) == (ink < ground)).mean() >= TOUCHING:
        found = _outlined(gray, border, count) or _of_three(gray, border, counts)
        if found:
            return _stretched(*found, CUT_PARTED)
    mixed = min(1.0, (PARTED - explained) / (PARTED - MIXED))
    black, white = _stretched(ink, ground, CUT_PARTED + (CUT_MIXED - CUT_PARTED) * mixed)
    # Not past what the picture holds: a clean one is stretched to its own ends.
    low, high = _ends(count)
    darkest, lightest = _stretched(dark, light, CUT_PARTED)
    least, most = max(min(black, white), min(low, darkest)), min(max(black, white), max(high, lightest))
    return (least, most) if ink < ground else (most, least)


def ink_box(mask: npt.NDArray[np.bool_]) -> Box:
    """(y0, x0, y1, x1) of the ink. Specks (under three of the nine pixels around) do not stretch it."""
    padded = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.uint8)
    padded[1:-1, 1:-1] = mask
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    neighbours = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    solid = mask & (neighbours >= 3)
    ys, xs = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    if not len(ys):
        solid = mask if mask.any() else np.ones_like(mask)
        ys, xs = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    return int(ys[0]), int(xs[0]), int(ys[-1]) + 1, int(xs[-1]) + 1


def _border(gray: GrayArray) -> GrayArray:
    return np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])


def _stretched(ink: float, ground: float, cut: float) -> Levels:
    return ink + cut * (ground - ink), ground - cut * (ground - ink)


def _ends(count: Floats) -> tuple[int, int]:
    """The levels under and over which a hundredth of the pixels lies."""
    low, high = np.searchsorted(count, np.array([0.01, 0.99]) * count[-1])
    return int(low), int(high)


def _outlined(gray: GrayArray, border: GrayArray, count: Floats) -> Levels | None:
    """Of a character whose rim parts it from its ground: it is the one of both extremes that the other encloses."""
    low, high = _ends(count)
    darkest, lightest = low + EXTREME * (high - low), high - EXTREME * (high - low)
    if max((border <= darkest).mean(), (border >= lightest).mean()) > FREE:
        return None
    dark_box, light_box = ink_box(gray <= darkest), ink_box(gray >= lightest)
    if _encloses(dark_box, light_box):
        return high, high - OUTLINED_RANGE * (high - low)
    if _encloses(light_box, dark_box):
        return low, low + OUTLINED_RANGE * (high - low)
    return None


def _shaded(gray: GrayArray, border: GrayArray, count: Floats) -> Levels | None:
    """Of a character and its shadow, with the ground between the two: the larger one, which hides part of the other."""
    ordered = np.sort(border)
    low, ground, high = (int(ordered[int(share * (len(ordered) - 1))]) for share in (0.05, 0.5, 0.95))
    if low <= SHADE or high >= 255 - SHADE:
        return None
    dark, light = float(count[low - SHADE] / count[-1]), 1.0 - float(count[high + SHADE] / count[-1])
    if min(dark, light) < SHADED:
        return None
    dark_box, light_box = ink_box(gray <= low - SHADE), ink_box(gray > high + SHADE)
    top, left, bottom, right = (a - b for a, b in zip(dark_box, light_box, strict=True))
    side = max(gray.shape)
    if max(abs(top - bottom), abs(left - right)) > MAX_STRETCH * side or max(abs(top), abs(left)) > MAX_SHIFT * side:
        return None
    return float(_ends(count)[int(light > dark)]), float(ground)


def _encloses(outer: Box, inner: Box) -> bool:
    return outer[0] < inner[0] and outer[1] < inner[1] and outer[2] > inner[2] and outer[3] > inner[3]


def _of_three(gray: GrayArray, border: GrayArray, counts: Floats) -> Levels | None:
    """Ink and the nearer one of two grounds, by Otsu's three classes; None where neither extreme is off the border."""
    coarse = counts.reshape(-1, COARSE).sum(axis=1)
    count, total = coarse.cumsum(), (coarse * COARSE_GRAYS).cumsum()
    # [i, j]: the classes end with i, with j and with the last level.
    sizes = count[:, None], count[None] - count[:, None], count[-1] - count[None]
    sums = total[:, None], total[None] - total[:, None], total[-1] - total[None]
    between = sum(s * s / np.maximum(n, 1.0) for s, n in zip(sums, sizes, strict=True))
    between = np.where((sizes[0] > 0) & (sizes[1] > 0) & (sizes[2] > 0), between, 0.0)
    first, second = divmod(int(between.argmax()), len(coarse))
    if between[first, second] == 0.0:
        return None
    low, high = COARSE * (first + 1), COARSE * (second + 1)
    dark_border, light_border = float((border < low).mean()), float((border >= high).mean())
    if min(dark_border, light_border) > FREE:
        return None
    dark_ink = dark_border < light_border
    if max(dark_border, light_border) < TOUCHING:
        dark_ink = _area(ink_box(gray < low)) < _area(ink_box(gray >= high))
    extreme = total[first] / count[first] if dark_ink else (total[-1] - total[second]) / (count[-1] - count[second])
    middle = (total[second] - total[first]) / (count[second] - count[first])
    return float(extreme), float(middle)


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
