"""The metrics of several servers as one: what they count lies in files that all of them map into memory."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from tianzi_service.settings import Settings
from tianzi_service.telemetry.http import Monitor

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""What prometheus_client reads, when a process first imports it, to keep its numbers in files there."""
MEMORY = Path("/dev/shm")
ADDED = ("process_cpu_seconds", "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds")


class Servers(Protocol):
    """Several servers, and what is known of them."""

    @property
    def pids(self) -> list[int]:
        """Of the servers that run."""

    @property
    def restarts(self) -> int:
        """How often a server that had ended was started again."""

    def silent(self) -> str:
        """Which servers' event loops do not turn; empty where all do."""

    def unready(self) -> str:
        """Why calls are not answered by every server that runs; empty where they are."""


@contextmanager
def shared_metrics(settings: Settings, workers: Servers) -> Iterator[None]:
    """Has the servers that start meanwhile count in common, and answers for them on the metrics port.

    Raises:
        OSError: the port cannot be listened on, or there is no folder to write to.
    """
    folder = tempfile.mkdtemp(prefix="tianzi-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
    os.environ[FOLDER] = folder
    try:
        registry = CollectorRegistry()
        registry.register(Processes(workers))  # the first, as it takes out what the dead have left
        MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]
        with Monitor(registry, workers.silent, workers.unready).listening(settings):
            yield
    finally:
        del os.environ[FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


class Processes(Collector):
    """process_*, added up over this process and the servers; and how often a server had to be started again."""

    def __init__(self, workers: Servers) -> None:
        self._workers = workers
        self._living: set[int] = set()

    def collect(self) -> Iterator[Metric]:
        living = set(self._workers.pids)
        for dead in self._living - living:
            mark_process_dead(dead)  # type: ignore[no-untyped-call] # its gauges; what it counted stays
        self._living = living
        yield CounterMetricFamily(
            "tianzi_server_restarts", "Servers that had ended and were started again.", value=self._workers.restarts
        )
        sums: dict[str, Metric] = {}
        for pid in (os.getpid(), *living):
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                if family.name not in ADDED:
                    continue
                (sample,) = family.samples
                total = sums.setdefault(family.name, family)
                if total is not family:
                    (so_far,) = total.samples
                    total.samples = [so_far._replace(value=so_far.value + sample.value)]
        yield from sums.values()
