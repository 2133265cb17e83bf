"""Where a character's ink lies in the square that print gives it: what tells 一 from — and 。 from 〇."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import ImageFont

from tianzi_training.ocr.data.charset import LOOK_ALIKES, PUNCTUATION
from tianzi_training.ocr.data.glyphs import Font

FACES = (
    "noto-sans-regular", "noto-serif-regular", "lxgw-wenkai-regular", "noto-sans-bold", "arphic-sungti",
    "arphic-uming", "babelstone-han", "bizud-gothic", "ume-gothic", "cwtex-fangsong", "smiley-sans",
)  # fmt: skip
"""Fonts of hanzi whose measures are taken, as many of them as are installed."""
DRAWN_PX = 128
FULL = "国"
"""A hanzi that fills its square: its middle is the square's, and it is FULL_SHARE as high."""
FULL_SHARE = 0.9

EmBoxes = Mapping[int, npt.NDArray[np.float64]]
"""Class → (K, 4): left, top, right and bottom of the ink in K fonts, in ems from the square's middle."""


def measure(fonts: Sequence[Font], charset: Sequence[str]) -> EmBoxes:
    """The boxes of letters, digits, punctuation and what looks like them. Other hanzi fill their squares."""
    wanted = {char for group in LOOK_ALIKES for char in group} | set(PUNCTUATION)
    classes = {n: forms for n, forms in enumerate(charset) if ord(forms[-1]) < 128 or wanted & set(forms)}
    chosen = [font for font in fonts if font.name in FACES and len(font.files) == 1]
    boxes: dict[int, list[npt.NDArray[np.float64]]] = {}
    for font in chosen:
        face = ImageFont.truetype(str(font.files[0]), DRAWN_PX, index=font.index)
        _, y0, _, y1 = face.getbbox(FULL)
        em, middle = (y1 - y0) / FULL_SHARE, (y0 + y1) / 2
        for number, forms in classes.items():
            # Chinese marks stand in a corner of a square of their own; the ASCII twin stands in a narrow one.
            for char in forms:
                left, top, right, bottom = face.getbbox(char)
                if right > left and bottom > top:
                    half = face.getlength(char) / 2
                    box = np.array([left - half, top - middle, right - half, bottom - middle]) / em
                    boxes.setdefault(number, []).append(box)
    return {number: np.stack(found) for number, found in boxes.items()}


def box_of(boxes: EmBoxes, number: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """(4,): the box of a class in one of the fonts; of a hanzi that fills its square, about that square."""
    known = boxes.get(number)
    if known is not None:
        return np.asarray(known[rng.integers(len(known))])
    half = rng.uniform(0.41, 0.49)
    return np.array([-half, -half, half, half]) + rng.normal(0, 0.015, 4)
