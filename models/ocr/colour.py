"""Colours → grey such that ink and ground differ, also where they are equally bright: red on green, say."""

import numpy as np
from PIL import Image

from models.ocr.types import GrayArray

SAMPLE_PX = 24
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow's own conversion
# How much of the colours' contrast the brightness must hold to be enough.
MIN_SHARE = 0.5


def colours_to_gray(image: Image.Image) -> GrayArray:
    """RGB image → (H, W) uint8: its brightness, or the colours' first principal component where that tells more.

    Which end of the component is dark is arbitrary, as ink may be lighter than its ground anyway.
    """
    sample = np.asarray(image.resize((SAMPLE_PX, SAMPLE_PX), Image.Resampling.NEAREST), np.float64).reshape(-1, 3)
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
