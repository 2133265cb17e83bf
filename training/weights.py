"""Weights out of a bundle's graph, so that training can go on where the checkpoint is gone."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

# What the exporter put in front of the trained network's own names, and behind those stored as fp16.
PREFIX, SUFFIX = "net.", ".fp16"
_BLOCK = re.compile(r"features\.(\d+)\.(.+)")  # of an OcrNet


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Parameter or buffer name → tensor, for training.loop.load_matching.

    Raises:
        OSError: no such file.
    """
    weights = {}
    for tensor in onnx.load(graph).graph.initializer:
        name = tensor.name.removesuffix(SUFFIX)
        if name.startswith(PREFIX):
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            weights[name.removeprefix(PREFIX)] = torch.from_numpy(values.copy())
    return weights


def deepened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an OcrNet for one whose stages have more blocks, which so starts out as the same function.

    A block that the weights lack adds its input to nothing: its norm's scale is 0 (Net2Net, arXiv:1511.05641, and the
    zero of arXiv:1706.02677). own: the network's state. Weights of any other network are given back as they are.
    """
    theirs, ours = _places(weights), _places(own)
    moved = {theirs[place]: ours[place] for place in theirs.keys() & ours.keys()}
    renamed = {}
    for name, tensor in weights.items():
        block = _BLOCK.match(name)
        if block is None or block[1] not in theirs.values():
            renamed[name] = tensor
        elif block[1] in moved:
            renamed[f"features.{moved[block[1]]}.{block[2]}"] = tensor
    for place in ours.keys() - theirs.keys() if theirs else ():
        name = f"features.{ours[place]}.norm.weight"
        renamed[name] = torch.zeros_like(own[name])
    return renamed


def _places(weights: Mapping[str, Tensor]) -> dict[tuple[int, int], str]:
    """(stage, number within it) → the block's number. A stage begins where the channels change."""
    places: dict[tuple[int, int], str] = {}
    stage = within = -1
    number = 0
    while (kernel := weights.get(f"features.{number}.conv.weight")) is not None:
        same = kernel.shape[0] == kernel.shape[1]
        stage, within = (stage, within + 1) if same else (stage + 1, 0)
        places[stage, within] = str(number)
        number += 1
    return places
