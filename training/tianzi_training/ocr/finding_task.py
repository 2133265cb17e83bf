"""The training task of finder and reader: scenes → batches → both losses → figures on fonts never trained on."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_models.ocr.cropping import crop_around, place_of
from tianzi_models.ocr.finding import Box, find
from tianzi_models.ocr.finding_model import FINDER_GRAPH, FindingOcrModel
from tianzi_training.config import ConfigError, OcrConfig
from tianzi_training.export.graph import Graph
from tianzi_training.loop import to_device
from tianzi_training.ocr.data.batches import OcrBatches
from tianzi_training.ocr.data.charset import build_charset
from tianzi_training.ocr.data.em_boxes import measure
from tianzi_training.ocr.data.glyphs import load_glyphs, read_catalogue
from tianzi_training.ocr.data.handwriting.kanjivg import load_stroke_order
from tianzi_training.ocr.data.outsiders import outsiders
from tianzi_training.ocr.data.plates import load_plates
from tianzi_training.ocr.data.scene_batches import SceneBatches
from tianzi_training.ocr.finder_net import ServedFinder, finder_loss
from tianzi_training.ocr.finding_export import finder_graph, fitted_facts, reader_feeds, reader_graph
from tianzi_training.ocr.golden import golden_requests, training_data
from tianzi_training.ocr.reader_net import FindingReader, ReaderNet, from_ocr_net

STRANGER_FONTS = ("noto-sans-regular", "noto-serif-regular", "noto-sans-bold", "babelstone-han", "hanazono", "unifont")
CALIBRATION_BATCHES = 3
VALIDATION_STEP = 10**7
"""A step that no training comes to."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class FindingTask:
    """What tianzi_training.loop needs to know of finder and reader."""

    model_class = FindingOcrModel

    def __init__(self, config: OcrConfig) -> None:
        self.config = config
        self.charset = build_charset(config.hanzi)
        fonts = read_catalogue()
        self.fonts = [font for font in fonts if not font.held_out]
        self.held_out = [font for font in fonts if font.held_out]
        if not self.fonts or not self.held_out:
            raise ConfigError("no fonts are installed: run `./run fonts` first")
        print(f"{len(self.fonts)} fonts to train on, {len(self.held_out)} held out", file=sys.stderr)
        self._sets: dict[str, tuple[Tensor, ...]] | None = None

    def build_net(self) -> FindingReader:
        c = self.config
        return FindingReader(ReaderNet(len(self.charset), c.crop_px, c.widths, c.blocks, c.embedding))

    def batches(self) -> SceneBatches:
        plates, _ = load_plates(Path(self.config.plates), self.charset)
        glyphs = load_glyphs(self.fonts, self.charset)
        drawn = OcrBatches(glyphs, self.charset, self.config, plates, load_stroke_order(self.charset), written=())
        return SceneBatches(drawn, measure(self.fonts, self.charset), self.strangers(), self.config.crop_px)

    def strangers(self, held_out: bool = False) -> npt.NDArray[np.uint8]:
        """Glyphs (K, S, S) of characters outside the list."""
        chosen = [font for font in self.fonts if font.name in STRANGER_FONTS]
        found = [np.asarray(g.images) for g in load_glyphs(chosen, outsiders(self.charset, held_out))]
        return np.concatenate(found) if found else np.zeros((0, 64, 64), np.uint8)

    def vocabulary(self) -> dict[str, bytes]:
        """The bundle's list of classes."""
        return {"charset.txt": "".join(f"{forms}\n" for forms in self.charset).encode()}

    def adapt(self, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a bundle for this network."""
        return from_ocr_net(weights, own)

    def loss(self, net: FindingReader, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        thumbnails, targets, crops, places, labels = batch
        loss, parts = finder_loss(net.finder(thumbnails), targets)
        stats = {name: part.item() for name, part in parts.items()}
        count = round(self.config.reading_share * len(labels))
        if count:
            logits, labels = net.reader(crops[:count], places[:count]), labels[:count]
            reading = F.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
            loss = loss + reading
            stats |= {"reading": reading.item(), "accuracy": (logits.argmax(1) == labels).float().mean().item()}
        return loss, stats

    def graph(self, net: FindingReader) -> tuple[Graph, dict[str, Any]]:
        """The reader's graph and the bundle's facts, fitted on scenes and clean print of the held-out fonts."""
        crop_px, classes = self.config.crop_px, len(self.charset)
        _, _, crops, places, labels = self._scenes()
        parts = list(zip(crops.split(256), places.split(256), labels.split(256), strict=True))
        with torch.inference_mode():
            logits = torch.cat([net.reader(c, p) for c, p, _ in parts])
        facts = fitted_facts(logits, labels, read_pictures(net, self._clean(), crop_px)[0], crop_px)
        batches = self.batches()
        made = [batches[self.config.steps - n] for n in range(1, CALIBRATION_BATCHES + 1)]
        feeds = [reader_feeds(batch[2], batch[3], classes) for batch in made]
        return reader_graph(net, facts["temperature"], crop_px, classes, feeds, parts), facts

    def more_graphs(self, net: FindingReader) -> dict[str, Graph]:
        """The finder's, by its file's name."""
        return {FINDER_GRAPH: finder_graph(net)}

    def golden_requests(self) -> list[dict[str, Any]]:
        """Characters of held-out fonts on sheets, and a blank one; see OcrTask.golden_requests."""
        return golden_requests(load_glyphs(self.held_out, self.charset), self.charset)

    def training_data(self) -> list[str]:
        """What the weights were trained on."""
        return training_data(self.fonts)

    def validate(self, net: FindingReader) -> dict[str, float]:
        """On scenes of the held-out fonts: how many crops are read, and how many characters found."""
        if self._sets is None:
            self._sets = {"scenes": self._scenes()}
        device = next(net.parameters()).device
        figures: dict[str, float] = {}
        for name, (thumbnails, targets, crops, places, labels) in self._sets.items():
            right, errors, hits = [], [], []
            for start in range(0, len(labels), 256):
                part = slice(start, start + 256)
                logits = net.reader(to_device(crops[part], device), to_device(places[part], device)).cpu()
                right.append(logits.argmax(1) == labels[part])
                answer, target = net.finder(to_device(thumbnails[part], device)).cpu(), targets[part]
                centre = target[:, 0] >= 1
                hits.append(answer[:, 0].sigmoid()[centre] > 0.3)
                side = (target[:, 1] + target[:, 3]).maximum(target[:, 2] + target[:, 4]).clamp(min=0.01)
                off = (answer[:, 1:5] - target[:, 1:5]).abs().amax(1) / side
                errors.append(off[centre])
            figures[name] = torch.cat(right).float().mean().item()
            figures["found"] = torch.cat(hits).float().mean().item()
            figures["off"] = torch.cat(errors).median().item()
        return figures

    def _clean(self) -> list[npt.NDArray[np.uint8]]:
        """Glyphs of held-out print as they are."""
        rng = np.random.default_rng(0)
        found = []
        for glyphs in load_glyphs([f for f in self.held_out if f.style in ("print", "kai")], self.charset):
            chosen = rng.choice(len(glyphs.ids), min(self.config.validation_samples, len(glyphs.ids)), replace=False)
            found += [np.pad(glyphs.images[i], 6, constant_values=255) for i in np.sort(chosen)]
        return found

    def _scenes(self) -> tuple[Tensor, ...]:
        glyphs = load_glyphs(self.held_out, self.charset)
        drawn = OcrBatches(glyphs, self.charset, self.config, None, None, written=())
        batches = SceneBatches(
            drawn, measure(self.fonts, self.charset), self.strangers(held_out=True), self.config.crop_px
        )
        parts = [batches[VALIDATION_STEP + n] for n in range(self.config.validation_samples // self.config.batch_size)]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def read_pictures(
    net: FindingReader, pictures: Sequence[npt.NDArray[np.uint8]], crop_px: int
) -> tuple[Tensor, list[list[Box]]]:
    """The served way with torch: the reader's logits (N, C + 3) of each picture's main character, and all boxes."""
    served = ServedFinder(net.finder)

    def finder(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return served(torch.tensor(thumbnails)).numpy()

    with torch.inference_mode():
        boxes = [find(picture, finder) for picture in pictures]
        crops = [crop_around(p, b[0], crop_px) for p, b in zip(pictures, boxes, strict=True)]
        places = [place_of(b[0], p.shape[1], p.shape[0]) for p, b in zip(pictures, boxes, strict=True)]
        crops_t, places_t = torch.from_numpy(np.stack(crops)).unsqueeze(1), torch.from_numpy(np.stack(places))
        logits = [net.reader(c, p) for c, p in zip(crops_t.split(128), places_t.split(128), strict=True)]
    return torch.cat(logits), boxes
