"""Training of the studies' small networks: chosen by validation, tested once."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studies.images import Data, Part

Change = Callable[[Tensor, torch.Generator], Tensor]
"""What is done to the pictures of a batch (N, 1, H, W) before the network learns from them."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The rate falls to 0 along a half cosine."""

    epochs: int
    batch: int
    rate: float
    optimizer: str = "adam"  # adam, or sgd (with Nesterov's momentum of 0.9)
    decay: float = 0.0
    change: Change | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Fitted:
    """A network as it was best on validation. losses, scores: after each epoch, training loss and share right."""

    net: nn.Module
    losses: list[float]
    scores: list[float]

    @property
    def best(self) -> float:
        """Share right on validation."""
        return max(self.scores)


def fit(make: Callable[[], nn.Module], data: Data, recipe: Recipe, seed: int) -> Fitted:
    """Trains a new network, which takes uint8 pictures (N, 1, H, W). One that diverges ends there."""
    torch.manual_seed(seed)
    net, rng = make().to(recipe.device), torch.Generator().manual_seed(seed)
    x, y = (array.to(recipe.device) for array in as_tensors(data.train))
    optimizer = make_optimizer(net, recipe)
    steps = recipe.epochs * math.ceil(len(y) / recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    best, losses, scores = copy.deepcopy(net.state_dict()), [], [0.0]
    for _ in range(recipe.epochs):
        net.train()
        seen = []
        for chosen in torch.randperm(len(y), generator=rng).to(recipe.device).split(recipe.batch):
            pictures = x[chosen] if recipe.change is None else recipe.change(x[chosen], rng)
            loss = F.cross_entropy(net(pictures), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            seen.append(loss.item())
        losses.append(float(np.mean(seen)))
        if not math.isfinite(losses[-1]):
            break
        scores.append(share_right(net, data.validation))
        if scores[-1] > max(scores[:-1]):
            best = copy.deepcopy(net.state_dict())
    net.load_state_dict(best)
    return Fitted(net, losses, scores[1:] or [0.0])


def make_optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer."""
    if recipe.optimizer == "adam":
        return torch.optim.AdamW(net.parameters(), recipe.rate, weight_decay=recipe.decay, fused=True)
    return torch.optim.SGD(net.parameters(), recipe.rate, 0.9, weight_decay=recipe.decay, nesterov=True, fused=True)


def fit_seeds(
    make: Callable[[], nn.Module], data: Data, recipe: Recipe, rates: Sequence[float], seeds: int
) -> tuple[list[Fitted], float]:
    """A network a seed, at the rate that validates best with the first seed; and that rate."""
    tried = {rate: fit(make, data, replace(recipe, rate=rate), 0) for rate in rates}
    rate = max(tried, key=lambda rate: tried[rate].best)
    return [tried[rate], *(fit(make, data, replace(recipe, rate=rate), seed) for seed in range(1, seeds))], rate


def share_right(net: nn.Module, part: Part, batch: int = 500) -> float:
    """Share of a part's pictures that the network answers rightly."""
    device = next(net.parameters()).device
    x, y = (array.to(device) for array in as_tensors(part))
    net.eval()
    with torch.inference_mode():
        right = sum(int((net(a).argmax(1) == b).sum()) for a, b in zip(x.split(batch), y.split(batch), strict=True))
    return right / len(y)


def as_tensors(part: Part) -> tuple[Tensor, Tensor]:
    """Pictures (N, 1, H, W) uint8 and labels (N,)."""
    return torch.from_numpy(np.ascontiguousarray(part.images)).unsqueeze(1), torch.from_numpy(part.labels)
