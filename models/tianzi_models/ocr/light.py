"""Uneven light: the ground's brightness as a smooth surface, fitted and divided out.

A lamp at one side or a shadow makes a corner of the paper as dark as ink, and no single threshold parts the two.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_models.ocr.types import GrayArray

BLOCKS, BLOCK_PX = 8, 6
WORK_PX = BLOCKS * BLOCK_PX
# Of a block's 36 pixels, in order of brightness: bright enough to be ground, not yet the noise's peak.
BRIGHT = 30
# The surface's range over its mean from which the light counts as uneven; under it a threshold copes.
MIN_RANGE = 0.15
# How far the blocks may lie from the surface, as a share of its range: what fits worse is no light.
MAX_RESIDUAL = 0.1
MIN_KEPT = BLOCKS * BLOCKS // 2
# Where this share of the pixels has one brightness but for so many levels, it is the ground's, and no fit is needed.
EVEN_SHARE, EVEN_LEVELS = 0.5, 9

Floats = npt.NDArray[np.float64]


def _terms(side: int) -> Floats:
    """(side², 6): 1, x, y, x², xy, y² at the pixels' centres, -1 to 1."""
    axis = (np.arange(side) + 0.5) * (2 / side) - 1
    y, x = (a.ravel() for a in np.meshgrid(axis, axis, indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


AT_BLOCKS, AT_PIXELS = _terms(BLOCKS), _terms(WORK_PX)
FIT = np.linalg.pinv(AT_BLOCKS)


def is_lit_evenly(histogram: npt.NDArray[np.intp]) -> bool:
    """Whether one brightness holds half of the picture, as a screen's or a scan's ground does. histogram: (256,)."""
    below = histogram.cumsum()
    most = max(int(below[EVEN_LEVELS - 1]), int((below[EVEN_LEVELS:] - below[:-EVEN_LEVELS]).max()))
    return most >= EVEN_SHARE * int(below[-1])


def flatten_light(gray: GrayArray) -> GrayArray:
    """(H, W) → (H, W): the picture as if its ground were lit evenly; itself where it is, or where nothing tells.

    Ink may be the darker or the lighter: the ground is what lies on the smoother surface.
    """
    small = np.asarray(Image.fromarray(gray).resize((WORK_PX, WORK_PX), Image.Resampling.BOX))
    blocks = small.reshape(BLOCKS, BLOCK_PX, BLOCKS, BLOCK_PX).swapaxes(1, 2).reshape(BLOCKS * BLOCKS, -1)
    ordered = np.sort(blocks, axis=1).astype(np.float64)
    bright, dim = ordered[:, BRIGHT], 255.0 - ordered[:, -1 - BRIGHT]
    if any(np.ptp(values) < MIN_RANGE * values.max() for values in (bright, dim)):
        return gray
    inverse, surface, error = _surface(np.stack([bright, dim], axis=1))
    spread = float(np.ptp(AT_BLOCKS @ surface))
    if spread < MIN_RANGE * float(surface[0]) or error > MAX_RESIDUAL * spread:
        return gray
    ground = np.maximum(AT_PIXELS @ surface, 8.0).astype(np.float32).reshape(WORK_PX, WORK_PX)
    size = (gray.shape[1], gray.shape[0])
    at_full_size = np.asarray(Image.fromarray(ground).resize(size, Image.Resampling.BILINEAR))
    picture = 255 - gray if inverse else gray
    flat = np.minimum(picture * (255.0 / at_full_size), 255.0).astype(np.uint8)
    return 255 - flat if inverse else flat


def _surface(values: Floats) -> tuple[bool, Floats, float]:
    """Which of two grounds (B², 2) is the smoother, its six coefficients, the root mean square of what lies off it.

    Blocks well under the first fit are ink from side to side: the second leaves them out.
    """
    first = FIT @ values
    off = values - AT_BLOCKS @ first
    error = np.sqrt((off * off).mean(axis=0))
    chosen = int(error[1] < error[0])
    kept = off[:, chosen] > -error[chosen] - 1.0
    if kept.all() or kept.sum() < MIN_KEPT:
        return bool(chosen), first[:, chosen], float(error[chosen])
    terms, ground = AT_BLOCKS[kept], values[kept, chosen]
    second = np.linalg.solve(terms.T @ terms, terms.T @ ground)
    off = ground - terms @ second
    return bool(chosen), second, float(np.sqrt(off @ off / len(off)))
