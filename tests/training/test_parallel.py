"""Several processes that train one network: alone they do nothing, together they end alike."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.cloze_world import world_config
from tianzi_training import parallel
from tianzi_training.cloze.task import ClozeTask

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
import torch
from tests.training.cloze_world import world_config
from tianzi_training import parallel
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.loop import train

net = train(ClozeTask(world_config(Path(sys.argv[1]), steps=14)), resume=False)
torch.save(net.state_dict(), f"{parallel.rank()}.pt")
"""


def test_one_process_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    net = nn.Linear(2, 1)
    before = [parameter.clone() for parameter in net.parameters()]
    parallel.join()
    parallel.wait()
    parallel.average_weights(net)
    assert (parallel.rank(), parallel.processes(), parallel.agree(0.25)) == (0, 1, 0.25)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_weights_become_the_mean_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(parallel.distributed, "all_reduce", lambda values: values.add_(3.0))
    net = nn.Linear(3, 2)
    net.bias.requires_grad = False
    weight, bias = net.weight.detach().clone(), net.bias.clone()
    parallel.average_weights(net)
    torch.testing.assert_close(net.weight.detach(), (weight + 3) / 2)
    assert torch.equal(net.bias, bias)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_end_alike(tmp_path: Path) -> None:
    ClozeTask(world_config(tmp_path / "world"))  # the text is segmented once
    (tmp_path / "script.py").write_text(SCRIPT)
    roots = [ROOT, *(ROOT / name for name in ("models", "training"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots)), "OMP_NUM_THREADS": "1"}
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py", "world"]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    log = (tmp_path / "runs/world/log.jsonl").read_text().splitlines()
    assert sum('"validation"' in line for line in log) == 1, "the first process alone logs"
