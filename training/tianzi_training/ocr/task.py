"""The recogniser's training task: fonts → batches → loss → figures on fonts never trained on."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.ocr.allowed import PENALTY
from tianzi_models.ocr.image import normalize_crop
from tianzi_models.runtime import Session
from tianzi_training.config import ConfigError, OcrConfig
from tianzi_training.export.graph import Graph, fit_temperature
from tianzi_training.loop import to_device
from tianzi_training.ocr.activations import ACTIVATIONS
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.batches import GROUP, OcrBatches, of_classes
from tianzi_training.ocr.data.charset import build_charset, level1_hanzi
from tianzi_training.ocr.data.conveyor import Conveyor
from tianzi_training.ocr.data.glyphs import GLYPH_PX, Glyphs, load_glyphs, read_catalogue
from tianzi_training.ocr.data.handwriting.kanjivg import load_stroke_order
from tianzi_training.ocr.data.negatives import draw_nothing, draw_several
from tianzi_training.ocr.data.plates import binarise, load_plates
from tianzi_training.ocr.evaluation.figures import draw_samples
from tianzi_training.ocr.golden import golden_requests, training_data
from tianzi_training.ocr.net import BLOCKS, OcrNet, OcrSeedNet, ServedOcr

# As many candidates as anyone reads; every one more costs nothing but bytes.
MAX_TOP_K = 20
MAX_SIDE_PX = 4096
# Share of clean characters of unseen fonts that the confidence threshold may reject.
REJECTED_CLEAN = 0.002
# Confidence under which the served model looks again: of clean characters one in a hundred has less.
LOOKS_AGAIN_UNDER = 0.8
CALIBRATION_BATCHES = 3


class OcrTask:
    """What tianzi_training.loop needs to know of the recogniser."""

    def __init__(self, config: OcrConfig) -> None:
        self.config = config
        self.charset = build_charset(config.hanzi)
        fonts = read_catalogue()
        self.fonts = [font for font in fonts if not font.held_out]
        self.held_out = load_glyphs([font for font in fonts if font.held_out], self.charset)
        if not self.fonts or not self.held_out:
            raise ConfigError("no fonts are installed: run `./run fonts` first")
        self.plates, self.plates_held_out = load_plates(Path(config.plates), self.charset)
        print(f"{len(self.fonts)} fonts to train on, {len(self.held_out)} held out", file=sys.stderr)
        self._sets: dict[str, tuple[Tensor, Tensor]] | None = None

    def build_net(self) -> nn.Module:
        return build_net(self.config, len(self.charset))

    def batches(self) -> OcrBatches:
        glyphs = load_glyphs(self.fonts, self.charset)
        return OcrBatches(glyphs, self.charset, self.config, self.plates, load_stroke_order(self.charset))

    def feed(
        self, batches: OcrBatches, first: int, device: torch.device, workers: int
    ) -> Iterable[tuple[Tensor, Tensor]]:
        """The glyphs are bent and lit on the device; see loop.GpuFed."""
        return Conveyor(batches, first, device, workers)

    def draw_samples(self, target: Path) -> None:
        """A contact sheet of the last steps' crops, the hardest ones."""
        batches, steps = self.batches(), self.config.steps
        crops = torch.cat([batches[step][0] for step in range(max(0, steps - 2), steps)])
        draw_samples(crops[:, 0].numpy(), target)

    def loss(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        crops, labels = batch
        logits = net(crops)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
        return loss, {"accuracy": (logits.argmax(1) == labels).float().mean().item()}

    def validate(self, net: nn.Module) -> dict[str, float]:
        if self._sets is None:
            self._sets = self._validation_sets()
        device = next(net.parameters()).device
        figures = {}
        for name, (crops, labels) in self._sets.items():
            right = [
                net(to_device(c, device)).argmax(1).cpu() == y
                for c, y in zip(crops.split(256), labels.split(256), strict=True)
            ]
            figures[name] = torch.cat(right).float().mean().item()
        return figures

    def _validation_sets(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Held-out fonts: clean level-1 hanzi, all classes clean and degraded, hands, brushes; plates; and nothing."""
        rng = np.random.default_rng(0)
        level1 = of_classes(self.charset, "".join(level1_hanzi()))
        printed = [g for g in self.held_out if g.font.style in ("print", "kai")]
        images, labels = _draw(printed, rng, self.config.validation_samples)
        order = rng.permutation(len(images))[: len(images) // GROUP * GROUP]
        degraded, nothing = [], []
        for start in range(0, min(len(order), 64 * GROUP), GROUP):
            group = images[order[start : start + GROUP]]
            augment = Augment(start, 1.0)
            degraded += augment.photograph(group)
            nothing += [draw_nothing(rng, group) for _ in range(8)]
        several = [draw_several(rng, images[rng.choice(len(images), 4)]) for _ in range(256)]
        clean = images[level1[labels] > 0], labels[level1[labels] > 0]
        none = len(self.charset)
        sets = {
            "level1": clean,
            "clean": (images, labels),
            "degraded": (degraded, labels[order[: len(degraded)]]),
            **{
                style: _draw([g for g in self.held_out if g.font.style == style], rng, self.config.validation_samples)
                for style in ("hand", "brush")
            },
            "plates": (self.plates_held_out.pictures, self.plates_held_out.ids),
            "binarised": ([binarise(rng, p) for p in self.plates_held_out.pictures], self.plates_held_out.ids),
            "nothing": (nothing, np.full(len(nothing), none)),
            "several": (several, np.full(len(several), none)),
        }
        return {
            name: (self._crops(p), torch.from_numpy(np.asarray(ids))) for name, (p, ids) in sets.items() if len(ids)
        }

    def _crops(self, pictures: Sequence[npt.NDArray[np.uint8]]) -> Tensor:
        return torch.from_numpy(np.stack([normalize_crop(p, self.config.crop_px) for p in pictures])).unsqueeze(1)

    def graph(self, net: nn.Module) -> tuple[Graph, dict[str, Any]]:
        """Top-k and softmax in the graph; temperature and threshold fitted on the held-out fonts."""
        sets = self._validation_sets()
        with torch.inference_mode():
            logits = {name: torch.cat([net(c) for c in crops.split(256)]) for name, (crops, _) in sets.items()}
        fitted = ("clean", "degraded", "nothing")
        temperature = fit_temperature(torch.cat([logits[n] for n in fitted]), torch.cat([sets[n][1] for n in fitted]))
        confidence = (logits["clean"] / temperature).softmax(1)[:, :-1].amax(1)
        facts = {
            "crop_px": self.config.crop_px,
            "max_top_k": MAX_TOP_K,
            "max_side_px": MAX_SIDE_PX,
            "temperature": temperature,
            "looks_again_under": LOOKS_AGAIN_UNDER,
            "rejection_threshold": round(float(confidence.quantile(REJECTED_CLEAN)), 4),
        }
        side = self.config.crop_px
        generator = torch.Generator().manual_seed(0)
        examples = []
        for rows, kinds in ((2, 3), (1, 1), (7, 2)):
            crops = torch.randint(0, 256, (rows, 1, side, side), generator=generator, dtype=torch.uint8)
            penalties = (torch.rand(kinds, len(self.charset) + 1, generator=generator) < 0.5) * PENALTY
            examples.append((crops, penalties, torch.arange(rows) % kinds))
        batch, sets_dim = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("sets", min=1, max=4096)
        module = ServedOcr(net, temperature, MAX_TOP_K)
        inputs, outputs = ["crops", "penalties", "set_of"], ["ids", "probs", "nothing"]
        shapes = ({0: batch}, {0: sets_dim}, {0: batch})
        batches, steps = self.batches(), self.config.steps
        feeds = [self._feeds(batches[steps - step][0]) for step in range(1, CALIBRATION_BATCHES + 1)]

        def accuracy(session: Session) -> float:
            right = [
                session.run(self._feeds(c))["ids"][:, 0] == y.numpy()
                for name in ("clean", "degraded")
                for c, y in zip(*(part.split(256) for part in sets[name]), strict=True)
            ]
            return float(np.concatenate(right).mean())

        return Graph(module, examples, shapes, inputs, outputs, feeds, accuracy), facts

    def _feeds(self, crops: Tensor) -> dict[str, npt.NDArray[Any]]:
        """What the graph takes for crops that may show anything."""
        penalties = np.zeros((1, len(self.charset) + 1), np.float32)
        return {"crops": crops.numpy(), "penalties": penalties, "set_of": np.zeros(len(crops), np.int64)}

    def vocabulary(self) -> dict[str, bytes]:
        return {"charset.txt": "".join(f"{forms}\n" for forms in self.charset).encode()}

    def golden_requests(self) -> list[dict[str, Any]]:
        """See tianzi_training.ocr.golden."""
        return golden_requests(self.held_out, self.charset)

    def training_data(self) -> list[str]:
        return training_data(self.fonts)


def build_net(config: OcrConfig, num_classes: int) -> nn.Module:
    """The network that a configuration names."""
    if config.net == "ocr-seed":
        return OcrSeedNet(num_classes, config.crop_px)
    if config.net == "ocr":
        choices = {"block": BLOCKS, "head": ("linear", "cosine"), "activation": ACTIVATIONS}
        for key, known in choices.items():
            if (value := getattr(config, key)) not in known:
                raise ConfigError(f"{key}: {value!r}, must be one of {', '.join(known)}")
        return OcrNet(
            num_classes,
            config.crop_px,
            config.widths,
            config.blocks,
            config.embedding,
            config.activation,
            config.dropout,
            config.block,
            config.head,
        )
    raise ConfigError(f"net: {config.net!r}, must be ocr or ocr-seed")


def _draw(
    fonts: Sequence[Glyphs], rng: np.random.Generator, count: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """At most count glyphs of each font: images (N, S, S), ids (N,)."""
    images, ids = [np.zeros((0, GLYPH_PX, GLYPH_PX), np.uint8)], [np.zeros(0, np.int64)]
    for glyphs in fonts:
        chosen = np.sort(rng.choice(len(glyphs.ids), min(count, len(glyphs.ids)), replace=False))
        images.append(glyphs.images[chosen])
        ids.append(glyphs.ids[chosen])
    return np.concatenate(images), np.concatenate(ids)
