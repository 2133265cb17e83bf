"""Batches that processes and the GPU make together: the same as a single process makes, here on the CPU."""

import fcntl
import os
import signal
from dataclasses import replace

import pytest
import torch

from tests.training.latin import LATIN
from tianzi_training.config import OcrConfig
from tianzi_training.loop import GpuFed
from tianzi_training.ocr.data.batches import OcrBatches
from tianzi_training.ocr.data.conveyor import Conveyor
from tianzi_training.ocr.data.glyphs import Glyphs
from tianzi_training.ocr.task import OcrTask

CPU = torch.device("cpu")
CONFIG = OcrConfig(task="ocr", name="test", lr=1e-3, steps=10, batch_size=32, group=8, crop_px=32)
SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ of Linux' fcntl.h

# Python 3.12 and later warn of what the processes are made by: they touch nothing that the threads hold.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture
def batches(latin: Glyphs) -> OcrBatches:
    return OcrBatches([latin], LATIN, CONFIG)


def test_batches_are_those_of_one_process_and_in_order(batches: OcrBatches) -> None:
    made = list(Conveyor(batches, 1, CPU, workers=2))  # more steps than are under way at a time
    assert len(made) == 9
    for step, (crops, labels) in enumerate(made, start=1):
        expected, classes = batches[step]
        assert torch.equal(crops, expected) and torch.equal(labels, classes)


def test_the_task_has_them_made_so() -> None:
    assert issubclass(OcrTask, GpuFed)


def test_a_process_that_ends_ends_the_training(batches: OcrBatches) -> None:
    conveyor = Conveyor(batches, 0, CPU, workers=1)
    steps = iter(conveyor)
    next(steps)
    (worker,) = conveyor.workers
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="has ended"):
        list(steps)


def test_processes_end_with_the_iteration(batches: OcrBatches) -> None:
    conveyor = Conveyor(batches, 0, CPU, workers=2)
    for _ in conveyor:
        break
    for worker in conveyor.workers:
        worker.join(5)
        assert not worker.is_alive()


def test_more_groups_than_the_pipes_hold_do_not_block_each_other(latin: Glyphs) -> None:
    config = replace(CONFIG, group=2, nothing_share=0.0, hand_share=0.0, plate_share=0.0)
    conveyor = Conveyor(OcrBatches([latin], LATIN, config), 0, CPU, workers=2)
    for pipe in (conveyor._jobs, conveyor._done):
        fcntl.fcntl(pipe._writer.fileno(), SET_PIPE_SIZE, 4096)  # type: ignore[attr-defined]
    assert [len(labels) for _, labels in conveyor] == [32] * 10
