"""Strokes that are dots, as fax and needle printers leave them: averaged, so that they are whole again."""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tianzi_models.ocr.types import GrayArray

# Of a smaller picture's ground, too, many a pixel stands alone between strokes.
MIN_SIDE_PX = 40
# Pixels of ground that stand alone in ink, to one of ink, however wide the margin: 0.17 to 0.5 in dots; with one pixel
# in seven turned black rarely more than 0.08, for which the network needs no help.
MIN_RATIO = 0.085
AVERAGE = ImageFilter.BoxBlur(1)


def is_dotted(ink: npt.NDArray[np.bool_]) -> bool:
    """Whether many pixels (H, W) of the ground stand alone: three of the four around are ink, or all."""
    if min(ink.shape) < MIN_SIDE_PX:
        return False
    cells = ink.view(np.uint8)
    around = cells[1:-1, 2:] + cells[1:-1, :-2] + cells[2:, 1:-1] + cells[:-2, 1:-1]
    alone = (around >= 3) & ~ink[1:-1, 1:-1]
    return int(np.count_nonzero(alone)) > MIN_RATIO * int(np.count_nonzero(ink))


def average(gray: GrayArray) -> GrayArray:
    """(H, W) → (H, W): each pixel the mean of the nine around it."""
    return np.asarray(Image.fromarray(gray).filter(AVERAGE))
