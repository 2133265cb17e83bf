"""The mean of a run's weights and of those it began from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tianzi_training.config import ConfigError, TrainConfig
from tianzi_training.export import average
from tianzi_training.loop import CHECKPOINT, load_checkpoint, run_folder, save_checkpoint

CONFIG = TrainConfig(task="test", name="test", steps=40, batch_size=4, lr=1e-3)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(self.layer(x))
        return out


class Task:
    """Batch n is four rows about n."""

    config = CONFIG

    def build_net(self) -> nn.Module:
        return Net()

    def batches(self) -> Sequence[Tensor]:
        return [step + torch.arange(12.0).reshape(4, 3) for step in range(self.config.steps)]

    def loss(self, net: nn.Module, batch: Tensor) -> tuple[Tensor, dict[str, float]]:
        return net(batch).sum(), {}

    def validate(self, net: nn.Module) -> dict[str, float]:
        return {}

    def vocabulary(self) -> dict[str, bytes]:
        return {}


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor]:
    """A run's checkpoint with all weights 1, and a bundle's with all 3; the bundle's."""
    monkeypatch.chdir(tmp_path)
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(1.0)
    run_folder(CONFIG).mkdir(parents=True)
    save_checkpoint(run_folder(CONFIG) / CHECKPOINT, net, torch.optim.AdamW(net.parameters()), 40, CONFIG, 1.0)
    theirs = {name: torch.full_like(t, 3.0) for name, t in net.state_dict().items() if t.is_floating_point()}
    monkeypatch.setattr(average, "read_weights", lambda path: theirs)
    return theirs


def averaged() -> Any:
    target = average.average(Task(), Path("bundle"), 0.75)
    net = Net()
    assert load_checkpoint(target / CHECKPOINT, net, None, torch.device("cpu")) == (40, 1.0)
    assert target.name == "test-mean"
    return net


@pytest.mark.usefixtures("weights")
def test_weights_are_averaged_and_norms_measured_anew() -> None:
    net = averaged()
    for parameter in net.parameters():
        assert torch.all(parameter == 1.5)
    # Of the last 24 batches: 16 to 39, each with rows of 3, 12, 21 and 30 in sum, and three times its number.
    expected = 1.5 * (3 * 27.5 + 16.5) + 1.5
    torch.testing.assert_close(net.norm.running_mean, torch.full((2,), expected))
    assert net.norm.momentum == nn.BatchNorm1d(2).momentum


def test_weights_that_do_not_fit_are_refused(weights: dict[str, Tensor]) -> None:
    weights["layer.weight"] = torch.zeros(4, 4)
    with pytest.raises(ConfigError, match=r"layer\.weight is not in both alike"):
        averaged()
    del weights["layer.weight"]
    with pytest.raises(ConfigError, match=r"layer\.weight"):
        averaged()


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert average.main(["none.toml", "models/bundles/ocr/1"]) == 1
    assert "none.toml" in capsys.readouterr().err
