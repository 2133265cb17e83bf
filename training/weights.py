"""Weights out of a bundle's graph, so that training can go on where the checkpoint is gone."""

from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor

# What the exporter put in front of the trained network's own names, and behind those stored as fp16.
PREFIX, SUFFIX = "net.", ".fp16"


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
