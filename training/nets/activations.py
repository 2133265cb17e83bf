"""Activations that a configuration can name."""

import torch
from torch import Tensor, nn


class Damped(nn.Module):
    """x·min(1, eˣ) = max(x, x·e^(−|x|)): the identity for x ≥ 0, C¹ at 0, minimum −1/e at x = −1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, x * torch.exp(-x.abs()))


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "swish": nn.SiLU, "gelu": nn.GELU, "damped": Damped}
