"""Batches of scenes: for the finder the thumbnail and where characters are, for the reader a crop and what it is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from tianzi_models.ocr.cropping import crop_around, place_of
from tianzi_models.ocr.finding import Box, thumbnail
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.augment.clutter import relief
from tianzi_training.ocr.data.augment.degradation import wear
from tianzi_training.ocr.data.augment.exposure import expose
from tianzi_training.ocr.data.augment.scenery import add_scenery
from tianzi_training.ocr.data.batches import GlyphSampler, Group, OcrBatches, of_classes
from tianzi_training.ocr.data.charset import LOOK_ALIKES
from tianzi_training.ocr.data.em_boxes import EmBoxes
from tianzi_training.ocr.data.finder_targets import targets
from tianzi_training.ocr.data.negatives import draw_nothing
from tianzi_training.ocr.data.outsiders import turned
from tianzi_training.ocr.data.plates import binarise, vary
from tianzi_training.ocr.data.scenes import Composer, Scene, patches_of

LAYOUTS = {"alone": 0.46, "cell": 0.2, "line": 0.22, "page": 0.12}
UNKNOWN_SHARE, TURNED_SHARE = 0.05, 0.01
PLACED_SHARE = 0.07
"""Of glyphs are of classes that only size and place tell apart, and stand in cells and lines that show both."""
SEVERAL_SHARE = 0.3
"""Of scenes with neighbours: the crop takes in two of them, as where they are taken for one."""
NOTHING_SHARE = 0.05
PLAIN_SHARE = 0.2
"""Of groups of print: as a screen or a clean scan shows them."""
JITTER = 0.028
"""How far a found box is off, as a share of its longer side: its middle and its size, standard deviation."""
LOOSE_SHARE = 0.08
"""Of boxes are three times as far off."""

Sample = tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32], int]
"""thumbnail, the finder's targets, crop, place, label."""


class SceneBatches(Dataset[tuple[Tensor, ...]]):
    """Item `step` is a batch: thumbnails (N, 1, S, S) uint8, targets (N, 7, h, w) float32, crops (N, 1, C, C) uint8,
    places (N, PLACES) float32 and labels (N,) int64; the batch is a function of seed and step alone.
    """

    def __init__(self, glyphs: OcrBatches, em_boxes: EmBoxes, strangers: npt.NDArray[np.uint8], crop_px: int) -> None:
        """glyphs: what draws them. strangers: (K, S, S) glyphs of characters outside the list."""
        self.glyphs, self.strangers, self.crop_px = glyphs, strangers, crop_px
        self.composer = Composer(em_boxes)
        self.placed = GlyphSampler(glyphs.glyphs, of_classes(glyphs.charset, "".join(LOOK_ALIKES)))
        self.nothing = glyphs.num_classes
        self.several, self.unknown = self.nothing + 1, self.nothing + 2

    def __len__(self) -> int:
        return len(self.glyphs)

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        samples = [s for number in range(self.glyphs.groups) for s in self.group(step, number)]
        thumbs, finder, crops, places, labels = zip(*samples, strict=True)
        return (
            torch.from_numpy(np.stack(thumbs)).unsqueeze(1),
            torch.from_numpy(np.stack(finder)),
            torch.from_numpy(np.stack(crops)).unsqueeze(1),
            torch.from_numpy(np.stack(places)),
            torch.tensor(labels),
        )

    def group(self, step: int, number: int) -> list[Sample]:
        """The samples of one group: glyphs bent together, each in a scene of its own."""
        group = self.glyphs.draw(step, number)
        rng = np.random.default_rng((self.glyphs.config.seed, step, number, 1))
        images, ids = group.images.copy(), group.ids.copy()
        placed = self._replace(rng, images, ids)
        patches = patches_of(_bend(group, images))
        clean = group.style == "print" and rng.random() < PLAIN_SHARE
        return [self._sample(rng, group, patches, ids, i, 0.0 if clean else None, placed[i]) for i in range(len(ids))]

    def _replace(
        self, rng: np.random.Generator, images: npt.NDArray[np.uint8], ids: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Puts characters outside the list, turned ones, and those that place tells in the place of some; the last."""
        dice = rng.random(len(ids))
        placed = (dice > 0.5) & (dice < 0.5 + PLACED_SHARE)
        if placed.any():
            images[placed], ids[placed] = self.placed.draw(rng, int(placed.sum()))
        for i in range(len(ids)):
            if dice[i] < UNKNOWN_SHARE and len(self.strangers):
                images[i], ids[i] = self.strangers[rng.integers(len(self.strangers))], self.unknown
            elif dice[i] > 1 - TURNED_SHARE and (images[i] < 128).mean() > 0.2:
                images[i], ids[i] = turned(rng, images[i]), self.unknown
        return placed

    def _sample(
        self,
        rng: np.random.Generator,
        group: Group,
        patches: Sequence[Image.Image | None],
        ids: npt.NDArray[np.int64],
        i: int,
        level: float | None,
        placed: np.bool_,
    ) -> Sample:
        if group.plate and self.glyphs.photographs and rng.random() < 0.5:
            return self._photograph(rng)
        if rng.random() < NOTHING_SHARE:
            return self._empty(rng, patches)
        kind = str(rng.choice(list(LAYOUTS), p=list(LAYOUTS.values())))
        if placed and rng.random() < 0.85:
            kind = "cell" if rng.random() < 0.8 else "line"
        scene = self.composer.compose(rng, kind, patches, ids.tolist(), i)
        if scene is None or not scene.boxes:
            return self._empty(rng, patches)
        add_scenery(rng, scene, patches)
        level = group.strength * rng.uniform(0.5, 1.3) if level is None else level
        picture, light = expose(rng, scene.ink, scene.pitch, level)
        if group.plate and len(scene.boxes) == 1 and rng.random() < 0.3:
            return self._binarised(rng, picture, int(ids[scene.shown[0]]))
        chosen = int(rng.integers(len(scene.boxes)))
        box, label = Box(*scene.boxes[chosen], light=light), int(ids[scene.shown[chosen]])
        if len(scene.boxes) > 1 and rng.random() < SEVERAL_SHARE:
            box, label = self._two(rng, scene, chosen, light), self.several
        return self._finish(rng, picture, scene, light, box, label)

    def _two(self, rng: np.random.Generator, scene: Scene, chosen: int, light: bool) -> Box:
        """The box about a character and the one nearest to it, or about all of them."""
        boxes = np.array(scene.boxes)
        middles = (boxes[:, :2] + boxes[:, 2:]) / 2
        away = np.abs(middles - middles[chosen]).sum(1)
        near = np.argsort(away)[:2] if rng.random() < 0.8 else np.arange(len(boxes))
        return Box(*boxes[near, :2].min(0).tolist(), *boxes[near, 2:].max(0).tolist(), light=light)

    def _finish(
        self, rng: np.random.Generator, picture: npt.NDArray[np.uint8], scene: Scene, light: bool, box: Box, label: int
    ) -> Sample:
        small, scale = thumbnail(picture)
        finder = targets(scene.boxes, scene.ignored, light, scale)
        box = jittered(rng, box)
        height, width = picture.shape
        return small, finder, crop_around(picture, box, self.crop_px), place_of(box, width, height), label

    def _photograph(self, rng: np.random.Generator) -> Sample:
        """A plate's character, which fills its picture."""
        photographs = self.glyphs.photographs
        assert photographs is not None
        number = int(rng.integers(len(photographs.pictures)))
        picture, label = vary(rng, photographs.pictures[number]), int(photographs.ids[number])
        return self._binarised(rng, picture, label) if rng.random() < 0.6 else self._whole(rng, picture, label)

    def _binarised(self, rng: np.random.Generator, picture: npt.NDArray[np.uint8], label: int) -> Sample:
        return self._whole(rng, binarise(rng, picture), label)

    def _whole(self, rng: np.random.Generator, picture: npt.NDArray[np.uint8], label: int) -> Sample:
        """A picture whose character fills it: its box is that of the rarer side of Otsu's threshold."""
        height, width = picture.shape
        mask = picture > (float(picture.min()) + float(picture.max())) / 2
        light = bool(mask.mean() < 0.5)
        mask = mask if light else ~mask
        rows, columns = np.flatnonzero(mask.mean(1) > 0.04), np.flatnonzero(mask.mean(0) > 0.04)
        corners = (0.0, 0.0, float(width), float(height))
        if len(rows) and len(columns):
            corners = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        scene = Scene(np.zeros((1, 1), np.float32), [corners], [0])
        return self._finish(rng, picture, scene, light, Box(*corners, light=light), label)

    def _empty(self, rng: np.random.Generator, patches: Sequence[Image.Image | None]) -> Sample:
        """No character: scribbles, shapes, noise, or only what stands around one."""
        if rng.random() < 0.6:
            picture = draw_nothing(rng)
            scene, light = Scene(np.zeros(picture.shape, np.float32)), bool(rng.random() < 0.5)
        else:
            shape = rng.integers(16, 96, 2)
            scene = Scene(np.zeros((int(shape[0]), int(shape[1])), np.float32), pitch=float(shape.min()) * 0.7)
            add_scenery(rng, scene, patches)
            scene.boxes.clear()
            picture, light = expose(rng, scene.ink, scene.pitch, rng.uniform(0.2, 1.0))
        height, width = picture.shape
        x, y = np.sort(rng.uniform(0, width, 2)), np.sort(rng.uniform(0, height, 2))
        whole = Box(0, 0, width, height, light=light)
        part = Box(x[0], y[0], max(x[1], x[0] + 4), max(y[1], y[0] + 4), light=light)
        return self._finish(rng, picture, scene, light, whole if rng.random() < 0.5 else part, self.nothing)


def jittered(rng: np.random.Generator, box: Box) -> Box:
    """The box as the finder might give it."""
    off = box.side * JITTER * (3 if rng.random() < LOOSE_SHARE else 1)
    x0, y0, x1, y1 = np.array([box.x0, box.y0, box.x1, box.y1]) + rng.normal(0, off, 4)
    return Box(x0, y0, max(x1, x0 + 0.5), max(y1, y0 + 0.5), box.score, box.light)


def _bend(group: Group, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """(N, S, S) glyphs → inks (N, H, H), each bent, worn and with its own weight of strokes."""
    augment = Augment(group.seed % 2**62, group.strength, group.style)
    ink = 1 - torch.from_numpy(images).float().unsqueeze(1) / 255
    ink = relief(augment, wear(augment, augment.stroke_width(augment.warp(ink))))
    return ink[:, 0].numpy()
