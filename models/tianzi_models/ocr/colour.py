"""Colours → grey such that ink and ground differ, also where they are equally bright: red on green, say."""

from typing import Any

import numpy as np
from PIL import Image, ImageChops

from tianzi_models.ocr.types import GrayArray

SAMPLE_PX = 24
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's own conversion
# How much of the colours' contrast the brightness must hold to be enough.
MIN_SHARE = 0.5
# What has one channel so far over another is of a colour, as a seal's red is; black ink and paper are not.
COLOURED = 60
# Shares of a picture: at most so much is a mark beside black ink, and at least so much is the ink.
MAX_MARK, MIN_MARK, MIN_INK = 0.35, 0.01, 0.04
ONE_HUE = 0.8  # length of the colours' mean, as a share of their mean length


def colours_to_gray(image: Image.Image) -> GrayArray:
    """RGB image → (H, W) uint8: its brightness, or the colours' first principal component where that tells more.

    Which end of the component is dark is arbitrary, as ink may be lighter than its ground anyway. Of black print with a
    mark of a colour across it, a seal or a pen's, it is the brightest channel, in which the mark fades.
    """
    sample = np.asarray(image.resize((SAMPLE_PX, SAMPLE_PX), Image.Resampling.NEAREST), np.float64).reshape(-1, 3)
    if _is_marked(sample):
        red, green, blue = image.split()
        return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))
    mean = sample.mean(axis=0)
    sample -= mean
    spread = sample.T @ sample
    # Of a grey picture the three channels vary alike, each as much as the brightness.
    if LUMA @ spread @ LUMA >= MIN_SHARE**2 * np.trace(spread) / 3:
        return np.asarray(image.convert("L"))
    axis = np.linalg.eigh(spread).eigenvectors[:, -1]
    component = sample @ axis
    scale = 255.0 / max(1.0, float(np.ptp(component)))
    offset = float(component.min() + mean @ axis)
    return np.asarray(image.convert("L", (*(axis * scale).tolist(), -offset * scale)))


def _is_marked(sample: np.ndarray[Any, np.dtype[np.float64]]) -> bool:
    """Whether a few of the pixels (N, 3) are of one colour, and others black on a bright ground."""
    brightest = sample.max(axis=1)
    coloured = sample[brightest - sample.min(axis=1) > COLOURED]
    if not MIN_MARK <= len(coloured) / len(sample) <= MAX_MARK:
        return False
    ground = float(np.median(brightest))
    if ground <= 127 or (brightest < ground / 2).mean() < MIN_INK:
        return False
    # Screens draw letters with fringes of two colours, which are none together.
    hues = coloured - coloured.mean(axis=1, keepdims=True)
    return float(np.linalg.norm(hues.mean(axis=0))) >= ONE_HUE * float(np.linalg.norm(hues, axis=1).mean())
