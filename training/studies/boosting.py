"""Boosting read as a network: AdaBoost against its bound, and the network of its vote trained further."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studies.adaboost import Floats, StumpNet, Vote, as_network, boost
from studies.images import Data, Labels, Part, read_digits, render_characters
from studies.report import Options, Table, mean_sd, save, show_interval, subplots

Bools: TypeAlias = npt.NDArray[np.bool_]

ROUNDS, SIZES = (10, 100), (100, 1000)  # stumps; pictures to learn from
STEPS, CHECKED = 150, 10
RATES = (3e-3, 3e-2)
STARTS = {"α alone": (0.0,), "all": (0.02, 0.1), "fresh": (1.0,)}  # how soft the hidden units' steps are
TRAINED = {"α alone": "output layer", "all": "both layers", "fresh": "both layers, from random weights"}


@dataclass(frozen=True)
class Halves:
    """A question of two answers: x (N, D) in [0, 1], y (N,) ±1."""

    x: Floats
    y: Floats

    def some(self, rng: np.random.Generator, count: int) -> "Halves":
        """A random part."""
        chosen = rng.permutation(len(self.y))[:count]
        return Halves(self.x[chosen], self.y[chosen])


def run(options: Options) -> Table:
    """The study's command."""
    tasks = make_tasks(options)
    sizes, rounds = ((60,), (5,)) if options.quick else (SIZES, ROUNDS)
    rows, gains = [], {}
    for name, (train, validation, test) in tasks.items():
        for size in sizes:
            for count in rounds:
                runs = [
                    compare(train, validation, test, size, count, seed, 20 if options.quick else STEPS)
                    for seed in range(options.seeds)
                ]
                base = [one["AdaBoost"] for one in runs]
                cells = [name, str(size), str(count), mean_sd(base)]
                for kind in TRAINED:
                    better = [b - one[kind] for b, one in zip(base, runs, strict=True)]
                    gains[name, size, count, kind] = better
                    cells.append(f"{mean_sd([one[kind] for one in runs])}<br>{show_interval(better)}")
                rows.append(cells)
    largest = {
        name: (boost(t.x[: max(sizes)], t.y[: max(sizes)], 3 * max(rounds)), t, v) for name, (t, _, v) in tasks.items()
    }
    draw(options, largest, gains, max(sizes))
    sizes_of = "; ".join(f"{name} {len(v.y)} and {len(t.y)}" for name, (_, v, t) in tasks.items())
    return Table(
        ["question", "pictures", "stumps at most", "AdaBoost", *TRAINED.values()],
        rows,
        [
            f"Test errors in percent, mean ± sd of {options.seeds} seeds (pictures learnt from, first weights).",
            "Below: points fewer than AdaBoost's, paired by seed, with 95 % intervals.",
            f"Pictures that validated and tested: {sizes_of}.",
        ],
    )


def make_tasks(options: Options) -> dict[str, tuple[Halves, Halves, Halves]]:
    """Question → what is learnt from, chosen by, tested."""
    digits = read_digits(options.digits)
    counts = (200, 100, 100) if options.quick else (2000, 600, 2000)
    chars = "CG" if options.quick else "未末"
    rendered = render_characters(chars, counts, 28, level=0.3)
    return {
        "digits: 4 or 9": _ask(digits, lambda part: np.isin(part.labels, (4, 9)), lambda labels: labels == 9),
        "digits: even or odd": _ask(digits, lambda part: part.labels >= 0, lambda labels: labels % 2 == 1),
        f"characters: {chars[0]} or {chars[1]}": _ask(
            rendered, lambda part: part.labels >= 0, lambda labels: labels == 1
        ),
    }


def _ask(
    data: Data, chosen: Callable[[Part], Bools], positive: Callable[[Labels], Bools]
) -> tuple[Halves, Halves, Halves]:
    """chosen: pictures that the question is asked of. positive: labels whose answer is +1."""

    def halves(part: Part) -> Halves:
        kept = chosen(part)
        images = part.images[kept].astype(np.float64) / 255
        n, h, w = images.shape
        pooled = images.reshape(n, h // 2, 2, w // 2, 2).mean((2, 4))
        return Halves(pooled.reshape(n, -1), np.where(positive(part.labels[kept]), 1.0, -1.0))

    return halves(data.train), halves(data.validation), halves(data.test)


def compare(
    train: Halves, validation: Halves, test: Halves, size: int, rounds: int, seed: int, steps: int
) -> dict[str, float]:
    """Test error of AdaBoost's vote and of what training makes of its network; each touches the test once."""
    part = train.some(np.random.default_rng(seed), size)
    vote = boost(part.x, part.y, rounds)
    # What validates for the networks chooses how many stumps there are, too.
    vote = vote.first(1 + int(_staged(vote, validation).argmin()))
    rng = torch.Generator().manual_seed(seed)
    errors = {"AdaBoost": float((np.where(vote.scores(test.x)[:, -1] > 0, 1, -1) != test.y).mean())}
    for kind in TRAINED:
        starts = [as_network(vote, part.x.shape[1], softness) for softness in STARTS[kind]]
        if kind == "fresh":
            randomise(starts[0], rng)
        elif kind == "α alone":
            starts[0].hidden.requires_grad_(False)
        tried = [fine_tune(net, part, validation, rate, steps) for net in starts for rate in RATES]
        best = min(tried, key=lambda pair: pair[1])[0]
        errors[kind] = error_rate(best, test)
    return errors


def randomise(net: StumpNet, rng: torch.Generator) -> None:
    """Weights that know nothing of stumps: the same network without boosting."""
    with torch.no_grad():
        for layer in (net.hidden, net.out):
            nn.init.xavier_normal_(layer.weight, generator=rng)
        net.hidden.bias.zero_()


def fine_tune(
    net: StumpNet, train: Halves, validation: Halves, rate: float, steps: int
) -> tuple[StumpNet, tuple[float, float]]:
    """Adam on the logistic loss of 2·score, the likelihood that AdaBoost's loss stands for (Friedman et al. 2000).

    Gives the state that was best on validation, the untrained one among them, with its (error, loss) there.
    """
    net = copy.deepcopy(net).float()
    x, y = (torch.from_numpy(array).float() for array in (train.x, train.y))
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], rate)
    best, best_score = copy.deepcopy(net), judge(net, validation)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        logistic(net(x), y).backward()
        optimizer.step()
        if step % CHECKED == 0 and (score := judge(net, validation)) < best_score:
            best, best_score = copy.deepcopy(net), score
    return best, best_score


def logistic(scores: Tensor, y: Tensor) -> Tensor:
    """Mean of log(1 + exp(−2·y·score))."""
    return F.softplus(-2 * y * scores).mean()


def judge(net: StumpNet, part: Halves) -> tuple[float, float]:
    """Error and loss."""
    with torch.inference_mode():
        loss = float(logistic(net(torch.from_numpy(part.x).float()), torch.from_numpy(part.y).float()))
    return error_rate(net, part), loss


def error_rate(net: StumpNet, part: Halves) -> float:
    """Share of wrong answers."""
    with torch.inference_mode():
        scores = net(torch.from_numpy(part.x).float()).numpy()
    return float((np.where(scores > 0, 1, -1) != part.y).mean())


def draw(
    options: Options,
    votes: dict[str, tuple[Vote, Halves, Halves]],
    gains: dict[tuple[str, int, int, str], list[float]],
    size: int,
) -> None:
    """Above, the training error under its bounds and the test error; below, what training the network gave."""
    figure, axes = subplots(2, len(votes), (4.2 * len(votes), 7))
    names = {"characters: 未 or 末": "characters: wei or mo"}  # matplotlib's own font has no hanzi
    for column, (name, (vote, train, test)) in enumerate(votes.items()):
        top, rounds = axes[0, column], np.arange(1, len(vote.stumps) + 1)
        learnt = Halves(train.x[:size], train.y[:size])
        lines = {
            "bound $\\prod 2\\sqrt{e(1-e)}$": (vote.bound(), "C3"),
            "bound $\\exp(-2M\\varepsilon^2)$": (vote.loose_bound(), "C1"),
            "training error": (_staged(vote, learnt), "C0"),
            "test error": (_staged(vote, test), "C2"),
        }
        for label, (values, colour) in lines.items():
            top.plot(rounds, np.maximum(values, 3e-4), label=label, color=colour)
        top.set(xscale="log", yscale="log", ylim=(3e-4, 1.5), xlabel="stumps M", title=names.get(name, name))
        top.grid(alpha=0.3)
        bottom = axes[1, column]
        cells = sorted({(n, m) for task, n, m, _ in gains if task == name})
        for offset, kind in enumerate(TRAINED):
            values = [np.array(gains[name, n, m, kind]) * 100 for n, m in cells]
            places = np.arange(len(cells)) + (offset - 1) * 0.25
            bottom.bar(places, [v.mean() for v in values], 0.22, label=TRAINED[kind])
            bottom.plot(np.repeat(places, [len(v) for v in values]), np.concatenate(values), "k.", ms=3)
        bottom.axhline(0, color="k", lw=0.8)
        bottom.set_xticks(range(len(cells)), [f"{n} pictures\n{m} stumps" for n, m in cells], fontsize=8)
        bottom.grid(alpha=0.3, axis="y")
    axes[0, 0].set_ylabel(f"share wrong, {size} pictures learnt from")
    axes[0, 0].legend(fontsize=8)
    axes[1, 0].set_ylabel("points fewer test errors than AdaBoost")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, title="trained")
    save(figure, options.figure("boosting"))


def _staged(vote: Vote, part: Halves) -> Floats:
    """(M,): share wrong after each round."""
    return (np.where(vote.scores(part.x) > 0, 1, -1) != part.y[:, None]).mean(0)
