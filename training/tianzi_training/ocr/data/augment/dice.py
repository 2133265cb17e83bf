"""Random numbers of one seed, and how hard a picture is to be made."""

import torch
from torch import Tensor


class Dice:
    """Generators of one seed, so that it fixes every picture. level: 0 to 1, scales how likely each change is.

    What is drawn for the code to decide by comes from a generator of the CPU: to ask a GPU would wait for it.
    """

    def __init__(self, seed: int, level: float, device: torch.device | str = "cpu") -> None:
        """device: where the pictures are."""
        self.level, self.device = level, torch.device(device)
        self.host = torch.Generator().manual_seed(seed)
        self.generator = torch.Generator(self.device).manual_seed(seed + 1)

    def number(self, low: float, high: float) -> float:
        """One uniform number."""
        return low + (high - low) * torch.rand(1, generator=self.host).item()

    def whole(self, low: int, high: int) -> int:
        """One of low to high - 1."""
        return int(torch.randint(low, high, (1,), generator=self.host))

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of a shape."""
        return torch.rand(*shape, generator=self.generator, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Numbers of a shape, of mean 0 and variance 1."""
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def chance(self, probability: float, n: int) -> Tensor:
        """(n, 1, 1, 1) float, 1 with the probability scaled by level."""
        return (self.uniform(0, 1, n, 1, 1, 1) < probability * self.level).float()

    def chosen(self, probability: float, n: int) -> Tensor:
        """(k,) int64: which of n pictures are changed, each with the probability scaled by level."""
        hit = torch.rand(n, generator=self.host) < probability * self.level
        return hit.nonzero().view(-1).to(self.device)

    def order(self, n: int) -> Tensor:
        """(n,) int64: a permutation."""
        return torch.randperm(n, generator=self.host).to(self.device)

    def line(self, low: float, high: float, count: int) -> Tensor:
        """(count,) numbers from low to high at equal distances."""
        return torch.linspace(low, high, count, device=self.device)
