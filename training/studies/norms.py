"""Batch normalisation in parts, beside its relatives: what is done to a dense layer's output before its activation."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

KINDS = ("none", "mean", "sigma", "batch", "layer", "weight")
MOMENTUM, EPSILON = 0.1, 1e-5


class Norm(nn.Module):
    """mean: the batch's mean is subtracted; sigma: divided by its standard deviation; batch: both; layer: both of each
    picture's own units; none and weight: nothing. Then a bias a unit is added; there is no factor.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, kind: str, units: int) -> None:
        super().__init__()
        self.kind = kind
        self.bias = nn.Parameter(torch.zeros(units))
        self.register_buffer("running_mean", torch.zeros(units))
        self.register_buffer("running_var", torch.ones(units))

    def forward(self, x: Tensor) -> Tensor:
        """(N, units)."""
        if self.kind in ("none", "weight"):
            return x + self.bias
        if self.kind == "layer":
            return F.layer_norm(x, x.shape[-1:], eps=EPSILON) + self.bias
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(0), x.var(0, correction=0)
            with torch.no_grad():
                self.running_mean.lerp_(mean, MOMENTUM)
                self.running_var.lerp_(var, MOMENTUM)
        if self.kind in ("mean", "batch"):
            x = x - mean
        if self.kind in ("sigma", "batch"):
            x = x * (var + EPSILON).rsqrt()
        return x + self.bias


def make_net(kind: str, pixels: int, classes: int, units: int = 64, depth: int = 4) -> nn.Module:
    """A ReLU network on pictures (N, 1, H, W) uint8, all kinds from the same weights of mean 0 and variance 2/n."""
    layers: list[nn.Module] = [Scale()]
    for inputs in [pixels] + [units] * (depth - 1):
        dense = nn.Linear(inputs, units, bias=False)
        nn.init.normal_(dense.weight, std=(2 / inputs) ** 0.5)
        layers += [weight_norm(dense) if kind == "weight" else dense, Norm(kind, units), nn.ReLU()]
    out = nn.Linear(units, classes)
    nn.init.normal_(out.weight, std=units**-0.5)
    return nn.Sequential(*layers, out)


class Scale(nn.Module):
    """Pictures → (N, H·W), 0 to 1: their mean is left to the norms."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float() / 255
