"""Graph: what a task hands to the exporter, with its confidence calibrated."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_models.runtime import Session


@dataclass(frozen=True)
class Graph:
    """What to export: a module and inputs of several shapes; the first are the example, all check parity.

    accuracy: share of validation samples that a session answers rightly. Where it is given, graphs of fewer bits are
    made, int8 calibrated with inputs such as calibration's (of matrices alone without any), and kept if they lose no
    more than tolerance.
    """

    module: nn.Module
    examples: Sequence[tuple[Tensor, ...]]
    dynamic_shapes: tuple[dict[int, Any], ...]
    input_names: Sequence[str]
    output_names: Sequence[str]
    calibration: Sequence[Mapping[str, npt.NDArray[Any]]] = ()
    accuracy: Callable[[Session], float] | None = None
    tolerance: float = 0.001


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature with the least cross-entropy (arXiv:1706.04599 §4.2), to a hundredth.

    The loss has one minimum over the inverse temperature: a search by thirds finds it.
    """
    low, high = 0.3, 4.0
    while high - low > 0.005:
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if F.cross_entropy(logits / left, labels) < F.cross_entropy(logits / right, labels):
            high = right
        else:
            low = left
    return round((low + high) / 2, 2)


def fit_with_feature(logits: Tensor, feature: Tensor, labels: Tensor) -> tuple[float, float]:
    """Temperature and weight with the least cross-entropy of (logits + weight · feature) / temperature.

    logits, feature: (N, K). Convex in 1 / temperature and weight / temperature. To a hundredth.
    """
    scales = torch.tensor([1.0, 0.0], requires_grad=True)
    optimizer = torch.optim.LBFGS([scales], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(scales[0] * logits + scales[1] * feature, labels)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    sharpness, weight = scales.tolist()
    return round(1 / sharpness, 2), round(weight / sharpness, 2)
