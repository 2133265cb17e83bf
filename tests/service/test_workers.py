"""Several servers on one port: calls are spread and counted together, one that ends is replaced, all end as one."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from tests.conftest import ROOT, START_S
from tests.fakes import WAIT_S
from tests.service.test_metrics import read
from tianzi.v1 import ocr_pb2, ocr_pb2_grpc
from tianzi_models.registry import load_model
from tianzi_service.lifecycle.supervisor import Workers, cores_each, threads_each
from tianzi_service.settings import Settings

CALLS = 96
"""So many that each server has several ticks of work, of 10 ms: it is told by these that it had calls."""
APART = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection


class Fleet:
    """`tianzi serve --workers 2` in a process of its own. pages: where its metrics are."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, pages: str) -> None:
        self.process, self.port, self.pages = process, port, pages

    def servers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]

    def count(self, name: str) -> float:
        """A metric's sum over its labels."""
        lines = re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", read(f"{self.pages}/metrics")[2], re.MULTILINE)
        return sum(map(float, lines))

    def ready(self) -> bool:
        return read(f"{self.pages}/readyz")[0] == 200 and self.count("tianzi_ready") == 2


@contextmanager
def fleet(*options: str) -> Iterator[Fleet]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIANZI_")}
    command = [sys.executable, "-m", "tianzi_service", "serve", "--port", "0", "--device", "cpu", "--workers", "2"]
    command += ["--metrics-port", "0", "--drain-s", "0.1", *options]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        lines, pages, port = [], "", 0
        assert process.stderr is not None
        while not port and (line := process.stderr.readline()):
            lines.append(line)
            pages = next(iter(re.findall(r"(http://\S+)/metrics", line)), pages)
            port = int(next(iter(re.findall(r"ready on 127.0.0.1:(\d+) after .*: 2 servers", line)), 0))
        assert port, "".join(lines)
        yield Fleet(process, port, pages)
    finally:
        process.terminate()
        _, rest = process.communicate(timeout=START_S)
    assert process.returncode in (0, -signal.SIGKILL), rest


def call(port: int) -> str:
    """Recognises a character over a connection of its own."""
    image = load_golden()
    with grpc.insecure_channel(f"127.0.0.1:{port}", APART) as channel:
        reply = ocr_pb2_grpc.OcrServiceStub(channel).Recognize(ocr_pb2.RecognizeRequest(image=image), timeout=WAIT_S)
    return str(reply.candidates[0].text)


def load_golden() -> bytes:
    model = load_model("ocr", device="cpu", threads=1)
    return bytes(model.request_from_json(model.bundle.golden()[0]["request"]).image)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.timeout(120)
def test_servers_share_a_port_and_one_that_is_killed_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    image = load_golden()
    monkeypatch.setattr(f"{__name__}.load_golden", lambda: image)
    with fleet() as servers:
        assert servers.ready()
        assert read(f"{servers.pages}/healthz")[0] == 200
        expected = cores_each(Settings(workers=2, threads=threads_each(Settings(workers=2))))
        cores = [set(process.cpu_affinity() or ()) for process in servers.servers()]
        assert sorted(map(sorted, cores)) == sorted(sorted(each or os.sched_getaffinity(0)) for each in expected)
        before = [process.cpu_times().user for process in servers.servers()]
        assert len({call(servers.port) for _ in range(CALLS)}) == 1
        worked = [process.cpu_times().user for process in servers.servers()]
        assert all(now > then for now, then in zip(worked, before, strict=True)), "one server had all calls"
        assert servers.count("tianzi_rows_total") == CALLS
        assert servers.count("process_resident_memory_bytes") > 200 * 2**20
        assert servers.count("tianzi_run_rows_limit") == 64  # a fact is no sum

        victim, other = servers.servers()
        victim.kill()
        wait_for(lambda: servers.count("tianzi_server_restarts_total") == 1 and servers.ready())
        assert other in servers.servers()
        assert call(servers.port)
        assert servers.count("tianzi_rows_total") == CALLS + 1, "what the dead server counted is kept"

        orphans = servers.servers()
        servers.process.kill()
        _, alive = psutil.wait_procs(orphans, timeout=WAIT_S)
        assert not alive, "a server outlived the process that watches it"


@pytest.mark.timeout(60)
def test_a_server_that_cannot_start_ends_all(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tianzi_service", "serve", "--port", "0", "--workers", "2"]
    command += ["--bundle-root", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=START_S, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == f"error: no bundle of model ocr under {tmp_path}"


def test_servers_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_service.lifecycle.supervisor.available_cpus", lambda: 8)
    assert threads_each(Settings(workers=4)) == 2
    assert threads_each(Settings(workers=16)) == 1
    assert threads_each(Settings(workers=4, threads=3)) == 3


def test_servers_keep_to_cores_of_their_own_where_they_fill_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {9, 4, 5, 8})
    monkeypatch.setattr("tianzi_service.lifecycle.supervisor.available_cpus", lambda: 4)
    assert cores_each(Settings(workers=2, threads=2)) == [{4, 5}, {8, 9}]
    assert cores_each(Settings(workers=4, threads=1)) == [{4}, {5}, {8}, {9}]
    assert cores_each(Settings(workers=2, threads=1)) == [set(), set()]  # others' work has the rest
    assert cores_each(Settings(workers=8, threads=1)) == [set()] * 8
    assert cores_each(Settings(workers=2, threads=2, own_cores=False)) == [set(), set()]
    monkeypatch.setattr(
        "tianzi_service.lifecycle.supervisor.available_cpus", lambda: 2
    )  # a quota on a machine that others use
    assert cores_each(Settings(workers=2, threads=1)) == [set(), set()]


async def test_nothing_runs_so_nothing_is_ready() -> None:
    workers = Workers(Settings(workers=2))
    assert workers.unready() == "loading"
    assert workers.silent() == ""
