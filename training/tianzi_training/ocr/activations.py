"""Activations that a configuration can name, and the gated one, which needs twice the channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Damped(nn.Module):
    """x·min(1, eˣ) = max(x, x·e^(−|x|)): the identity for x ≥ 0, C¹ at 0, minimum −1/e at x = −1."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, x * torch.exp(-x.abs()))


class Gated(nn.Module):
    """GLU (arXiv:1612.08083): the first half of the channels times σ of the second half."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, 2·C, …) → (N, C, …)."""
        return F.glu(x, dim=1)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "swish": nn.SiLU,
    "gelu": nn.GELU,
    "damped": Damped,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "leaky-relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
}
