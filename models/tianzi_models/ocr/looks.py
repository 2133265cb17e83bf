"""Looking again: what the network is unsure of it sees smaller, narrower, lower and off centre; the looks are averaged.

Right answers agree from look to look more than wrong ones do. Only the unsure crops are looked at again, so that it
costs next to nothing on clean print.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.types import GrayArray, OcrOutput

Floats = npt.NDArray[np.float32]

LOOKS = ((44, 44, 0, 0), (40, 48, 0, 0), (48, 40, 0, 0), (48, 48, 1, -1), (48, 48, -1, 1))
"""Of each look: width and height of the crop, moved right and down, all in 48ths of its side."""
UNITS = 48
UNSEEN = 1e-7
"""The probability of a character that is not among the best of a look."""


class Looks:
    """The looks at crops of one size."""

    def __init__(self, crop_px: int) -> None:
        unit = crop_px / UNITS
        # A look resizes and moves rows and columns by themselves, so two products of matrices make it.
        self._down = np.stack([_resizing(crop_px, height * unit, down * unit) for _, height, _, down in LOOKS])
        self._across = np.stack([_resizing(crop_px, width * unit, right * unit).T for width, _, right, _ in LOOKS])

    def at(self, crops: Sequence[GrayArray]) -> npt.NDArray[np.uint8]:
        """Crops (S, S) → (N · len(LOOKS), S, S), those of one crop after each other."""
        ink = 255 - np.stack(crops).astype(np.float32)[:, None]
        seen = self._down @ ink @ self._across
        return np.asarray(255 - seen.round().clip(0, 255).reshape(-1, *seen.shape[2:]), np.uint8)


def is_unsure(output: OcrOutput, limit: float) -> bool:
    """Whether neither a character nor their absence is as likely as the limit."""
    return max(float(output.probs[0]), output.nothing) < limit


def mean(outputs: Sequence[OcrOutput]) -> OcrOutput:
    """The geometric mean of several looks at one crop, over whatever is among the best of one of them."""
    ids, place = np.unique(np.concatenate([output.ids for output in outputs]), return_inverse=True)
    logs = np.full((len(outputs), len(ids) + 1), np.log(UNSEEN), np.float64)
    k = len(outputs[0].ids)
    for number, output in enumerate(outputs):
        logs[number, place[number * k : (number + 1) * k]] = np.log(np.maximum(output.probs, UNSEEN))
        logs[number, -1] = np.log(max(output.nothing, UNSEEN))
    weights = np.exp(logs.mean(axis=0))
    probs = weights / weights.sum()
    best = np.argsort(-probs[:-1], kind="stable")[:k]
    return OcrOutput(ids[best], probs[best].astype(np.float32), float(probs[-1]))


def _resizing(side: int, length: float, shift: float) -> Floats:
    """(side, side): to a length in the middle, moved by so much; bilinear, each pixel an average where it shrinks.

    What comes in at the edges is nothing, which is paper where the values are ink.
    """
    zoom = length / side
    middle = (side - 1) / 2
    sources = (np.arange(side) - middle - shift) / zoom + middle
    reach = max(1.0, 1 / zoom)
    weights = (1 - np.abs(np.arange(side) - sources[:, None]) / reach).clip(0)
    return np.asarray(weights / reach, np.float32)
