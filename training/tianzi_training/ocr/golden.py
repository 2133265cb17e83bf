"""What a recogniser's bundle says of itself: requests that it must answer as when it was made, and its fonts."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_training.ocr.data.glyphs import Font, Glyphs
from tianzi_training.ocr.data.handwriting.kanjivg import find_archive

GOLDEN_CHARACTERS = "填字永國7"


def golden_requests(held_out: Sequence[Glyphs], charset: Sequence[str]) -> list[dict[str, Any]]:
    """A few characters, each in another held-out font that has it, and a blank sheet.

    One candidate each, the blank sheet's named beforehand: the order of what is unlikely differs with the device.
    """
    blank = base64.b64encode(_png(np.full((40, 40), 255, np.uint8))).decode()
    requests: list[dict[str, Any]] = [{"image": blank, "top_k": 1, "allowed": ["永"]}]
    for i, char in enumerate(GOLDEN_CHARACTERS):
        number = next(n for n, forms in enumerate(charset) if char in forms)
        fonts = [g for g in held_out if number in g.ids]
        if fonts:
            glyphs = fonts[i % len(fonts)]
            picture = _png(glyphs.images[np.flatnonzero(glyphs.ids == number)[0]])
            requests.append({"image": base64.b64encode(picture).decode(), "top_k": 1})
    return requests


def training_data(fonts: Sequence[Font]) -> list[str]:
    """The fonts and drawings that a recogniser was trained on."""
    data = [f"glyphs of the font {font.name}" for font in fonts]
    if archive := find_archive():
        data.append(f"strokes of {archive.stem}")
    return data


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
