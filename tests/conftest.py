"""Tests that are coroutines, and real servers of the fake models on a free port."""

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tianzi_service  # noqa: F401 before gRPC, which reads once what it sets

# isort: split
import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc

from tests.fakes import WAIT_S, FakeCloze, FakeOcr
from tianzi import Client
from tianzi.v1 import cloze_pb2_grpc, ocr_pb2_grpc, server_pb2_grpc
from tianzi_service.lifecycle.server import Server, build_server
from tianzi_service.rpc.oip.v2 import grpc_service_pb2_grpc
from tianzi_service.settings import Settings
from tianzi_service.telemetry.observer import NOBODY, Observer

ROOT = Path(__file__).resolve().parents[1]
START_S = 60.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs tests that are coroutines, each in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(pyfuncitem.obj).parameters}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), 2 * WAIT_S))
    return True


@dataclass
class Running:
    """A server under test, and stubs to call it with."""

    server: Server
    port: int
    channel: grpc.aio.Channel
    ocr: "ocr_pb2_grpc.OcrServiceAsyncStub"
    cloze: "cloze_pb2_grpc.ClozeServiceAsyncStub"
    info: "server_pb2_grpc.ServerServiceAsyncStub"
    health: health_pb2_grpc.HealthStub
    inference: "grpc_service_pb2_grpc.GRPCInferenceServiceAsyncStub"


@pytest.fixture
def fake_ocr() -> FakeOcr:
    return FakeOcr()


@pytest.fixture
def fake_cloze() -> FakeCloze:
    return FakeCloze()


@pytest.fixture
def serving(fake_ocr: FakeOcr, fake_cloze: FakeCloze) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """async with serving(queue_rows=4) as running: … a server of the fake models, stopped at the end."""

    @asynccontextmanager
    async def start(observer: Observer = NOBODY, **settings: Any) -> AsyncIterator[Running]:
        defaults = {"port": 0, "threads": 2, "drain_s": 0, "grace_s": 1}
        models = {"ocr": fake_ocr, "cloze": fake_cloze}
        server = build_server(models, Settings(**{**defaults, **settings}), observer)
        try:
            port = await server.start()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Running(
                    server,
                    port,
                    channel,
                    ocr_pb2_grpc.OcrServiceStub(channel),
                    cloze_pb2_grpc.ClozeServiceStub(channel),
                    server_pb2_grpc.ServerServiceStub(channel),
                    health_pb2_grpc.HealthStub(channel),
                    grpc_service_pb2_grpc.GRPCInferenceServiceStub(channel),
                )
        finally:
            fake_ocr.gate.set()
            fake_cloze.gate.set()
            await server.stop()

    return start


@pytest.fixture
def address(serving: Callable[..., AbstractAsyncContextManager[Running]]) -> Iterator[str]:
    """host:port of a server of the fake models in a thread of its own, for synchronous clients."""
    ready = threading.Event()
    started: dict[str, Any] = {}

    async def run() -> None:
        async with serving() as running:
            started.update(port=running.port, loop=asyncio.get_running_loop(), stop=asyncio.Event())
            ready.set()
            await started["stop"].wait()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    assert ready.wait(WAIT_S)
    yield f"127.0.0.1:{started['port']}"
    started["loop"].call_soon_threadsafe(started["stop"].set)
    thread.join(WAIT_S)


@pytest.fixture(scope="session")
def shipped() -> Iterator[str]:
    """host:port of `tianzi serve` with the shipped bundles, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIANZI_")}
    command = [sys.executable, "-m", "tianzi_service", "serve", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_serving(f"127.0.0.1:{port}", server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=START_S)
    assert server.returncode == 0


def wait_until_serving(address: str, server: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + START_S
    with Client(address, timeout=1.0) as client:
        while time.monotonic() < end and server.poll() is None:
            try:
                if client.health():
                    return
            except Exception:
                time.sleep(0.1)
    server.kill()
    pytest.fail(f"the server did not start: {server.communicate()[1]}")
