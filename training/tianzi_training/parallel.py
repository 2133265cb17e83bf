"""Several processes that train one network on one machine, each with batches and steps of its own; now and then they
take the mean of their weights (local SGD, arXiv:1805.09767).

Started by `torchrun --nproc-per-node 2 -m tianzi_training.train …`; on a CPU two processes of one thread each are
faster than one of two. Started plainly, there is one process, and nothing here does anything.
"""

import os

import torch
import torch.distributed as distributed
from torch import nn

EVERY = 12
"""Steps from one meeting to the next."""


def rank() -> int:
    """The number of this process, 0 for the one that logs and saves."""
    return int(os.environ.get("RANK", "0"))


def processes() -> int:
    """How many there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join() -> None:
    """Waits until all processes have come."""
    if processes() > 1 and not distributed.is_initialized():
        distributed.init_process_group("gloo")


def agree(value: float) -> float:
    """The first process's value."""
    if processes() == 1:
        return value
    shared = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(shared, 0)
    return float(shared.item())


@torch.no_grad()
def average_weights(net: nn.Module) -> None:
    """Gives each process the mean of all processes' weights."""
    if processes() == 1:
        return
    parameters = [p for p in net.parameters() if p.requires_grad]
    flat = torch.cat([parameter.flatten() for parameter in parameters])
    distributed.all_reduce(flat)
    start = 0
    for parameter in parameters:
        parameter.copy_(flat[start : start + parameter.numel()].view_as(parameter) / processes())
        start += parameter.numel()


def wait() -> None:
    """Until every process is here."""
    if processes() > 1:
        distributed.barrier()
