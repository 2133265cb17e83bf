"""Trains an experiment: `python -m tianzi_training.train CONFIG.toml [--resume] [--set lr=3e-4]`."""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

from tianzi_models.bundle import GRAPH
from tianzi_models.cloze.model import WORDS
from tianzi_training.config import ClozeConfig, ConfigError, OcrConfig, load_config, read_experiment
from tianzi_training.export.weights import read_weights
from tianzi_training.loop import run_folder, train


def make_task(path: Path, changes: list[str]) -> Any:
    """The task of an experiment: the TOML's `task` names it.

    Raises:
        ConfigError: the experiment has a mistake, or its data is not there.
    """
    name = read_experiment(path).get("task")
    # Imported here: each task reads its own data libraries.
    if name == "ocr":
        config = load_config(OcrConfig, path, changes)
        if config.net == "finding":
            from tianzi_training.ocr.finding_task import FindingTask

            return FindingTask(config)
        from tianzi_training.ocr.task import OcrTask

        return OcrTask(config)
    if name == "cloze":
        from tianzi_training.cloze.task import ClozeTask

        return ClozeTask(load_config(ClozeConfig, path, changes))
    raise ConfigError(f"task: {name!r}, must be ocr or cloze")


def require_same_symbols(vocabulary: dict[str, bytes], bundle: Path) -> None:
    """Raises ConfigError where the bundle's symbols are as many as the task's, but others.

    Its weights would fit by their shape, and each symbol get another's. Of another number, they are left out.
    """
    for name, text in vocabulary.items():
        ours, theirs = text.splitlines(), (bundle / name).read_bytes().splitlines()
        if len(ours) == len(theirs) and ours != theirs:
            keep = f"set vocabulary = {str(bundle)!r} to keep them" if name == WORDS else "it cannot be gone on from"
            raise ConfigError(f"--init {bundle}: its {name} holds other symbols: {keep}")


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.train", description=__doc__)
    parser.add_argument("config", type=Path, help="experiment, a TOML file")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--init", type=Path, metavar="BUNDLE", help="start from the weights of a bundle's graph")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one key")
    options = parser.parse_args(arguments)
    try:
        task = make_task(options.config, options.set)
        if isinstance(task.config, OcrConfig) and task.config.net != "finding":
            folder = run_folder(task.config)
            folder.mkdir(parents=True, exist_ok=True)
            task.draw_samples(folder / "samples.png")
        if options.init:
            require_same_symbols(task.vocabulary(), options.init)
        train(task, options.resume, read_weights(options.init / GRAPH) if options.init else None)
    except (ConfigError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"{options.config}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; --resume goes on from the last checkpoint", file=sys.stderr)
        return 130
    print(f"done: {run_folder(task.config)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
