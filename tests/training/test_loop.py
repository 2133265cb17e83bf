"""The loop: learns, resumes after a kill as if nothing had happened, logs and draws."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset

from tianzi_training.config import TrainConfig
from tianzi_training.export.weights import deepened, widened
from tianzi_training.loop import CHECKPOINT, CURVE, LOG, learning_rate, load_matching, run_folder, train
from tianzi_training.ocr.net import OcrNet


class Parabola(Dataset[tuple[Tensor, Tensor]]):
    """y = 3x − 1 with noise; a batch a step."""

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def __len__(self) -> int:
        return self.config.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(step + 1000 * self.config.seed)
        x = torch.randn(self.config.batch_size, 1, generator=generator)
        return x, 3 * x - 1


class LineTask:
    def __init__(self, config: TrainConfig, pause_s: float = 0.0) -> None:
        self.config, self.pause_s = config, pause_s

    def build_net(self) -> nn.Module:
        return nn.Linear(1, 1)

    def batches(self) -> Parabola:
        return Parabola(self.config)

    def loss(self, net: nn.Module, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        time.sleep(self.pause_s)
        x, y = batch
        return ((net(x) - y) ** 2).mean(), {"extra": 1.0}

    def validate(self, net: nn.Module) -> dict[str, float]:
        return {"slope": float(net(torch.ones(1, 1)) - net(torch.zeros(1, 1)))}


def config(**changes: object) -> TrainConfig:
    values = {
        "task": "line", "name": "line", "steps": 200, "batch_size": 16, "lr": 0.1, "warmup_steps": 5, "workers": 0,
        "threads": 1, "log_every": 10, "validate_every": 100, "checkpoint_seconds": 0.05, "weight_decay": 0.0,
    }  # fmt: skip
    return TrainConfig(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(name: str = "line") -> list[dict[str, object]]:
    return [json.loads(line) for line in (Path("runs") / name / LOG).read_text().splitlines()]


def test_learns_logs_and_draws() -> None:
    net = train(LineTask(config()), resume=False)
    assert isinstance(net, nn.Linear) and net.weight.item() == pytest.approx(3, abs=0.01)
    losses = [line["loss"] for line in lines() if "loss" in line]
    assert len(losses) == 20 and losses[-1] < losses[0] / 100
    assert [line["step"] for line in lines() if "validation" in line] == [100, 200]
    with Image.open(run_folder(config()) / CURVE) as curve:
        assert curve.format == "PNG" and curve.width > 400


def test_a_schedule_of_minutes_ends_before_its_steps() -> None:
    began = time.monotonic()
    train(LineTask(config(steps=100_000, minutes=0.02, validate_every=0), pause_s=0.001), resume=False)
    assert time.monotonic() - began < 30
    last = lines()[-1]
    assert last["lr"] == pytest.approx(0.001) and last["step"] < 100_000  # type: ignore[operator]
    assert not [line for line in lines() if "validation" in line]
    assert (run_folder(config()) / CHECKPOINT).exists()


def test_half_precision_learns_too() -> None:
    net = train(LineTask(config(half=True)), resume=False)
    assert isinstance(net, nn.Linear) and net.weight.dtype == torch.float32
    assert net.weight.item() == pytest.approx(3, abs=0.1)


def test_same_seed_same_weights() -> None:
    first, second = (train(LineTask(config(name=name, steps=20)), resume=False) for name in ("a", "b"))
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, train(LineTask(config(name="c", steps=20, seed=2)), resume=False).weight)


SCRIPT = """
import sys, tests.training.test_loop as t
t.train(t.LineTask(t.config(), pause_s=0.01), resume=True)
"""


def test_resumes_after_a_kill_as_if_nothing_had_happened() -> None:
    whole = train(LineTask(config(name="whole")), resume=False)
    root = Path(__file__).parents[2]
    killed = 0
    for delay in (0.3, 0.6):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env={"PYTHONPATH": str(root)}, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and not (Path("runs/line") / CHECKPOINT).exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed += 1
    resumed = train(LineTask(config()), resume=True)
    assert killed >= 1
    assert torch.equal(whole.weight, resumed.weight)
    steps = [line["step"] for line in lines() if "loss" in line]
    assert steps == list(range(10, 201, 10))


def test_without_a_checkpoint_resume_starts_afresh_and_without_resume_it_is_ignored() -> None:
    train(LineTask(config(steps=50)), resume=True)
    train(LineTask(config(steps=20)), resume=False)
    assert max(line["step"] for line in lines()) == 20  # type: ignore[type-var]


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    with pytest.raises(FloatingPointError, match="lower lr"):
        train(LineTask(config(lr=float("inf"), clip_norm=1e30)), resume=False)


def test_learning_rate_warms_up_then_falls() -> None:
    rates = [learning_rate(step, config()) for step in range(200)]
    assert rates[0] == pytest.approx(0.02) and max(rates) == pytest.approx(0.1)
    assert rates[5:] == sorted(rates[5:], reverse=True) and rates[-1] < 0.002


def test_learning_rate_stays_before_it_falls() -> None:
    own = config(decay=0.25, warmup_steps=0)
    rates = [learning_rate(step, own) for step in range(201)]
    assert rates[:151] == [0.1] * 151
    assert rates[150:] == sorted(rates[150:], reverse=True) and rates[200] == pytest.approx(0.001)
    assert rates[175] == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    # Time that is over counts as steps do, and cannot bring the rate up again.
    assert learning_rate(0, own, spent=0.875) == pytest.approx(rates[175])
    assert learning_rate(190, own, spent=0.2) == rates[190]
    assert learning_rate(0, own, spent=7.0) == pytest.approx(0.001)


def test_time_before_a_resumption_counts() -> None:
    train(LineTask(config(steps=20)), resume=False)
    path = run_folder(config()) / CHECKPOINT
    state = torch.load(path, weights_only=True)
    assert 0 < state["seconds"] < 60 and state["step"] == 20
    torch.save(state | {"seconds": 59.0}, path)
    train(LineTask(config(minutes=1.0, steps=10**6), pause_s=0.02), resume=True)
    after = torch.load(path, weights_only=True)
    assert 20 < after["step"] < 200 and after["seconds"] >= 59.9


class GroupedTask(LineTask):
    """Starts from a slope of 2 and learns the bias alone, twice as fast."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__(config)
        self.initialised, self.ranks = 0, list[int]()

    def initialise(self, net: nn.Module) -> None:
        self.initialised += 1
        assert isinstance(net, nn.Linear)
        nn.init.constant_(net.weight, 2.0)

    def parameter_groups(self, net: nn.Module) -> list[dict[str, object]]:
        assert isinstance(net, nn.Linear)
        return [{"params": [net.weight], "lr_scale": 0.0}, {"params": [net.bias], "lr_scale": 2.0}]

    def batches(self, rank: int = 0) -> Parabola:
        self.ranks.append(rank)
        return Parabola(self.config)


def test_a_task_may_say_where_it_starts_and_what_learns_how_fast() -> None:
    task = GroupedTask(config(steps=20))
    net = train(task, resume=False)
    assert isinstance(net, nn.Linear) and net.weight.item() == 2.0 and net.bias.item() != 0
    assert (task.initialised, task.ranks) == (1, [0])
    state = torch.load(run_folder(config()) / CHECKPOINT, weights_only=True)
    slow, fast = state["optimizer"]["param_groups"]
    assert slow["lr"] == 0 and fast["lr"] == pytest.approx(2 * learning_rate(19, task.config))
    again = GroupedTask(config(steps=25))
    train(again, resume=True)
    assert again.initialised == 0, "a checkpoint is where it starts then"
    given = GroupedTask(config(steps=1, name="given"))
    started = train(given, resume=False, initial={"weight": torch.full((1, 1), 5.0)})
    assert isinstance(started, nn.Linear) and started.weight.item() == 5.0 and given.initialised == 0


def test_load_matching_takes_what_fits() -> None:
    net = nn.Linear(2, 3)
    taken = load_matching(net, {"weight": torch.ones(3, 2), "bias": torch.ones(4), "other": torch.ones(1)})
    assert taken == 1 and torch.equal(net.weight, torch.ones(3, 2))


def test_a_deeper_network_starts_out_as_the_one_that_it_is_made_from() -> None:
    crops = torch.randint(0, 256, (3, 1, 24, 24), dtype=torch.uint8)
    shallow = OcrNet(7, 24, (4, 8, 12), (0, 1, 0), 5).eval()
    deep = OcrNet(7, 24, (4, 8, 12), (1, 2, 1), 5).eval()
    for norm in [module for module in shallow.modules() if isinstance(module, nn.BatchNorm2d)]:
        nn.init.uniform_(norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(norm.weight)
    assert not torch.allclose(deep(crops), shallow(crops))
    taken = load_matching(deep, deepened(shallow.state_dict(), deep.state_dict()))
    assert taken == len(shallow.state_dict()) + 3
    torch.testing.assert_close(deep(crops), shallow(crops))


def test_a_wider_network_starts_out_as_the_one_that_it_is_made_from() -> None:
    crops = torch.randint(0, 256, (3, 1, 24, 24), dtype=torch.uint8)
    narrow = OcrNet(7, 24, (4, 8, 12), (0, 1, 0), 5).eval()
    wide = OcrNet(7, 24, (6, 8, 20), (0, 1, 0), 5).eval()
    assert not torch.allclose(wide(crops), narrow(crops))
    taken = load_matching(wide, widened(narrow.state_dict(), wide.state_dict()))
    assert taken == len(narrow.state_dict())
    torch.testing.assert_close(wide(crops), narrow(crops))
    assert wide.features[0].conv.weight[4:].abs().min() > 0  # what is new can learn
    smaller = OcrNet(7, 24, (2, 8, 12), (0, 1, 0), 5).state_dict()
    kept = widened(narrow.state_dict(), smaller)
    assert kept.keys() == narrow.state_dict().keys() and kept["features.0.conv.weight"].shape[0] == 4


def test_rows_of_other_symbols_are_not_taken_for_channels() -> None:
    narrow, more = (OcrNet(classes, 24, (4, 8), (0, 1), 5).state_dict() for classes in (7, 9))
    kept = widened(narrow, more)
    assert all(kept[f"head.{part}"] is narrow[f"head.{part}"] for part in ("weight", "bias"))
    words = {"words.weight": torch.ones(3, 2)}
    assert widened(words, {"words.weight": torch.zeros(4, 2)})["words.weight"] is words["words.weight"]


@pytest.mark.parametrize("block", ["inverted", "convnext"])
def test_weights_of_other_networks_are_not_renamed(block: str) -> None:
    state = OcrNet(7, 24, (4, 8), (0, 1), 5, block=block).state_dict()
    kept = deepened(state, state)
    assert kept.keys() == state.keys() and all(kept[name] is state[name] for name in state)
    assert deepened({"words.weight": state["norm.weight"]}, state).keys() >= {"words.weight"}
