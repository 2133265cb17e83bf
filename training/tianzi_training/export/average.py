"""The mean of a run's weights and its first bundle's: `python -m tianzi_training.export.average CONFIG BUNDLE`.

A run that goes on from good weights ends in the same valley, and the way between both lies lower than either end (model
soups, arXiv:2203.05482). What the batch norms know of activations is measured anew (SWA, arXiv:1803.05407).
tianzi_training.export takes the mean with --set name=NAME-mean.
"""

import argparse
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tianzi_models.bundle import GRAPH
from tianzi_training.config import ConfigError
from tianzi_training.export.weights import read_weights
from tianzi_training.loop import CHECKPOINT, Task, load_checkpoint, run_folder, save_checkpoint
from tianzi_training.train import make_task, require_same_symbols

SHARE = 0.7
BATCHES = 24
"""Of the last steps, that the norms are measured with."""


def mean(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """share × ours + (1 - share) × theirs.

    Raises:
        ConfigError: a number of ours has none of theirs beside it.
    """
    averaged = {}
    for name, tensor in ours.items():
        if not tensor.is_floating_point():  # counts of steps
            averaged[name] = tensor
            continue
        other = theirs.get(name)
        if other is None or other.shape != tensor.shape:
            raise ConfigError(f"{name} is not in both alike")
        averaged[name] = share * tensor + (1 - share) * other.to(tensor.dtype)
    return averaged


def measure_norms(task: Task, net: nn.Module, batches: Iterable[Any]) -> None:
    """Sets the batch norms' means and variances to those of these batches."""
    norms = [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    net.train()
    with torch.no_grad():
        for batch in batches:
            task.loss(net, batch)
    net.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def average(task: Any, bundle: Path, share: float) -> Path:
    """Writes runs/NAME-mean/last.pt; its folder.

    Raises:
        ConfigError, OSError: the run or the bundle is not there, or they do not fit.
    """
    require_same_symbols(task.vocabulary(), bundle)
    net, folder = task.build_net(), run_folder(task.config)
    steps, seconds = load_checkpoint(folder / CHECKPOINT, net, None, torch.device("cpu"))
    net.load_state_dict(mean(net.state_dict(), read_weights(bundle / GRAPH), share))
    batches = task.batches()
    measure_norms(task, net, (batches[step] for step in range(max(0, len(batches) - BATCHES), len(batches))))
    config = replace(task.config, name=f"{task.config.name}-mean")
    target = run_folder(config)
    target.mkdir(parents=True, exist_ok=True)
    save_checkpoint(target / CHECKPOINT, net, torch.optim.AdamW(net.parameters()), steps, config, seconds)
    return target


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.export.average", description=__doc__)
    parser.add_argument("config", type=Path, help="experiment, a TOML file")
    parser.add_argument("bundle", type=Path, help="the bundle that the run began from")
    parser.add_argument("--share", type=float, default=SHARE, help=f"of the run's own weights (default: {SHARE})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    options = parser.parse_args(arguments)
    try:
        print(average(make_task(options.config, options.set), options.bundle, options.share))
    except (ConfigError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
