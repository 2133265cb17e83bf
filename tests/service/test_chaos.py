"""A signal under load, and callers that stop reading: no call that was taken in is lost, and nobody else waits."""

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.service.calls import image, until
from tianzi.v1 import ocr_pb2, ocr_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]

SERVE = """
import asyncio, time
from tianzi_service.lifecycle import server
from tianzi_service.settings import Settings
from tests.fakes import FakeCloze, FakeOcr

class SlowOcr(FakeOcr):
    def run(self, items):
        time.sleep(0.02)
        print(*self.payloads(items), sep="\\n", flush=True)
        return super().run(items)

    def payloads(self, items):
        return [self.payload(item) for item in items]

models = {"ocr": SlowOcr(), "cloze": FakeCloze()}
server.load_model = lambda name, *args, **kwargs: models[name]
settings = Settings(port=0, drain_s=0.5, grace_s=20, batch_rows=4, log_level="warning")
asyncio.run(server.serve(settings, lambda port: print(port, flush=True)))
"""


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """A process that serves an OCR of 200 rows a second, and prints its port and then each row that it runs."""
    command = [sys.executable, "-c", SERVE]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


async def test_a_signal_under_load_loses_no_call_that_was_taken_in(process: subprocess.Popen[str]) -> None:
    answered: list[str] = []
    failures: Counter[grpc.StatusCode] = Counter()
    assert process.stdout is not None
    address = f"127.0.0.1:{int(await asyncio.to_thread(process.stdout.readline))}"

    async def caller(number: int, stub: Any) -> None:
        """Asks again and again, without retries, until the server is gone."""
        for call in range(10_000):
            name = f"{number}.{call}"
            try:
                await stub.Recognize(image(name.encode()))
                answered.append(name)
            except grpc.aio.AioRpcError as error:
                failures[error.code()] += 1
                return

    async with grpc.aio.insecure_channel(address, [("grpc.enable_retries", 0)]) as channel:
        stub = ocr_pb2_grpc.OcrServiceStub(channel)
        callers = [asyncio.create_task(caller(number, stub)) for number in range(24)]
        await until(lambda: len(answered) > 100)
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*callers)
    ran = (await asyncio.to_thread(process.stdout.read)).split()
    assert await asyncio.to_thread(process.wait, 20) == 0
    assert sorted(ran) == sorted(answered), "each row that ran was answered, once"
    assert set(failures) == {grpc.StatusCode.UNAVAILABLE}, "the others were not taken in"


async def test_a_reader_that_stops_holds_up_nobody_else(serving: Any, fake_ocr: Any) -> None:
    items = [ocr_pb2.StreamRecognizeRequest(id="x" * 60_000, request=image(b"a", top_k=20)) for _ in range(300)]
    async with serving(stream_rows=8) as running:
        lazy = [running.ocr.StreamRecognize(iter(items)) for _ in range(4)]
        for stream in lazy:
            await stream.read()  # and no more: the server's answers fill the connection's window
        await asyncio.sleep(0.3)
        begun = len(fake_ocr.checked)
        assert begun < 4 * 300, "what nobody reads is not worked on"
        async with grpc.aio.insecure_channel(
            f"127.0.0.1:{running.port}", [("grpc.use_local_subchannel_pool", 1)]
        ) as other:
            stub = ocr_pb2_grpc.OcrServiceStub(other)
            assert all([(await stub.Recognize(image(b"b"))).candidates for _ in range(20)])
        rest = 0
        while await lazy[0].read() is not grpc.aio.EOF:
            rest += 1
        assert rest == 299, "it may read on later"
        for stream in lazy[1:]:
            stream.cancel()
