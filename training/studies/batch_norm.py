"""Why batch normalisation works: the loss's smoothness with and without its parts, stable rates, batch sizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studies.fitting import Recipe, as_tensors, fit_seeds, share_right
from studies.images import Data, Part, read_digits
from studies.norms import KINDS, make_net
from studies.report import Options, Table, mean_sd, save, subplots
from studies.smoothness import Line, largest_stable_rate, look_along, top_curvature

RATE, BATCH, EVERY = 0.1, 128, 5
REACH = tuple(RATE * factor for factor in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0))  # as in arXiv:1805.11604 §3.1
FULL = 1000  # pictures of the whole batch that rates are tried on
FINE, COARSE = 2.0 ** np.arange(-8, 6, 0.25), 2.0 ** np.arange(-7, 6, 0.5)  # rates that may descend
TITLES = {
    "none": "no norm",
    "mean": "mean subtracted",
    "sigma": "divided by σ",
    "batch": "both: batch norm",
    "layer": "layer norm",
    "weight": "weight norm",
}


@dataclass(frozen=True)
class Effort:
    """How much is done: steps of training, rounds of power iteration, steps that must descend; batch sizes, learning
    rates and epochs for the accuracy.
    """

    steps: int = 150
    rounds: int = 20
    descent: int = 15
    batches: tuple[int, ...] = (32, 128, 1024)
    rates: tuple[float, ...] = (0.01, 0.05, 0.25)
    epochs: int = 3


QUICK = Effort(steps=6, rounds=2, descent=1, batches=(64,), rates=(0.05,), epochs=1)


@dataclass(frozen=True)
class Landscape:
    """lines: along training. curvature: the Hessian's top eigenvalue at the start. first, stable: the largest rates
    whose first step, and whose first steps one and all, end no higher than they began.
    """

    lines: list[Line]
    curvature: float
    first: float
    stable: float


def run(options: Options) -> Table:
    """The study's command."""
    data = read_digits(options.digits)
    effort = QUICK if options.quick else Effort()
    if options.quick:
        data = Data(data.train.take(np.arange(128)), data.validation, data.test)
    pixels = data.train.images[0].size
    lands = {kind: [explore(kind, data.train, seed, effort) for seed in range(options.seeds)] for kind in KINDS}
    scores: dict[tuple[str, int], list[float]] = {}
    chosen: dict[tuple[str, int], float] = {}
    for kind in KINDS:
        for size in effort.batches:
            make: Callable[[], nn.Module] = partial(make_net, kind, pixels, 10)
            recipe = Recipe(effort.epochs, size, 0.0, "sgd")
            fitted, rate = fit_seeds(make, data, recipe, effort.rates, options.seeds)
            scores[kind, size] = [share_right(one.net, data.test) for one in fitted]
            chosen[kind, size] = rate
    draw(options, lands, scores)
    return tabulate(lands, scores, chosen, effort, (len(data.train), options.seeds))


def explore(kind: str, part: Part, seed: int, effort: Effort) -> Landscape:
    """Plain gradient descent at RATE, looking along the gradient as it goes; then the rates that descend."""
    x, y = as_tensors(part)
    pixels = part.images[0].size

    def begin() -> tuple[Callable[[], Tensor], list[Tensor]]:
        torch.manual_seed(seed)
        net = make_net(kind, pixels, 10)
        return lambda: F.cross_entropy(net(x[:FULL]), y[:FULL]), list(net.parameters())

    torch.manual_seed(seed)
    net = make_net(kind, pixels, 10)
    parameters, rng, lines = list(net.parameters()), torch.Generator().manual_seed(seed), []
    for step in range(effort.steps):
        chosen = torch.randint(len(y), (BATCH,), generator=rng)

        def loss(chosen: Tensor = chosen) -> Tensor:
            return F.cross_entropy(net(x[chosen]), y[chosen])

        if step % EVERY == 0:
            lines.append(look_along(loss, parameters, REACH))
        for p, g in zip(parameters, torch.autograd.grad(loss(), parameters), strict=True):
            p.data.sub_(RATE * g)
    return Landscape(
        lines,
        top_curvature(*begin(), effort.rounds),
        look_along(*begin(), FINE.tolist()).longest,
        largest_stable_rate(begin, effort.descent, COARSE.tolist()),
    )


def tabulate(
    lands: Mapping[str, Sequence[Landscape]],
    scores: Mapping[tuple[str, int], Sequence[float]],
    chosen: Mapping[tuple[str, int], float],
    effort: Effort,
    counts: tuple[int, int],
) -> Table:
    """A row a kind of norm. counts: pictures learnt from, seeds."""
    sizes = list(dict.fromkeys(size for _, size in scores))
    rows = []
    for kind, of in lands.items():
        bounds = np.array([[line.bound for line in land.lines] for land in of])
        cells = [TITLES[kind], mean_sd(np.median(bounds, axis=1).tolist(), 1), mean_sd(bounds.max(1).tolist(), 1, 1)]
        cells += [mean_sd([2 / land.curvature for land in of], 1, 3), mean_sd([land.first for land in of], 1, 3)]
        cells.append(mean_sd([land.stable for land in of], 1))
        cells += [f"{mean_sd(scores[kind, size])} at {chosen[kind, size]:g}" for size in sizes]
        rows.append(cells)
    heads = ["norm", "L along training, median", "greatest", "2/L at the start", "first step descends up to"]
    heads += [f"{effort.descent} steps descend up to", *(f"accuracy, batches of {size}" for size in sizes)]
    notes = [
        f"Mean ± sd of {counts[1]} seeds, {counts[0]} digits learnt from. L along training: of plain gradient descent "
        f"at {RATE} on batches of {BATCH}, the least that the bound holds with for steps at rates of {REACH[0]:g} to "
        f"{REACH[-1]:g}.",
        "2/L at the start: L is the Hessian's top eigenvalue. The rates that descend, in steps of 2^¼ and of √2, are "
        f"of whole-batch descent on {min(FULL, counts[0])} pictures.",
        f"Accuracy: test, in percent, after {effort.epochs} epochs of SGD with momentum, at the rate (of "
        f"{', '.join(f'{rate:g}' for rate in effort.rates)}) and the epoch that validation chose.",
    ]
    return Table(heads, rows, notes)


def draw(
    options: Options,
    lands: Mapping[str, Sequence[Landscape]],
    scores: Mapping[tuple[str, int], Sequence[float]],
) -> None:
    """Two rows of landscape bands, one a kind; below, L along training, rates against 2/L, and batch sizes."""
    figure, axes = subplots(3, 3, (13, 11))
    for number, (kind, of) in enumerate(lands.items()):
        band, lines = axes[number // 3, number % 3], of[0].lines
        steps = np.arange(len(lines)) * EVERY
        every = np.minimum([line.losses for line in lines], 1e3)
        band.fill_between(steps, every.min(1), every.max(1), alpha=0.35, color=f"C{number}", lw=0)
        band.plot(steps, [line.start for line in lines], color=f"C{number}")
        band.set(title=TITLES[kind], yscale="log", ylim=(0.03, 30), xlabel="step")
        bounds = np.median([[line.bound for line in land.lines] for land in of], axis=0)
        axes[2, 0].plot(steps, np.maximum(bounds, 1e-2), color=f"C{number}", label=TITLES[kind])
        limits, firsts, stables = np.array([(2 / land.curvature, land.first, land.stable) for land in of]).T
        axes[2, 1].loglog(limits, firsts, "o", color=f"C{number}", ms=4)
        axes[2, 1].loglog(limits, np.maximum(stables, 1e-3), "^", mfc="none", color=f"C{number}")
        sizes = [size for name, size in scores if name == kind]
        errors = [100 - 100 * float(np.mean(scores[kind, size])) for size in sizes]
        axes[2, 2].loglog(sizes, errors, color=f"C{number}", marker="o", label=TITLES[kind])
    for row in (0, 1):
        axes[row, 0].set_ylabel(f"loss {REACH[0]:g} to {REACH[-1]:g} down the gradient")
    axes[2, 0].set(yscale="log", xlabel="step", ylabel="L that the bound needs")
    axes[2, 0].legend(fontsize=7)
    ends = np.array(axes[2, 1].get_xlim())
    axes[2, 1].plot(ends, ends, color="0.6", lw=1)
    axes[2, 1].set(xlabel="2/L at the start", ylabel="largest rate: ● one step, △ many")
    axes[2, 2].set(xlabel="batch size", ylabel="test errors, %")
    for one in axes.flat:
        one.grid(alpha=0.3)
    save(figure, options.figure("batch-norm"))
