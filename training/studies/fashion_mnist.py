"""The fashion-mnist baseline: MobileNet at twofold size and a wide ResNet, and what changing the pictures gives.

Small, for one core: narrow networks on MNIST's digits. Full, for a GPU: the networks as published on Fashion-MNIST.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from studies.convnets import MobileNet, WideResNet, cutout, flip, shift
from studies.fitting import Change, Fitted, Recipe, fit, share_right
from studies.images import FASHION, Data, read_digits, read_split
from studies.report import Options, Table, mean_sd, save, show_interval, subplots
from tianzi_training.loop import pick_device


@dataclass(frozen=True)
class Setting:
    """A row. against: the row that differs in one change."""

    net: str
    changes: tuple[str, ...]
    against: int | None = None


SETTINGS = (
    Setting("MobileNet", ()),
    Setting("MobileNet", ("flip",), 0),
    Setting("wide ResNet", ("shift",)),
    Setting("wide ResNet", ("shift", "cutout"), 2),
    Setting("wide ResNet", ("shift", "flip"), 2),
)
FULL_TOO = Setting("wide ResNet", ("shift", "flip", "cutout"), 4)  # where flips fit, and there is time
SMALL = (2500, 800, 2000)  # pictures learnt from, validated, tested
CHANGES: Mapping[str, Change] = {"flip": flip, "shift": shift, "cutout": cutout}
NETS: Mapping[str, Mapping[str, Callable[[], nn.Module]]] = {
    "small": {
        "MobileNet": partial(MobileNet, 10, 0.25, [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1)]),
        "wide ResNet": partial(WideResNet, 10, 1, 1, 8),  # WRN-10-½
    },
    "full": {"MobileNet": partial(MobileNet, 10, 1.0), "wide ResNet": partial(WideResNet, 10, 6, 4)},  # WRN-40-4
}
RECIPES: Mapping[str, Mapping[str, Recipe]] = {
    "small": {
        "MobileNet": Recipe(3, 50, 3e-3),
        "wide ResNet": Recipe(3, 50, 0.1, "sgd", 5e-4),
    },
    "full": {
        "MobileNet": Recipe(50, 100, 1e-3),  # the article's epochs and batch
        "wide ResNet": Recipe(100, 128, 0.1, "sgd", 5e-4),
    },
}


def run(options: Options) -> Table:
    """The study's command."""
    full = options.size == "full"
    data = read_split(options.fashion, "Fashion-MNIST", FASHION) if full else read_digits(options.digits)
    if options.quick or not full:
        most = (60, 60, 60) if options.quick else SMALL
        parts = (data.train, data.validation, data.test)
        data = Data(*(part.take(np.arange(min(n, len(part)))) for part, n in zip(parts, most, strict=True)))
    device = str(pick_device("auto" if full else "cpu"))
    fitted: list[list[Fitted]] = []
    settings = settings_of(options)
    for setting in settings:
        recipe = replace(RECIPES[options.size][setting.net], change=compose(setting.changes), device=device)
        if options.quick:
            recipe = replace(recipe, epochs=1)
        make = NETS[options.size][setting.net]
        fitted.append([fit(make, data, recipe, seed) for seed in range(options.seeds)])
    scores = [[share_right(one.net, data.test) for one in of] for of in fitted]
    draw(options, fitted, scores)
    return tabulate(options, data, fitted, scores)


def settings_of(options: Options) -> tuple[Setting, ...]:
    """The rows."""
    return (*SETTINGS, FULL_TOO) if options.size == "full" else SETTINGS


def compose(names: Sequence[str]) -> Change | None:
    """CHANGES one after the other; nothing for none."""

    def change(x: Tensor, rng: torch.Generator) -> Tensor:
        for name in names:
            x = CHANGES[name](x, rng)
        return x

    return change if names else None


def tabulate(
    options: Options, data: Data, fitted: Sequence[Sequence[Fitted]], scores: Sequence[Sequence[float]]
) -> Table:
    """A row a setting."""
    rows = []
    for setting, of, own in zip(settings_of(options), fitted, scores, strict=True):
        size = sum(p.numel() for p in of[0].net.parameters())
        cells = [setting.net, f"{size:,}", " + ".join(setting.changes) or "none"]
        cells += [mean_sd([one.best for one in of]), mean_sd(own)]
        if setting.against is None:
            cells.append("")
        else:
            base = settings_of(options)[setting.against]
            gained = [a - b for a, b in zip(own, scores[setting.against], strict=True)]
            added = next(name for name in setting.changes if name not in base.changes)
            cells.append(f"{added}: {show_interval(gained)}")
        rows.append(cells)
    subject = "Fashion-MNIST" if options.size == "full" else "MNIST's digits"
    epochs = " and ".join(f"{recipe.epochs} ({net})" for net, recipe in RECIPES[options.size].items())
    notes = [
        f"{subject}: {len(data.train)} pictures learnt from, {len(data.validation)} validated, "
        f"{len(data.test)} tested.",
        f"Percent right, mean ± sd of {options.seeds} seeds; the epoch, of {epochs}, was chosen by validation, the "
        "test looked at once, its pictures unchanged.",
        "Last: points that one more change gives, paired by seed, with 95 % intervals.",
    ]
    return Table(["network", "weights", "changes", "validation", "test", "the change gives"], rows, notes)


def draw(options: Options, fitted: Sequence[Sequence[Fitted]], scores: Sequence[Sequence[float]]) -> None:
    """Validation errors as training goes, and each seed's test errors."""
    figure, axes = subplots(1, 2, (12, 4.8))
    curves, points = axes[0]
    labels = [f"{setting.net}\n{' + '.join(setting.changes) or 'unchanged'}" for setting in settings_of(options)]
    for number, (label, of, own) in enumerate(zip(labels, fitted, scores, strict=True)):
        errors = 100 - 100 * np.mean([one.scores for one in of], axis=0)
        curves.plot(range(1, len(errors) + 1), errors, marker=".", label=label.replace("\n", ", "), color=f"C{number}")
        points.plot([number] * len(own), 100 - 100 * np.array(own), "o", color=f"C{number}", alpha=0.6)
        points.plot([number - 0.25, number + 0.25], [100 - 100 * float(np.mean(own))] * 2, color=f"C{number}")
    curves.set(xlabel="epoch", ylabel="validation errors, %", yscale="log")
    curves.legend(fontsize=7)
    points.set_xticks(range(len(labels)), labels, fontsize=7)
    points.set(ylabel="test errors, %", ylim=(0, None))
    for one in (curves, points):
        one.grid(alpha=0.3, which="both")
    save(figure, options.figure("fashion-mnist"))
