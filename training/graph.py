"""Graph: what a task hands to the exporter, with its confidence calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Graph:
    """What to export: a module and inputs of several shapes; the first are the example, all check parity."""

    module: nn.Module
    examples: Sequence[tuple[Tensor, ...]]
    dynamic_shapes: tuple[dict[int, Any], ...]
    input_names: Sequence[str]
    output_names: Sequence[str]


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy (arXiv:1706.04599 §4.2), to a hundredth."""
    grid = torch.arange(0.5, 3.0, 0.01)
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in grid])
    return round(float(grid[losses.argmin()]), 2)
