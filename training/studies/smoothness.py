"""How smooth a loss is where training goes: the L of f(θ+Δθ) ≤ f(θ) + ⟨∇f, Δθ⟩ + ½·L·‖Δθ‖²."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[], Tensor]


@dataclass(frozen=True)
class Line:
    """The loss along the negative gradient. losses: (R,) at the rates. bound: the least L that the bound holds with."""

    start: float
    slope: float  # ‖∇f‖²
    rates: Sequence[float]
    losses: list[float]

    @property
    def bound(self) -> float:
        """max over the rates η of 2·(f(θ−η∇f) − f + η‖∇f‖²) / (η²·‖∇f‖²); 0 at least."""
        if not self.slope:
            return 0.0
        needed = [
            2 * (loss - self.start + rate * self.slope) / (rate * rate * self.slope)
            for rate, loss in zip(self.rates, self.losses, strict=True)
        ]
        return max(0.0, *needed)

    @property
    def longest(self) -> float:
        """The greatest rate up to which none raises the loss; 0 for none. The rates ascend."""
        found = 0.0
        for rate, loss in zip(self.rates, self.losses, strict=True):
            if not loss <= self.start:
                break
            found = rate
        return found


def look_along(loss: Loss, parameters: Sequence[Tensor], rates: Sequence[float]) -> Line:
    """Measures the loss after steps of gradient descent of several sizes; the parameters are left as they were."""
    start = loss()
    gradients = torch.autograd.grad(start, parameters)
    before = [p.detach().clone() for p in parameters]
    losses = []
    with torch.no_grad():
        for rate in rates:
            for p, old, g in zip(parameters, before, gradients, strict=True):
                p.copy_(old - rate * g)
            losses.append(loss().item())
        for p, old in zip(parameters, before, strict=True):
            p.copy_(old)
    slope = sum(float((g.double() ** 2).sum()) for g in gradients)
    return Line(start.item(), slope, rates, losses)


def top_curvature(loss: Loss, parameters: Sequence[Tensor], rounds: int = 30) -> float:
    """The absolute value of the Hessian's largest eigenvalue by it, by power iteration: ‖H·v‖ of the last v.

    Not vᵀ·H·v, which comes near 0 where λ and −λ are both large.
    """
    generator = torch.Generator().manual_seed(0)
    vector = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters]
    gradients = torch.autograd.grad(loss(), parameters, create_graph=True)
    value = 0.0
    for _ in range(rounds):
        length = math.sqrt(sum(float((v**2).sum()) for v in vector))
        vector = [v / length for v in vector]
        along = sum((g * v).sum() for g, v in zip(gradients, vector, strict=True))
        assert isinstance(along, Tensor)
        product = torch.autograd.grad(along, parameters, retain_graph=True)
        value = math.sqrt(sum(float((p**2).sum()) for p in product))
        vector = [p.detach() for p in product]
    return value


def descends(loss: Loss, parameters: Sequence[Tensor], rate: float, steps: int) -> bool:
    """Whether gradient descent at a rate never takes the loss above where it began. The parameters are moved."""
    start = loss()
    value = start
    for _ in range(steps):
        gradients = torch.autograd.grad(value, parameters)
        with torch.no_grad():
            for p, g in zip(parameters, gradients, strict=True):
                p.sub_(rate * g)
        value = loss()
        # A rounding's worth above is where a rate of exactly 2/L ends.
        if not value.item() <= start.item() * (1 + 1e-6):
            return False
    return True


def largest_stable_rate(
    begin: Callable[[], tuple[Loss, Sequence[Tensor]]], steps: int, rates: Sequence[float]
) -> float:
    """The greatest of ascending rates up to which every one descends, each from the same beginning; 0 for none."""
    stable = 0.0
    for rate in rates:
        loss, parameters = begin()
        if not descends(loss, parameters, rate, steps):
            break
        stable = rate
    return stable
