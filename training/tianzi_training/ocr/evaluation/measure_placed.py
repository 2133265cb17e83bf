"""Measures a bundle, or a checkpoint of finder and reader, on the placed sets:

`python -m tianzi_training.ocr.evaluation.measure_placed models/bundles/ocr/9 --checkpoint CONFIG.toml --per-kind 60`
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from tianzi_models import bundle as bundles
from tianzi_models.ocr.finding import is_rival
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import GrayArray, OcrRequest
from tianzi_models.runtime import Session
from tianzi_training.config import OcrConfig, load_config
from tianzi_training.loop import CHECKPOINT, load_checkpoint, run_folder
from tianzi_training.ocr.data.charset import build_charset, look_alikes
from tianzi_training.ocr.evaluation.placed_sets import placed_sets
from tianzi_training.ocr.evaluation.test_sets import EvalSet
from tianzi_training.ocr.finding_export import RIVAL_SCORE, RIVAL_SHARE
from tianzi_training.ocr.finding_task import read_pictures
from tianzi_training.ocr.reader_net import REJECTS, FindingReader, ReaderNet

SURE = 0.9
MIN_CONFIDENCE = 0.4737
"""The rejection threshold of ocr 9, for checkpoints, whose own is fitted when they are exported."""

Answer = tuple[str, float, bool]
"""The best character, its confidence, and whether the picture is rejected."""
Reader = Callable[[Sequence[GrayArray]], list[Answer]]


def bundle_reader(folder: Path) -> Reader:
    """A served bundle on this machine's CPU."""
    bundle = bundles.load(folder, OcrModel.contract)
    model = OcrModel(bundle, Session(bundle.int8_graph or bundle.graph, "cpu", 1))

    def read(pictures: Sequence[GrayArray]) -> list[Answer]:
        answers = model.answer_all(map(OcrRequest, pictures), 32)
        return [(a.candidates[0].text, a.candidates[0].confidence, a.rejected) for a in answers]

    return read


def checkpoint_reader(config: OcrConfig, charset: Sequence[str], weights: Path | None) -> tuple[Reader, int]:
    """A run's last checkpoint in torch, and its steps."""
    net = FindingReader(ReaderNet(len(charset), config.crop_px, config.widths, config.blocks, config.embedding))
    step, _ = load_checkpoint(weights or run_folder(config) / CHECKPOINT, net, None, torch.device("cpu"))
    net.eval()

    def read(pictures: Sequence[GrayArray]) -> list[Answer]:
        logits, boxes = read_pictures(net, pictures, config.crop_px)
        probs = logits.softmax(1)
        best, ids = probs[:, : -len(REJECTS)].max(1)
        reject = probs[:, -len(REJECTS) :].amax(1)
        rivals = [any(is_rival(b, main, RIVAL_SCORE, RIVAL_SHARE) for b in others) for main, *others in boxes]
        return [
            (charset[int(i)][0], float(p), bool(r > p or p < MIN_CONFIDENCE or rival))
            for i, p, r, rival in zip(ids, best, reject, rivals, strict=True)
        ]

    return read, step


def figures(one: EvalSet, answers: Sequence[Answer]) -> dict[str, float]:
    """Of characters: right, right but for look-alikes, answered and right. Of others: rejected, answered with SURE."""
    total = len(one)
    if not one.truth[0]:
        rejected = sum(a[2] for a in answers)
        sure = sum(not rejected and confidence > SURE for _, confidence, rejected in answers)
        return {"rejected": rejected / total, "sure": sure / total}
    pairs = list(zip(one.truth, answers, strict=True))
    return {
        "right": sum(a[0] in forms for forms, a in pairs) / total,
        "forgiven": sum(a[0] in look_alikes(forms) for forms, a in pairs) / total,
        "answered right": sum(a[0] in forms and not a[2] for forms, a in pairs) / total,
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tianzi_training.ocr.evaluation.measure_placed", description=__doc__
    )
    parser.add_argument("bundles", type=Path, nargs="*", help="bundles of contract 2")
    parser.add_argument("--checkpoint", type=Path, help="an experiment whose last checkpoint is measured")
    parser.add_argument("--weights", type=Path, help="another checkpoint of that experiment")
    parser.add_argument("--per-kind", type=int, default=60)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    charset = build_charset()
    readers: dict[str, Reader] = {str(folder): bundle_reader(folder) for folder in options.bundles}
    if options.checkpoint:
        read, step = checkpoint_reader(load_config(OcrConfig, options.checkpoint), charset, options.weights)
        readers[f"{options.checkpoint.stem} after {step} steps"] = read
    for name, one in placed_sets(charset, options.per_kind).items():
        for reader, read in readers.items():
            with np.errstate(all="ignore"):
                scored = figures(one, read(one.pictures))
            line = {"set": name, "n": len(one), "by": reader} | {k: round(v, 3) for k, v in scored.items()}
            print(json.dumps(line, ensure_ascii=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
