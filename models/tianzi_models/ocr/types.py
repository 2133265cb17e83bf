"""What goes into OcrModel and what comes out."""

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.allowed import AllowedSet

GrayArray: TypeAlias = npt.NDArray[np.uint8]
"""(H, W) uint8, 0 = black, 255 = white."""

DEFAULT_TOP_K = 5


class OcrRequest(NamedTuple):
    """One image. image: an encoded file's bytes, or grey pixels (H, W) uint8. top_k: 1 to the bundle's.

    allowed: what may be answered, names of tianzi_models.ocr.allowed.KINDS and characters; empty for everything.
    """

    # A tuple: a server makes one for each row, and a frozen dataclass takes twice as long.
    image: bytes | GrayArray
    top_k: int = DEFAULT_TOP_K
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class OcrItem:
    """What the network reads. crop: (H, W) uint8 of the bundle's size."""

    crop: GrayArray
    top_k: int
    allowed: AllowedSet


@dataclass(frozen=True)
class OcrOutput:
    """What the network gives for one crop. ids, probs: (k,), best first; nothing: P(no character)."""

    ids: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float32]
    nothing: float


@dataclass(frozen=True)
class Candidate:
    """A character with the model's confidence in [0, 1]."""

    text: str
    confidence: float


@dataclass(frozen=True)
class OcrAnswer:
    """candidates: best first. rejected: there is no single readable character in the picture."""

    candidates: tuple[Candidate, ...]
    rejected: bool


Json: TypeAlias = dict[str, Any]
