"""Random numbers of one seed, and how hard a picture is to be made."""

import torch
from torch import Tensor


class Dice:
    """One generator, so that a seed fixes every picture. level: 0 to 1, scales how likely each change is."""

    def __init__(self, seed: int, level: float) -> None:
        self.generator, self.level = torch.Generator().manual_seed(seed), level

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of a shape."""
        return torch.rand(*shape, generator=self.generator) * (high - low) + low

    def chance(self, probability: float, n: int) -> Tensor:
        """(n, 1, 1, 1) float, 1 with the probability scaled by level."""
        return (torch.rand(n, 1, 1, 1, generator=self.generator) < probability * self.level).float()
