"""The training loop of every task: resumable at any moment, logged as JSON lines, drawn as a PNG.

runs/NAME/last.pt      weights, optimizer, step; written to a temporary file, then renamed
runs/NAME/log.jsonl    {"step", "loss", "lr", …} every log_every steps, {"step", "validation": {…}} at times
runs/NAME/curve.png    the log as a picture
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sized
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from tianzi_training import parallel
from tianzi_training.config import TrainConfig
from tianzi_training.curve import draw_curve
from tianzi_training.export.weights import deepened, widened

Batch = TypeVar("Batch")
CHECKPOINT, LOG, CURVE = "last.pt", "log.jsonl", "curve.png"


class Task(Protocol):
    """What a task gives the loop."""

    config: TrainConfig

    def build_net(self) -> nn.Module:
        """A fresh network."""

    def batches(self) -> Dataset[Any]:
        """Item `step` is that step's batch, a function of seed and step alone; its length is config.steps."""

    def loss(self, net: nn.Module, batch: Any) -> tuple[Tensor, Mapping[str, float | Tensor]]:
        """The loss to minimise and what else to log; numbers on the device are fetched when they are logged."""

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Figures on data that is never trained on; the net is in eval mode, without gradients."""


@runtime_checkable
class GpuFed(Protocol):
    """A task that has the GPU make part of its batches."""

    def feed(self, batches: Any, first: int, device: torch.device, workers: int) -> Iterable[Any]:
        """What Task.batches gives, from step `first` on, on the device."""


@runtime_checkable
class Grouped(Protocol):
    """A task that starts from given weights, says which parameters learn how fast, and whose batches differ between
    processes."""

    def initialise(self, net: nn.Module) -> None:
        """Gives a fresh network the weights that training starts from."""

    def parameter_groups(self, net: nn.Module) -> list[dict[str, Any]]:
        """As torch's optimizers take them; "lr_scale" multiplies the learning rate."""

    def batches(self, rank: int) -> Dataset[Any]:
        """As Task.batches, for one of several processes."""


@runtime_checkable
class Adapting(Protocol):
    """A task whose network starts from another network's weights in a way of its own."""

    def adapt(self, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Weights by name → those to start from; own: the network's state."""


def run_folder(config: TrainConfig) -> Path:
    """Where an experiment's checkpoint, log and curve are."""
    return Path("runs") / config.name


def pick_device(name: str) -> torch.device:
    """auto: CUDA where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def learning_rate(step: int, config: TrainConfig, spent: float = 0.0) -> float:
    """Linear warm-up, then constant, then over the last config.decay of the run a half cosine to a hundredth.

    spent: the share of config.minutes that is over.
    """
    if step < config.warmup_steps:
        return config.lr * (step + 1) / config.warmup_steps
    done = max(spent, (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps))
    falling = max(0.0, (min(1.0, done) - (1 - config.decay)) / config.decay)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * falling)))


def train(task: Task, resume: bool, initial: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Trains to the last step and returns the network.

    resume: go on from the run's checkpoint, from the start where there is none.
    initial: weights to start from (those that fit in name and shape).
    """
    config, folder = task.config, run_folder(task.config)
    folder.mkdir(parents=True, exist_ok=True)
    if config.threads:
        torch.set_num_threads(config.threads)
    seed_everything(config.seed)
    device = pick_device(config.device)
    torch.backends.cudnn.benchmark = device.type == "cuda"  # the shapes stay the same
    net = task.build_net()
    resuming = resume and (folder / CHECKPOINT).exists()
    if isinstance(task, Grouped) and initial is None and not resuming:
        task.initialise(net)
    net = net.to(device, memory_format=torch.channels_last)
    if initial is not None:
        own = net.state_dict()
        adapted = task.adapt(initial, own) if isinstance(task, Adapting) else widened(deepened(initial, own), own)
        load_matching(net, adapted)
    groups = task.parameter_groups(net) if isinstance(task, Grouped) else parameter_groups(net, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.lr)
    first, before = 0, 0.0
    if resuming:
        first, before = load_checkpoint(folder / CHECKPOINT, net, optimizer, device)
    parallel.join()
    leads = parallel.rank() == 0
    if leads:
        _trim_log(folder / LOG, first)
    batches = task.batches(parallel.rank()) if isinstance(task, Grouped) else task.batches()
    assert isinstance(batches, Sized)
    loader: Iterable[Any]
    if device.type == "cuda" and isinstance(task, GpuFed):
        loader = task.feed(batches, first, device, config.workers)
    else:
        loader = DataLoader(
            Subset(batches, range(first, len(batches))),
            batch_size=None,
            num_workers=config.workers,
            multiprocessing_context="fork" if config.workers else None,  # shares the data's memory
            worker_init_fn=_one_thread,
            pin_memory=device.type == "cuda",  # so that copying does not wait
        )
    began = time.monotonic() - before
    saved, since, seen = time.monotonic(), time.monotonic(), 0
    with _progress(leads) as bar, (folder / LOG if leads else Path(os.devnull)).open("a", encoding="utf-8") as log:
        row = bar.add_task(config.name, total=config.steps, completed=first, note="")
        for step, batch in enumerate(loader, start=first):
            net.train()
            spent = (time.monotonic() - began) / (60 * config.minutes) if config.minutes else 0.0
            if meets := (step - first) % parallel.EVERY == 0:
                spent = parallel.agree(spent)
            lr = learning_rate(step, config, spent)
            for group in optimizer.param_groups:
                group["lr"] = lr * group.get("lr_scale", 1.0)
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.half):
                loss, stats = task.loss(net, to_device(batch, device))
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(net.parameters(), config.clip_norm)
            optimizer.step()
            seen, last = seen + 1, step + 1 == config.steps or (spent >= 1 and meets)
            if meets or last:
                parallel.average_weights(net)
            if (step + 1) % config.log_every == 0 or last:
                rate = seen * config.batch_size * parallel.processes() / (time.monotonic() - since)
                shown = {name: float(value) for name, value in stats.items()}
                note = {"loss": loss.item(), **shown, "lr": lr, "samples_per_s": rate}
                if not math.isfinite(note["loss"]):
                    raise FloatingPointError(f"step {step + 1}: loss is {note['loss']}; lower lr, resume")
                _write_line(log, {"step": step + 1, **note})
                bar.update(row, note=" ".join(f"{k} {v:.3g}" for k, v in note.items()))
                since, seen = time.monotonic(), 0
            bar.update(row, completed=step + 1)
            if leads and config.validate_every and ((step + 1) % config.validate_every == 0 or last):
                figures = evaluated(net, task.validate, device if config.half else None)
                _write_line(log, {"step": step + 1, "validation": figures})
                draw_curve(folder / LOG, folder / CURVE)
                bar.console.print(f"step {step + 1}: " + ", ".join(f"{k} {v:.4g}" for k, v in figures.items()))
                since, seen = time.monotonic(), 0
            if leads and (time.monotonic() - saved > config.checkpoint_seconds or last):
                save_checkpoint(folder / CHECKPOINT, net, optimizer, step + 1, config, time.monotonic() - began)
                saved = time.monotonic()
            if last:
                break
    parallel.wait()
    return net.eval()


def evaluated(
    net: nn.Module, validate: Callable[[nn.Module], dict[str, float]], half: torch.device | None = None
) -> dict[str, float]:
    """validate(net) in eval mode without gradients. half: the device that computes in bfloat16; None: in float32."""
    net.eval()
    autocast = torch.autocast("cpu" if half is None else half.type, torch.bfloat16, enabled=half is not None)
    with torch.inference_mode(), autocast:
        return validate(net)


def seed_everything(seed: int) -> None:
    """One seed for NumPy and torch."""
    np.random.seed(seed)
    torch.manual_seed(seed)


def parameter_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay on matrices and kernels, none on biases and norms."""
    decayed = [p for p in net.parameters() if p.ndim > 1]
    free = [p for p in net.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def to_device(batch: Any, device: torch.device) -> Any:
    """Tensors of a batch (tuple, list or dict) on the device."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    return type(batch)(to_device(value, device) for value in batch)


def save_checkpoint(
    path: Path, net: nn.Module, optimizer: torch.optim.Optimizer, step: int, config: TrainConfig, seconds: float
) -> None:
    """Atomic: a kill leaves the old checkpoint or the new one. seconds: how long has been trained."""
    state = {
        "step": step,
        "seconds": seconds,
        "net": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "config": asdict(config),
    }
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


def load_checkpoint(
    path: Path, net: nn.Module, optimizer: torch.optim.Optimizer | None, device: torch.device
) -> tuple[int, float]:
    """Restores what save_checkpoint wrote; the number of steps done, and the seconds that they took."""
    state = torch.load(path, map_location=device, weights_only=True)
    net.load_state_dict(state["net"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state.get("seconds", 0.0))


def load_matching(net: nn.Module, weights: Mapping[str, Tensor]) -> int:
    """Copies the weights whose name and shape the network has; how many."""
    own = net.state_dict()
    fitting = {k: v for k, v in weights.items() if k in own and own[k].shape == v.shape}
    net.load_state_dict({**own, **fitting})
    return len(fitting)


def _progress(shown: bool) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(file=sys.stderr, quiet=not shown))


def _write_line(log: Any, data: dict[str, Any]) -> None:
    log.write(json.dumps({k: round(v, 6) if isinstance(v, float) else v for k, v in data.items()}) + "\n")
    log.flush()


def _trim_log(path: Path, first: int) -> None:
    """Drops lines after the step that training goes on from: they will be written again."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    kept = []
    for line in lines:
        try:
            if json.loads(line)["step"] <= first:
                kept.append(line)
        except ValueError:
            continue  # a line cut short by a kill
    path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
