"""AdaBoost on stumps from its formulas, and the same vote as a network of two layers.

The labels are ±1. A round weighs the errors e = Σ D·1[G ≠ y] of the best stump G, gives it the vote
α = ½·ln((1−e)/e), and multiplies the weights D by exp(−α·y·G), then by what makes their sum 1.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stump:
    """sign where the feature is above the threshold, else −sign."""

    feature: int
    threshold: float
    sign: int

    def __call__(self, x: Floats) -> Floats:
        """x: (N, D) → (N,) ±1."""
        return np.where(x[:, self.feature] > self.threshold, self.sign, -self.sign).astype(np.float64)


@dataclass(frozen=True)
class Vote:
    """An ensemble. errors: of each stump, weighed as it was chosen."""

    stumps: list[Stump]
    alphas: Floats
    errors: Floats

    def first(self, rounds: int) -> "Vote":
        """What it was after so many rounds."""
        return Vote(self.stumps[:rounds], self.alphas[:rounds], self.errors[:rounds])

    def scores(self, x: Floats) -> Floats:
        """(N, M): the sum of the votes after each round; its sign is the answer, 0 counts as −1."""
        return np.cumsum(np.stack([stump(x) for stump in self.stumps], 1) * self.alphas, axis=1)

    def bound(self) -> Floats:
        """(M,): Π 2·√(e(1−e)), which the training error stays below after each round."""
        return np.cumprod(2 * np.sqrt(self.errors * (1 - self.errors)))

    def loose_bound(self) -> Floats:
        """(M,): exp(−2·M·ε²), where every stump is at least ½ + ε right."""
        edges = np.minimum.accumulate(0.5 - self.errors)
        return np.exp(-2 * np.arange(1, len(edges) + 1) * edges**2)


class StumpSearch:
    """Finds the stump with the least weighted error among all; sorts the features once."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.order = np.argsort(x, axis=0, kind="stable")  # (N, D)
        self.values = np.take_along_axis(x, self.order, axis=0)
        self.y = y
        # Between equal values there is no threshold.
        self.apart = np.vstack([np.ones((1, x.shape[1]), bool), self.values[1:] > self.values[:-1]])

    def best(self, weights: Floats) -> tuple[Stump, float]:
        """weights: (N,) of sum 1 → the stump and its error."""
        # The threshold goes up from below the least value: each value passed is then answered −1.
        signed = (weights * self.y)[self.order]
        passed = np.cumsum(signed, axis=0) - signed
        error = weights[self.y < 0].sum() + passed
        either = np.where(self.apart, np.minimum(error, 1 - error), np.inf)
        place, feature = np.unravel_index(int(either.argmin()), either.shape)
        values = self.values[:, feature]
        threshold = (values[place - 1] + values[place]) / 2 if place else values[0] - 1
        sign = 1 if error[place, feature] <= 0.5 else -1
        return Stump(int(feature), float(threshold), sign), float(either[place, feature])


def boost(x: Floats, y: Floats, rounds: int) -> Vote:
    """At most so many rounds; fewer where none is better than a coin, or one is perfect (its vote would be infinite:
    it gets 1 where it is the first, and is left out later).
    """
    search, weights = StumpSearch(x, y), np.full(len(y), 1 / len(y))
    stumps, alphas, errors = [], [], []
    for _ in range(rounds):
        stump, error = search.best(weights)
        perfect = error <= 1e-15
        if error >= 0.5 or (perfect and stumps):
            break
        alpha = 1.0 if perfect else 0.5 * math.log((1 - error) / error)
        weights = weights * np.exp(-alpha * y * stump(x))
        weights /= weights.sum()
        stumps.append(stump)
        alphas.append(alpha)
        errors.append(max(0.0, error))
        if perfect:
            break
    return Vote(stumps, np.array(alphas), np.array(errors))


class StumpNet(nn.Module):
    """The vote as a network: a hidden unit a stump, which looks at one input; α, with the stump's sign, goes out.

    softness 0: hidden units are steps, and the output is AdaBoost's score. Greater: tanh(input/softness), which a
    gradient passes through.
    """

    def __init__(self, hidden: nn.Linear, out: nn.Linear, softness: float) -> None:
        super().__init__()
        self.hidden, self.out, self.softness = hidden, out, softness

    def forward(self, x: Tensor) -> Tensor:
        """(N, D) → (N,) scores; positive is +1."""
        z = self.hidden(x)
        units = torch.tanh(z / self.softness) if self.softness else torch.where(z > 0, 1.0, -1.0).to(z.dtype)
        return self.out(units).squeeze(-1)


def as_network(vote: Vote, inputs: int, softness: float = 0.0) -> StumpNet:
    """The network that votes as AdaBoost does, in double precision."""
    m = len(vote.stumps)
    hidden, out = nn.Linear(inputs, m, dtype=torch.float64), nn.Linear(m, 1, bias=False, dtype=torch.float64)
    with torch.no_grad():
        hidden.weight.zero_()
        for row, stump in enumerate(vote.stumps):
            hidden.weight[row, stump.feature] = 1.0
            hidden.bias[row] = -stump.threshold
        signs = np.array([stump.sign for stump in vote.stumps])
        out.weight.copy_(torch.from_numpy(vote.alphas * signs)[None])
    return StumpNet(hidden, out, softness)
