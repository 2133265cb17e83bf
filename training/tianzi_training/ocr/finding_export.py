"""Finder and reader as graphs for serving: temperature and thresholds fitted on fonts never trained on."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tianzi_models.ocr.allowed import PENALTY
from tianzi_models.ocr.cropping import PLACES
from tianzi_models.ocr.finding import FINDER_PX
from tianzi_models.runtime import Session
from tianzi_training.export.graph import Graph, fit_temperature
from tianzi_training.ocr.finder_net import ServedFinder
from tianzi_training.ocr.reader_net import REJECTS, FindingReader, ServedReader

MAX_TOP_K = 20
MAX_SIDE_PX = 4096
REJECTED_CLEAN = 0.002
"""Share of clean characters of unseen fonts that the confidence threshold may reject."""
RIVAL_SCORE, RIVAL_SHARE = 0.45, 0.55
"""A second box as sure as the first and as large as the second share of the main one: the picture shows several."""

Arrays = dict[str, npt.NDArray[Any]]


def reader_feeds(crops: Tensor, places: Tensor, classes: int) -> Arrays:
    """What the reader's graph takes for crops that may show anything."""
    penalties = np.zeros((1, classes + len(REJECTS)), np.float32)
    return {
        "crops": crops.numpy(),
        "places": places.numpy(),
        "penalties": penalties,
        "set_of": np.zeros(len(crops), np.int64),
    }


def fitted_facts(logits: Tensor, labels: Tensor, clean: Tensor, crop_px: int) -> dict[str, Any]:
    """The bundle's facts. logits, labels: of scenes; clean: logits of clean characters."""
    temperature = fit_temperature(logits, labels)
    confidence = (clean / temperature).softmax(1)[:, : -len(REJECTS)].amax(1)
    return {
        "crop_px": crop_px,
        "max_top_k": MAX_TOP_K,
        "max_side_px": MAX_SIDE_PX,
        "temperature": temperature,
        "rejection_threshold": round(float(confidence.quantile(REJECTED_CLEAN)), 4),
        "rival_score": RIVAL_SCORE,
        "rival_share": RIVAL_SHARE,
    }


def reader_graph(
    net: FindingReader, temperature: float, crop_px: int, classes: int, calibration: list[Arrays], held_out: list[Any]
) -> Graph:
    """Top-k and softmax in the graph. held_out: (crops, places, labels) by which graphs of fewer bits are judged."""
    generator = torch.Generator().manual_seed(0)
    examples = []
    for count, kinds in ((2, 3), (1, 1), (7, 2)):
        crops = torch.randint(0, 256, (count, 1, crop_px, crop_px), generator=generator, dtype=torch.uint8)
        places = torch.randn(count, PLACES, generator=generator)
        penalties = (torch.rand(kinds, classes + len(REJECTS), generator=generator) < 0.5) * PENALTY
        examples.append((crops, places, penalties, torch.arange(count) % kinds))
    batch, sets = torch.export.Dim("batch", min=1, max=4096), torch.export.Dim("sets", min=1, max=4096)

    def accuracy(session: Session) -> float:
        right = [
            session.run(reader_feeds(crops, places, classes))["ids"][:, 0] == labels.numpy()
            for crops, places, labels in held_out
        ]
        return float(np.concatenate(right).mean())

    return Graph(
        ServedReader(net.reader, temperature, MAX_TOP_K),
        examples,
        ({0: batch}, {0: batch}, {0: sets}, {0: batch}),
        ["crops", "places", "penalties", "set_of"],
        ["ids", "probs", "rejects"],
        calibration,
        accuracy,
    )


def finder_graph(net: FindingReader) -> Graph:
    """Thumbnails → cells; see tianzi_models.ocr.finding.Finder."""
    generator = torch.Generator().manual_seed(0)
    examples = [
        (torch.randint(0, 256, (count, 1, FINDER_PX, FINDER_PX), generator=generator, dtype=torch.uint8),)
        for count in (2, 1)
    ]
    batch = torch.export.Dim("batch", min=1, max=4096)
    return Graph(ServedFinder(net.finder), examples, ({0: batch},), ["thumbnails"], ["cells"])
