"""A server's life: ready, losing an engine, draining, and failing to start."""

import asyncio
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.service.calls import code, image, nth, until
from tianzi.v1 import cloze_pb2, ocr_pb2, ocr_pb2_grpc
from tianzi_models.errors import BundleError
from tianzi_service.lifecycle import server
from tianzi_service.settings import Settings

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
OCR, CLOZE, INFO = "tianzi.v1.OcrService", "tianzi.v1.ClozeService", "tianzi.v1.ServerService"
OTHERS = {"inference.GRPCInferenceService", "grpc.health.v1.Health"}
ROOT = Path(__file__).resolve().parents[2]
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


async def health(running: Any, *services: str) -> list[int]:
    request = health_pb2.HealthCheckRequest
    return [(await running.health.Check(request(service=service))).status for service in services]


async def test_each_service_and_the_whole_are_healthy(serving: Any) -> None:
    async with serving() as running:
        assert await health(running, "", OCR, CLOZE, INFO) == [SERVING] * 4
        unknown = running.health.Check(health_pb2.HealthCheckRequest(service="tianzi.v1.Other"))
        assert await code(unknown) is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("on", [True, False])
async def test_reflection_lists_the_services_unless_it_is_off(serving: Any, on: bool) -> None:
    def services(port: int) -> set[str]:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    async with serving(reflection=on) as running:
        if on:
            assert await asyncio.to_thread(services, running.port) >= {OCR, CLOZE, INFO, *OTHERS}
        else:
            with pytest.raises(grpc.RpcError):
                await asyncio.to_thread(services, running.port)


@pytest.mark.parametrize("death", [b"lost", b"killed"])
async def test_a_lost_engine_is_unavailable_and_unhealthy_and_the_other_goes_on(
    serving: Any, fake_ocr: Any, caplog: pytest.LogCaptureFixture, death: bytes
) -> None:
    async with serving() as running:
        fake_ocr.gate.clear()
        calls = [running.ocr.Recognize(image(death))]
        await until(lambda: fake_ocr.runs)
        calls += [running.ocr.Recognize(image(data)) for data in (b"a", b"b")]
        await until(lambda: len(fake_ocr.checked) == 3)
        fake_ocr.gate.set()
        assert [await code(call) for call in calls] == [UNAVAILABLE] * 3
        assert await code(running.ocr.Recognize(image(b"later"))) is UNAVAILABLE
        assert await health(running, "", OCR, CLOZE, INFO) == [NOT_SERVING, NOT_SERVING, SERVING, SERVING]
        assert await code(running.cloze.Fill(cloze_pb2.FillRequest(text="字"))) is grpc.StatusCode.OK
    assert "ocr: engine lost" in caplog.text
    assert "later" not in fake_ocr.ran


async def test_draining_answers_what_is_under_way(serving: Any, fake_ocr: Any) -> None:
    async with serving(drain_s=0.3, grace_s=10) as running:
        fake_ocr.gate.clear()
        call = running.ocr.Recognize(image(b"abc"))
        await until(lambda: fake_ocr.runs)
        stopping = asyncio.create_task(running.server.stop())
        await asyncio.sleep(0.05)
        assert await health(running, "", OCR, CLOZE, INFO) == [NOT_SERVING] * 4
        still = running.ocr.Recognize(image(b"d"))  # while load balancers look elsewhere
        await until(lambda: len(fake_ocr.checked) == 2)
        await asyncio.sleep(0.4)
        assert await code(running.ocr.Recognize(image(b"late"))) is UNAVAILABLE
        assert not stopping.done()
        fake_ocr.gate.set()
        assert (await call).candidates[0].text == nth(3)
        assert (await still).candidates
        await stopping


async def test_what_outlasts_the_grace_is_unavailable(serving: Any, fake_ocr: Any) -> None:
    async with serving(grace_s=0.1) as running:
        fake_ocr.gate.clear()
        calls = [running.ocr.Recognize(image(data)) for data in (b"a", b"b", b"c")]
        stream = running.ocr.StreamRecognize()
        await stream.write(ocr_pb2.StreamRecognizeRequest(request=image(b"d")))
        await until(lambda: len(fake_ocr.checked) == 4)
        stopping = asyncio.create_task(running.server.stop())
        assert [await code(call) for call in (*calls, stream.read())] == [UNAVAILABLE] * 4
        fake_ocr.gate.set()
        await stopping


async def test_an_old_connection_is_given_up_and_no_call_ends_for_it(serving: Any) -> None:
    async with serving(connection_age_s=0.2) as running:
        stream = running.ocr.StreamRecognize()
        for size in (1, 2):
            await stream.write(ocr_pb2.StreamRecognizeRequest(request=image(b"x" * size)))
            assert (await stream.read()).ok.candidates[0].text == nth(size)
            if size == 1:
                await running.channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        assert (await running.ocr.Recognize(image(b"abc"))).candidates[0].text == nth(3)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


async def test_a_stopped_server_leaves_no_thread(serving: Any) -> None:
    async with serving() as running:
        await running.ocr.Recognize(image(b"a"))
        names = {thread.name.partition("_")[0] for thread in threading.enumerate()}
        assert names >= {"ocr", "preprocess"}
    names = {thread.name.partition("_")[0] for thread in threading.enumerate()}
    assert not names & {"ocr", "cloze", "preprocess"}


# --- serve(), in a process of its own ---------------------------------------------------------------

SERVE = """
import asyncio, time
from tianzi_service.lifecycle import server
from tianzi_service.settings import Settings
from tests.fakes import FakeCloze, FakeOcr

class SlowOcr(FakeOcr):
    def run(self, items):
        time.sleep(0.8)
        return super().run(items)

models = {"ocr": SlowOcr(), "cloze": FakeCloze()}
server.load_model = lambda name, *args, **kwargs: models[name]
settings = Settings(port=0, drain_s=0.2, grace_s=10, log_format="json")
asyncio.run(server.serve(settings, lambda port: print(port, flush=True)))
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that serves a slow OCR, and has printed its port unless it failed."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_the_process_ends_well(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        checks = health_pb2_grpc.HealthStub(channel)
        assert checks.Check(health_pb2.HealthCheckRequest()).status == SERVING
        call = ocr_pb2_grpc.OcrServiceStub(channel).Recognize.future(image(b"abc"), timeout=10)
        with pytest.raises(grpc.FutureTimeoutError):
            call.result(timeout=0.3)
        process.send_signal(number)
        assert call.result().candidates[0].text == nth(3)
    _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert {line["level"] for line in lines} == {"info"}
    messages = [line["message"] for line in lines]
    assert messages[0].startswith('settings {"host":"127.0.0.1"')
    assert re.fullmatch(
        r"ready on 127.0.0.1:\d+ after \d\.\d s: ocr 7 on FakeProvider, cloze 7 on FakeProvider", messages[1]
    )
    assert messages[-1] == "stopped"


def test_a_second_interrupt_does_not_wait_for_open_calls(process: subprocess.Popen[str]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        asked = queue.Queue[ocr_pb2.StreamRecognizeRequest | None]()
        asked.put(ocr_pb2.StreamRecognizeRequest(id="1"))
        stream = ocr_pb2_grpc.OcrServiceStub(channel).StreamRecognize(iter(asked.get, None))
        assert next(stream).id == "1"
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(timeout=5)
        asked.put(None)


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """serve() leaves pytest's logging alone."""
    monkeypatch.setattr(server.logs, "configure", lambda *_: None)


def test_a_port_in_use_is_told_before_a_model_is_loaded(quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "load_model", lambda *_, **__: pytest.fail("loaded"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"^cannot listen on 127\.0\.0\.1:{port}: Address already in use$"):
            asyncio.run(server.serve(Settings(port=port)))


async def test_two_servers_do_not_share_a_port(serving: Any) -> None:
    async with serving() as running:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{running.port}: Address already in use"):
            async with serving(port=running.port):
                pass


def test_an_address_that_is_not_ours_is_told(quiet: None) -> None:
    with pytest.raises(OSError, match=r"^cannot listen on 203\.0\.113\.1:0: Cannot assign requested address$"):
        asyncio.run(server.serve(Settings(host="203.0.113.1", port=0)))


def test_a_bundle_that_cannot_be_served_ends_the_start(quiet: None, tmp_path: Path) -> None:
    (tmp_path / "ocr" / "1").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"ocr/1/bundle\.json: missing"):
        asyncio.run(server.serve(Settings(port=0, bundle_root=tmp_path)))
