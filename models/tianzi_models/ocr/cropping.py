"""What the reader gets of a found character: a grey crop around it, and numbers that tell its size and place."""

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_models.ocr.finding import Box
from tianzi_models.ocr.types import GrayArray

CONTEXT = 48 / 42
"""The crop's side as a multiple of the box's longer one: what is beside the ink stays in sight."""
DARK, BRIGHT = 0.015, 0.9
"""Shares of a crop's pixels: what is as dark as the first becomes black, what is as bright as the second white."""
MIN_SPAN = 6
PLACES = 6


def crop_around(gray: GrayArray, box: Box, crop_px: int) -> GrayArray:
    """A square of the grey picture (H, W) around a box → (crop_px, crop_px) uint8, ink dark on light.

    The contrast is stretched affinely, for the whole crop alike; what lies outside the picture is white.
    """
    height, width = gray.shape
    side = max(2.0, box.side * CONTEXT)
    x, y = (box.x0 + box.x1 - side) / 2, (box.y0 + box.y1 - side) / 2
    zoom = crop_px / side
    # The part of the window that lies in the picture, cut at whole pixels of the crop.
    left = min(crop_px - 1, max(0, math.ceil(-x * zoom - 0.5)))
    top = min(crop_px - 1, max(0, math.ceil(-y * zoom - 0.5)))
    right = min(crop_px, max(left + 1, math.floor((width - x) * zoom + 0.5)))
    bottom = min(crop_px, max(top + 1, math.floor((height - y) * zoom + 0.5)))
    x0, y0 = min(max(0.0, x + left / zoom), width - 1.0), min(max(0.0, y + top / zoom), height - 1.0)
    part = (
        x0,
        y0,
        max(x0 + 1, min(float(width), x + right / zoom)),
        max(y0 + 1, min(float(height), y + bottom / zoom)),
    )
    # Few pixels are drawn larger smoothly; many are averaged.
    kernel = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.BILINEAR
    image = Image.fromarray(gray)
    seen = np.asarray(image.resize((right - left, bottom - top), kernel, box=part))
    if box.light:
        seen = 255 - seen
    crop = np.full((crop_px, crop_px), 255, np.uint8)
    crop[top:bottom, left:right] = _levels(seen).take(seen)
    return crop


def place_of(box: Box, width: int, height: int) -> npt.NDArray[np.float32]:
    """(PLACES,): where the box's middle is, -1 to 1 across and down; its width and height as shares of the picture's
    sides; the picture's proportion; the box's longer side in pixels. The last four are logarithms."""
    return np.array(
        [
            (box.x0 + box.x1) / width - 1,
            (box.y0 + box.y1) / height - 1,
            math.log(max(box.x1 - box.x0, 0.5) / width),
            math.log(max(box.y1 - box.y0, 0.5) / height),
            max(-2.0, min(2.0, math.log(width / height))),
            math.log(max(box.side, 1.0) / 48),
        ],
        np.float32,
    )


def _levels(seen: GrayArray) -> GrayArray:
    """(256,): brightness → stretched brightness."""
    below = np.bincount(seen.ravel(), minlength=256).cumsum()
    dark = int(np.searchsorted(below, DARK * below[-1]))
    bright = int(np.searchsorted(below, BRIGHT * below[-1]))
    if bright - dark < MIN_SPAN:  # a thin stroke, or next to nothing
        dark, bright = int(seen.min()), int(seen.max())
    span = max(MIN_SPAN, bright - dark)
    return np.asarray(np.clip((np.arange(256) - dark) * (255.0 / span), 0, 255), np.uint8)
