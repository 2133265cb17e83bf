"""What the finder is to answer to a picture: a score and a box for each cell."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.finding import CELLS, FINDER_PX, STRIDE

Floats = npt.NDArray[np.float32]
BoxCorners = tuple[float, float, float, float]

CHANNELS = 7
"""Score, left, top, right, bottom, whether the ink is the lighter, and the weight of the cell's box."""
IGNORED = -1.0
"""A score that is not learnt from."""


def targets(boxes: Sequence[BoxCorners], ignored: Sequence[BoxCorners], light: bool, scale: float) -> Floats:
    """(CHANNELS, CELLS, CELLS). boxes: whole characters; ignored: those that an edge cuts; in pixels of the picture.

    scale: pixels of the picture a pixel of the thumbnail. The score falls off around a centre as CenterNet's does
    (arXiv:1904.07850 §3), within a third of the box; boxes are learnt in the cells about the centre (arXiv:1904.01355).
    """
    out = np.zeros((CHANNELS, CELLS, CELLS), np.float32)
    centres = (np.arange(CELLS) + 0.5) * STRIDE
    for box in ignored:
        x0, y0, x1, y1 = (v / scale for v in box)
        inside = ((centres >= y0) & (centres <= y1))[:, None] & ((centres >= x0) & (centres <= x1))
        out[0][inside] = IGNORED
    areas = np.full((CELLS, CELLS), np.inf)
    for box in boxes:
        x0, y0, x1, y1 = (v / scale for v in box)
        x, y = (x0 + x1) / 2, (y0 + y1) / 2
        # The longer side counts: the middle of 一 is as uncertain up and down as from side to side.
        spread = max(0.45 * STRIDE, max(x1 - x0, y1 - y0) / 9)
        away = (centres[:, None] - y) ** 2 + (centres - x) ** 2
        peak = np.exp(-away / (2 * spread**2))
        column, row = min(CELLS - 1, int(x / STRIDE)), min(CELLS - 1, int(y / STRIDE))
        peak[row, column] = 1.0
        out[0] = np.maximum(out[0], np.where(out[0] == IGNORED, np.where(peak > 0.5, peak, IGNORED), peak))
        size = (x1 - x0) * (y1 - y0)
        near = (peak > 0.6) & (size < areas)
        areas[near] = size
        rows, columns = np.nonzero(near)
        out[1][near] = (centres[columns] - x0) / FINDER_PX
        out[2][near] = (centres[rows] - y0) / FINDER_PX
        out[3][near] = (x1 - centres[columns]) / FINDER_PX
        out[4][near] = (y1 - centres[rows]) / FINDER_PX
        out[5][near], out[6][near] = float(light), peak[near]
    return out
