"""Where the character is: the picture as the finder sees it, its answer as boxes, and the crop around one of them.

The finder is a small convolutional network in the manner of CenterNet (arXiv:1904.07850) and FCOS (arXiv:1904.01355).
It sees the grey picture reduced to FINDER_PX and says of each cell of STRIDE pixels how likely a whole character has
its centre there, how far the four sides of its ink are, and whether the ink is the lighter.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_models.ocr.types import GrayArray

Floats = npt.NDArray[np.float32]

FINDER_PX, STRIDE = 64, 4
CELLS = FINDER_PX // STRIDE
MIN_SCORE = 0.25
"""A cell under this shows no character. The surest cell is looked at even so: the reader says what it shows."""
MAX_OVERLAP = 0.3
"""Of two boxes, intersection over union: above this they are one character."""
MAX_LOOKS = 3
NEAR = 2.2
"""A second look at a small character takes in this many times its size."""
MIN_ZOOM = 1.6
"""Another look is worth its time where it shows the character so much larger."""


class Finder(Protocol):
    """The network: thumbnails (N, 1, FINDER_PX, FINDER_PX) uint8 → (N, 6, CELLS, CELLS) float32.

    The channels are: score, 0 to 1; left, top, right and bottom, distances from the cell's centre in FINDER_PX; and the
    probability that the ink is lighter than the ground.
    """

    def __call__(self, thumbnails: npt.NDArray[np.uint8]) -> Floats: ...


@dataclass(frozen=True)
class Box:
    """The ink of a character, in pixels of the picture; x1 and y1 are the first outside.

    light: whether the ink is lighter than its ground.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    score: float = 1.0
    light: bool = False

    @property
    def side(self) -> float:
        """The longer side."""
        return max(self.x1 - self.x0, self.y1 - self.y0)

    def moved(self, x: float, y: float) -> "Box":
        """The box in a picture that shows x and y more pixels at the left and at the top."""
        return Box(self.x0 + x, self.y0 + y, self.x1 + x, self.y1 + y, self.score, self.light)

    def overlap(self, other: "Box") -> float:
        """Intersection over union."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        if width <= 0 or height <= 0:
            return 0.0
        both = width * height
        return both / ((self.x1 - self.x0) * (self.y1 - self.y0) + (other.x1 - other.x0) * (other.y1 - other.y0) - both)


def thumbnail(gray: GrayArray) -> tuple[GrayArray, float]:
    """(H, W) → (FINDER_PX, FINDER_PX), the longer side scaled to it, and pixels of the picture a pixel of it.

    The picture lies at the top left; the rest has its mean brightness.
    """
    height, width = gray.shape
    scale = max(height, width) / FINDER_PX
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    image = Image.fromarray(gray)
    if scale > 3:
        # Whole blocks are averaged first: that is cheap, and a large picture's grain fades in it.
        image = image.reduce(int(scale / 1.5))
    small = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    if small.shape == (FINDER_PX, FINDER_PX):
        return small, scale
    sheet = np.full((FINDER_PX, FINDER_PX), int(small.mean()), np.uint8)
    sheet[: small.shape[0], : small.shape[1]] = small
    return sheet, scale


def decode(answer: Floats, scale: float, width: int, height: int, min_score: float = MIN_SCORE) -> list[Box]:
    """The network's answer to one thumbnail (6, CELLS, CELLS) → boxes in the picture, the surest first.

    There is at least one box: where no cell reaches min_score, the surest.
    """
    scores = answer[0].ravel()
    order = np.argsort(-scores, kind="stable")
    count = max(1, int((scores >= min_score).sum()))
    boxes: list[Box] = []
    for cell in order[:count]:
        row, column = divmod(int(cell), CELLS)
        left, top, right, bottom, light = (float(v) for v in answer[1:, row, column])
        x, y = (column + 0.5) / CELLS, (row + 0.5) / CELLS
        unit = scale * FINDER_PX
        box = Box(
            max(0.0, (x - left) * unit),
            max(0.0, (y - top) * unit),
            min(float(width), (x + right) * unit),
            min(float(height), (y + bottom) * unit),
            float(scores[cell]),
            light > 0.5,
        )
        if box.x1 - box.x0 < 1 or box.y1 - box.y0 < 1:
            box = Box(0.0, 0.0, float(width), float(height), box.score, box.light) if not boxes else box
            if boxes:
                continue
        if all(box.overlap(other) < MAX_OVERLAP for other in boxes):
            boxes.append(box)
    return boxes


def find(gray: GrayArray, finder: Finder) -> list[Box]:
    """The characters of a picture, the main one first: the surest of the largest.

    A character that is small in the picture is looked at again from nearer, up to MAX_LOOKS times in all.
    """
    height, width = gray.shape
    small, scale = thumbnail(gray)
    boxes = decode(finder(small[None, None])[0], scale, width, height)
    main = max(boxes, key=lambda box: box.score * box.side)
    boxes.sort(key=lambda box: box is not main)
    reach = float(max(height, width))
    for _ in range(MAX_LOOKS - 1):
        # A character of a pixel or two is less sure of its size than of its place.
        near = NEAR * max(main.side, 4 * scale)
        if near * MIN_ZOOM > reach:
            break
        x, y = (main.x0 + main.x1 - near) / 2, (main.y0 + main.y1 - near) / 2
        left, top = max(0, int(x)), max(0, int(y))
        part = gray[top : int(y + near) + 1, left : int(x + near) + 1]
        small, scale = thumbnail(part)
        found = decode(finder(small[None, None])[0], scale, part.shape[1], part.shape[0])
        middle = ((part.shape[1]) / 2, (part.shape[0]) / 2)
        again = max(found, key=lambda box: box.score - _distance(box, middle) / near).moved(left, top)
        main = Box(again.x0, again.y0, again.x1, again.y1, max(main.score, again.score), again.light)
        reach = near
    return [main, *boxes[1:]]


def _distance(box: Box, point: tuple[float, float]) -> float:
    return max(abs((box.x0 + box.x1) / 2 - point[0]), abs((box.y0 + box.y1) / 2 - point[1]))


def is_rival(box: Box, main: Box, min_score: float, min_share: float) -> bool:
    """Whether a box beside the main one is so sure and so large that the picture shows several characters."""
    return box.score >= min_score and box.side >= min_share * main.side
