"""What the load benchmark measures: servers in processes of their own, and bare onnxruntime in this one."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

ROOT = Path(__file__).resolve().parents[1]
HERE = ROOT / "benchmarks"
START_S = 60.0
MLSERVER = ROOT / ".cache/mlserver"
# Its own versions: 1.7.1 does not run with a newer uvloop.
MLSERVER_PACKAGES = ("mlserver==1.7.1", "uvloop<0.22", "onnxruntime", "pillow")
ONE = "tianzi, 1 worker"
ALONE = "gRPC alone"
RETRY_FAST = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50)]


@dataclass
class Server:
    """A server under load. start_s: from its start until it, or each of its processes, listened."""

    name: str
    address: str
    process: psutil.Process
    start_s: float

    def cpu_s(self) -> float:
        """Processor seconds that the server and its children have used."""
        return sum(sum(process.cpu_times()[:2]) for process in self._all())

    def rss_bytes(self) -> int:
        """Memory of the server and its children."""
        return sum(process.memory_info().rss for process in self._all())

    def _all(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def listening(self, port: int) -> int:
        """How many of its processes listen on the port."""
        ours = {process.pid for process in self._all()}
        sockets = psutil.net_connections("tcp")
        return len(
            {c.pid for c in sockets if c.pid in ours and c.status == psutil.CONN_LISTEN and c.laddr.port == port}
        )


@contextmanager
def running(name: str, command: Sequence[str | Path], port: int, workers: int = 1) -> Iterator[Server]:
    """Starts a server on a port of the loopback address, waits until it listens, and ends it afterwards.

    workers: how many of its processes are to listen.

    Raises:
        RuntimeError: it does not listen within START_S.
    """
    address = f"127.0.0.1:{port}"
    path = os.pathsep.join(str(folder) for folder in (ROOT, ROOT / "proto", HERE))
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=None if "tianzi" in name else subprocess.DEVNULL,
        start_new_session=True,  # so that its children end with it
    )
    try:
        with grpc.insecure_channel(address, RETRY_FAST) as channel:
            try:
                grpc.channel_ready_future(channel).result(START_S)
            except grpc.FutureTimeoutError:
                raise RuntimeError(f"{name} does not listen on {address}") from None
        server = Server(name, address, psutil.Process(process.pid), 0.0)
        while workers > 1 and server.listening(port) < workers:
            time.sleep(0.05)
        server.start_s = time.perf_counter() - began
        yield server
    finally:
        process.terminate()
        try:
            process.wait(START_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def tianzi_server(*options: str, workers: int = 1) -> Any:
    """Our server, as users start it; workers: processes that share its port."""
    port = free_port()
    name = f"tianzi, {workers} workers" if workers > 1 else ONE
    options = ("--workers", str(workers), *options)
    command = [sys.executable, "-m", "tianzi_service", "serve", "--port", str(port), "--log-level", "warning", *options]
    return running(name, command, port, workers)


def null_server(*options: str) -> Any:
    """Our server around a model that neither decodes nor computes. options: of tianzi serve."""
    port = free_port()
    return running("tianzi without model", [sys.executable, HERE / "null_server.py", str(port), *options], port)


def echo_server(workers: int) -> Any:
    """gRPC without anything behind it; workers: processes that share its port."""
    port = free_port()
    return running(
        f"{ALONE}, {workers} workers", [sys.executable, HERE / "echo_server.py", str(port), str(workers)], port, workers
    )


def ml_server(folder: Path, workers: int) -> Any:
    """MLServer with the same bundle; workers: processes for the model, 0 runs it in the server's own."""
    port = free_port()
    python = MLSERVER / "bin/python"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    write = [python, HERE / "mlserver_ocr.py", folder, str(port), str(workers)]
    subprocess.run(write, check=True, env=environment)
    return running(f"MLServer, {workers} workers", [MLSERVER / "bin/mlserver", "start", folder], port)


def stop_when_told() -> None:
    """Lets SIGTERM end this process the orderly way, so that the servers that it started end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def install_mlserver() -> None:
    """Into a virtual environment of its own: its pins are not ours."""
    if (MLSERVER / "bin/mlserver").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", MLSERVER], check=True)
    subprocess.run([MLSERVER / "bin/pip", "install", "-q", *MLSERVER_PACKAGES], check=True)


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
