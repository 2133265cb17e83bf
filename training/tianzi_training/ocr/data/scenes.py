"""Scenes: pictures with characters whose places are known, composed from inks by code.

A scene begins as ink (H, W) float32, 0 = paper and 1 = ink, less than 0 where print has a rim lighter than the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_training.ocr.data.em_boxes import EmBoxes, box_of

Floats = npt.NDArray[np.float32]
Rng = np.random.Generator

INKED = 0.3
"""What has more ink is part of a character's box."""
RIM_PX = 3
MAX_SIDE_PX = 176
WHOLE, PARTLY = 0.9, 0.3
"""Shares of a box in sight: a whole character's; and of something that is neither that nor a sliver."""


@dataclass
class Scene:
    """ink: (H, W). boxes: x0, y0, x1, y1 of whole characters; shown: which of the inks each is.

    ignored: boxes of characters that are cut by the picture's edge.
    """

    ink: Floats
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    ignored: list[tuple[float, float, float, float]] = field(default_factory=list)
    pitch: float = 40.0

    def put(self, number: int, patch: Image.Image, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draws a patch, RIM_PX of which lie outside the character's box on each side, so that the box is as given."""
        width, height = max(1, round(x1 - x0)), max(1, round(y1 - y0))
        left, top = round(x0), round(y0)
        across, down = width / (patch.width - 2 * RIM_PX), height / (patch.height - 2 * RIM_PX)
        rim_x, rim_y = round(RIM_PX * across), round(RIM_PX * down)
        small = np.asarray(patch.resize((width + 2 * rim_x, height + 2 * rim_y), Image.Resampling.BILINEAR))
        sheet_h, sheet_w = self.ink.shape
        x, y = left - rim_x, top - rim_y
        cut = small[max(0, -y) : max(0, sheet_h - y), max(0, -x) : max(0, sheet_w - x)]
        if not cut.size:
            return
        part = self.ink[max(0, y) : max(0, y) + cut.shape[0], max(0, x) : max(0, x) + cut.shape[1]]
        np.copyto(part, np.where(np.abs(cut) > np.abs(part), cut, part))
        box = (float(left), float(top), float(left + width), float(top + height))
        inside = (max(0.0, box[0]), max(0.0, box[1]), min(float(sheet_w), box[2]), min(float(sheet_h), box[3]))
        seen = max(0.0, inside[2] - inside[0]) * max(0.0, inside[3] - inside[1]) / (width * height)
        if seen >= WHOLE:
            self.boxes.append(inside)
            self.shown.append(number)
        elif seen >= PARTLY:
            self.ignored.append(inside)


def patches_of(inks: Floats) -> list[Image.Image | None]:
    """(N, S, S) → each one's ink with a rim of RIM_PX around it; None where there is none."""
    found: list[Image.Image | None] = []
    for ink in inks:
        mask = np.abs(ink) > INKED
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            found.append(None)
            continue
        padded = np.pad(ink, RIM_PX)
        part = padded[rows[0] : rows[-1] + 1 + 2 * RIM_PX, columns[0] : columns[-1] + 1 + 2 * RIM_PX]
        found.append(Image.fromarray(np.ascontiguousarray(part)))
    return found


class Composer:
    """Lays characters out: alone with any margin, in a cell, in a line, on a part of a page."""

    def __init__(self, em_boxes: EmBoxes) -> None:
        self.em_boxes = em_boxes

    def compose(
        self, rng: Rng, kind: str, patches: Sequence[Image.Image | None], ids: Sequence[int], i: int
    ) -> Scene | None:
        """A scene about ink i; the others are its neighbours. None where there is no ink."""
        if patches[i] is None:
            return None
        return {"alone": self._alone, "cell": self._cell, "line": self._line, "page": self._page}[kind](
            rng, patches, ids, i
        )

    def _alone(self, rng: Rng, patches: Sequence[Image.Image | None], ids: Sequence[int], i: int) -> Scene:
        """As people cut it out: any size, any margin, more often a small one."""
        width, height = _size(patches[i])
        longer = rng.uniform(9, 24) if rng.random() < 0.35 else np.exp(rng.uniform(np.log(20), np.log(110)))
        zoom = longer / max(width, height)
        width, height = width * zoom, height * zoom
        if rng.random() < 0.75:
            margins = rng.exponential(0.14, 4) * longer - (rng.random() < 0.15) * 1.0
            if rng.random() < 0.5:  # a square about it
                margins[:2] += max(0.0, height - width) / 2
                margins[2:] += max(0.0, width - height) / 2
        else:
            most = max(4.0, MAX_SIDE_PX - longer)
            margins = rng.dirichlet([1.5, 1.5], 2).ravel() * np.repeat(rng.uniform(0.1, 1.0, 2), 2) * most
        margins = np.maximum(margins, -0.03 * longer)
        sheet = (max(6, round(height + margins[2] + margins[3])), max(6, round(width + margins[0] + margins[1])))
        scene = Scene(np.zeros(sheet, np.float32), pitch=longer)
        scene.put(i, patches[i], margins[0], margins[2], margins[0] + width, margins[2] + height)
        return scene

    def _cell(self, rng: Rng, patches: Sequence[Image.Image | None], ids: Sequence[int], i: int) -> Scene:
        """In the square that print gives it, with little beside: place and size tell what it is."""
        em = rng.uniform(12, 30) if rng.random() < 0.4 else rng.uniform(24, 84)
        across, down = em * rng.uniform(1.0, 1.6), em * rng.uniform(1.0, 1.6)
        if rng.random() < 0.6:
            down = across
        scene = Scene(np.zeros((round(down), round(across)), np.float32), pitch=em)
        self._in_square(rng, scene, patches, ids, i, across / 2, down / 2, em)
        return scene

    def _line(self, rng: Rng, patches: Sequence[Image.Image | None], ids: Sequence[int], i: int) -> Scene:
        """In a line whose other characters are cut off by the edges, or stand whole beside it."""
        em = rng.uniform(12, 30) if rng.random() < 0.4 else rng.uniform(24, 72)
        pitch = em * rng.uniform(0.98, 1.25)
        visible = rng.uniform(-0.05, 0.33, 2) if rng.random() < 0.6 else rng.choice([0.05, 1.0, 1.1, 2.05], 2)
        length, depth = pitch * (1 + visible.sum()), em * rng.uniform(1.0, 1.7)
        if length > MAX_SIDE_PX:
            em, pitch, length, depth = (v * MAX_SIDE_PX / length for v in (em, pitch, length, depth))
        upright = rng.random() < 0.3
        size = (round(length), round(depth)) if upright else (round(depth), round(length))
        scene = Scene(np.zeros((max(6, size[0]), max(6, size[1])), np.float32), pitch=em)
        middle = depth * rng.uniform(0.42, 0.58)
        order = [i, *rng.permutation([k for k in range(len(patches)) if k != i])]
        for number, offset in zip(order, (0, -1, 1, -2, 2, -3, 3), strict=False):
            along = pitch * (0.5 + visible[0] + offset)
            x, y = (middle, along) if upright else (along, middle)
            self._in_square(rng, scene, patches, ids, int(number), x, y, em)
        return scene

    def _page(self, rng: Rng, patches: Sequence[Image.Image | None], ids: Sequence[int], i: int) -> Scene:
        """A part of a page: lines of characters, some places empty."""
        em = rng.uniform(9, 34)
        across, down = em * rng.uniform(1.0, 1.4), em * rng.uniform(1.0, 1.9)
        if rng.random() < 0.3:
            across, down = down, across
        columns, rows = int(rng.integers(2, 7)), int(rng.integers(1, 6))
        zoom = min(1.0, MAX_SIDE_PX / max(columns * across, rows * down))
        em, across, down = em * zoom, across * zoom, down * zoom
        rim = em * rng.uniform(0, 1, 2)
        shape = (round(rows * down + rim[1]), round(columns * across + rim[0]))
        scene = Scene(np.zeros(shape, np.float32), pitch=em)
        filled = rng.uniform(0.6, 1.0)
        for row in range(rows):
            for column in range(columns):
                if rng.random() < filled:
                    number = int(rng.integers(len(patches)))
                    x, y = (column + 0.5) * across + rim[0] / 2, (row + 0.5) * down + rim[1] / 2
                    self._in_square(rng, scene, patches, ids, number, x, y, em)
        return scene

    def _in_square(
        self,
        rng: Rng,
        scene: Scene,
        patches: Sequence[Image.Image | None],
        ids: Sequence[int],
        number: int,
        x: float,
        y: float,
        em: float,
    ) -> None:
        """Puts an ink where print has it in a square of side em about (x, y), its own proportion kept."""
        patch = patches[number]
        if patch is None:
            return
        box = box_of(self.em_boxes, int(ids[number]), rng) * em
        width, height = _size(patch)
        longer = max(box[2] - box[0], box[3] - box[1], 1.5)
        zoom = longer / max(width, height)
        x, y = x + (box[0] + box[2]) / 2, y + (box[1] + box[3]) / 2
        half_w, half_h = width * zoom / 2, height * zoom / 2
        scene.put(number, patch, x - half_w, y - half_h, x + half_w, y + half_h)


def _size(patch: Image.Image | None) -> tuple[int, int]:
    """Width and height of a patch's box."""
    assert patch is not None
    return patch.width - 2 * RIM_PX, patch.height - 2 * RIM_PX
