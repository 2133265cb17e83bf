"""Servers that restart, are full, are several, or answer too late; and streams without end."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

import tianzi
from tests.fakes import FakeCloze, FakeOcr
from tests.service.calls import nth, until
from tianzi import AsyncClient, Client
from tianzi.v1 import ocr_pb2, ocr_pb2_grpc
from tianzi_service.lifecycle.server import build_server
from tianzi_service.settings import Settings

Serving = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
AWAY_S = 2.0
"""Longer than gRPC's own retries last."""
ANSWER = ocr_pb2.RecognizeResponse(candidates=[ocr_pb2.CharacterCandidate(text=nth(1), confidence=1)])


@asynccontextmanager
async def ocr_server(recognize: Any, stream: Any = None) -> AsyncIterator[int]:
    """The port of a server with these handlers of its own. It stops at once."""

    class Servicer(ocr_pb2_grpc.OcrServiceServicer):
        async def Recognize(self, request: Any, context: Any) -> Any:  # noqa: N802
            return await recognize(request, context)

        async def StreamRecognize(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
            async for reply in stream(requests, context):
                yield reply

    server = grpc.aio.server()
    ocr_pb2_grpc.add_OcrServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def sizes(count: int) -> list[int]:
    return [n * 37 % 101 + 1 for n in range(count)]


async def ask_sync(port: int, source: Iterator[bytes], **options: Any) -> list[Any]:
    def ask() -> list[Any]:
        with Client(f"127.0.0.1:{port}", **options) as client:
            return list(client.recognize_many(source, window=16))

    return await asyncio.to_thread(ask)


async def ask_async(port: int, source: Iterator[bytes], **options: Any) -> list[Any]:
    async def ask() -> list[Any]:
        async with AsyncClient(f"127.0.0.1:{port}", **options) as client:
            return [result async for result in client.recognize_many(source, window=16)]

    return await asyncio.to_thread(asyncio.run, ask())  # a loop of its own, as the source waits for the server's


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
async def test_a_restart_in_the_midst_of_a_stream_loses_and_doubles_nothing(serving: Serving, ask: Any) -> None:
    loop, wanted = asyncio.get_running_loop(), sizes(300)
    milestones = {place: asyncio.Event() for place in (100, 200)}

    def source() -> Iterator[bytes]:
        for place, size in enumerate(wanted):
            if place in milestones:
                loop.call_soon_threadsafe(milestones[place].set)
            yield b"x" * size

    async with serving(grace_s=0) as first:
        port = first.port
        asked = asyncio.create_task(ask(port, source()))
        await milestones[100].wait()
    await asyncio.sleep(AWAY_S)
    async with serving(port=port, grace_s=0):
        await milestones[200].wait()
    async with serving(port=port):
        results = await asked
    assert [result.text for result in results] == [nth(size) for size in wanted]


@pytest.mark.parametrize("ask", [ask_sync, ask_async])
async def test_a_server_that_ends_a_stream_early_and_goes_away_loses_nothing(serving: Serving, ask: Any) -> None:
    asked_alone = asyncio.Event()

    async def stream(requests: AsyncIterator[Any], _: Any) -> AsyncIterator[Any]:
        first = await anext(requests)
        yield ocr_pb2.StreamRecognizeResponse(id=first.id, ok=ANSWER)

    async def recognize(_: Any, context: Any) -> None:
        asked_alone.set()
        await context.abort(grpc.StatusCode.UNAVAILABLE, "stopping")

    async with ocr_server(recognize, stream) as port:
        asked = asyncio.create_task(ask(port, iter([b"x"] * 3)))
        await asked_alone.wait()
    await asyncio.sleep(AWAY_S)
    async with serving(port=port):
        results = await asked
    assert [result.text for result in results] == [nth(1)] * 3


async def test_a_server_that_stays_away_is_given_up_after_the_timeout(serving: Serving) -> None:
    loop, asked_for = asyncio.get_running_loop(), asyncio.Event()

    def source() -> Iterator[bytes]:
        for place in range(5000):
            if place == 100:
                loop.call_soon_threadsafe(asked_for.set)
            yield b"x"

    async with serving(grace_s=0) as running:
        asked = asyncio.create_task(ask_sync(running.port, source(), timeout=0.5))
        await asked_for.wait()
    with pytest.raises(tianzi.Unavailable):
        await asked


async def test_a_lost_engine_ends_a_stream_and_is_no_items_fault(serving: Serving) -> None:
    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}", timeout=0.5) as client:
        results = client.recognize_many([b"a", b"lost", b"b"], window=1)
        assert (await anext(results)).text == nth(1)  # type: ignore[union-attr]
        with pytest.raises(tianzi.Unavailable):
            await anext(results)


async def test_a_call_waits_as_long_as_the_server_says() -> None:
    """Three refusals, each asking for more than the client's own back-off would be."""
    pushback_s, came = 0.4, list[float]()

    async def recognize(request: Any, context: Any) -> ocr_pb2.RecognizeResponse:
        came.append(time.monotonic())
        if len(came) <= 2:
            metadata = (("grpc-retry-pushback-ms", str(round(1000 * pushback_s))),)
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full", metadata)
        return ANSWER

    async with ocr_server(recognize) as port, AsyncClient(f"127.0.0.1:{port}") as client:
        assert (await client.recognize(b"a")).text == nth(1)
    first, second, third = came
    assert min(second - first, third - second) >= 0.95 * pushback_s


@asynccontextmanager
async def replica(port: int = 0) -> AsyncIterator[tuple[Any, int, FakeOcr]]:
    model = FakeOcr()
    settings = Settings(port=port, threads=1, drain_s=0.1, grace_s=10)
    server = build_server({"ocr": model, "cloze": FakeCloze()}, settings)
    port = await server.start()
    try:
        yield server, port, model
    finally:
        await server.stop()


async def test_calls_go_to_all_replicas_in_turn_and_to_those_that_are_left() -> None:
    async with replica() as (_, port, model), replica() as (other, other_port, other_model):
        both = f"ipv4:127.0.0.1:{port},127.0.0.1:{other_port}"
        async with AsyncClient(both) as client:
            await client.health()

            async def reached() -> bool:
                await client.recognize(b"a")
                return bool(model.ran and other_model.ran)

            while not await reached():
                pass
            before = len(model.ran), len(other_model.ran)
            await asyncio.gather(*(client.recognize(b"a") for _ in range(40)))
            assert (len(model.ran) - before[0], len(other_model.ran) - before[1]) == (20, 20)
            await other.stop()
            for _ in range(20):
                assert (await client.recognize(b"bb")).text == nth(2)


async def test_replacing_all_replicas_one_by_one_fails_no_call() -> None:
    """A rolling update: each old one is told to end while calls come in, and its place is taken by a new one."""
    answered, ended = 0, asyncio.Event()

    async def call_on(client: AsyncClient, size: int) -> None:
        nonlocal answered
        while not ended.is_set():
            assert (await client.recognize(b"x" * size)).text == nth(size)
            answered += 1

    async with AsyncExitStack() as stack:
        old = [await stack.enter_async_context(replica()) for _ in range(2)]
        async with AsyncClient("ipv4:" + ",".join(f"127.0.0.1:{port}" for _, port, _ in old)) as client:
            callers = asyncio.gather(*(call_on(client, size) for size in range(1, 9)))
            for server, port, model in old:
                await until(lambda model=model: model.ran or callers.done())
                await server.stop()
                _, _, new = await stack.enter_async_context(replica(port))
                await until(lambda new=new: new.ran or callers.done())
            ended.set()
            await callers
    assert answered > 0


async def test_a_name_is_looked_up(serving: Serving) -> None:
    async with serving() as running, AsyncClient(f"dns:///localhost:{running.port}") as client:
        assert (await client.recognize(b"a")).text == nth(1)


async def test_the_server_knows_the_deadline_and_drops_what_is_late(serving: Serving, fake_ocr: FakeOcr) -> None:
    fake_ocr.gate.clear()
    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}") as patient:
        first = asyncio.create_task(patient.recognize(b"first"))
        await until(lambda: fake_ocr.runs)
        async with AsyncClient(f"127.0.0.1:{running.port}", timeout=0.2) as hurried:
            with pytest.raises(tianzi.DeadlineExceeded):
                await hurried.recognize(b"late")
        second = asyncio.create_task(patient.recognize(b"second"))
        await until(lambda: "second" in fake_ocr.checked)
        fake_ocr.gate.set()
        assert [(await call).text for call in (first, second)] == [nth(5), nth(6)]
    assert fake_ocr.ran == ["first", "second"]


STREAM = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from tianzi import Client

def most_kib(count):
    for _ in client.recognize_many((bytes(40_000) for _ in range(count)), top_k=1):
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

with Client(sys.argv[2]) as client:
    short = most_kib(300)
    print(most_kib(1500) - short)
"""


def test_a_long_stream_takes_no_more_memory_than_a_short_one(address: str) -> None:
    """In a process of its own, for the fake model in this one keeps what it has seen."""
    command = [sys.executable, "-c", STREAM, str(ROOT / "proto"), address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert int(done.stdout) < 20_000, f"1,500 items of 40,000 bytes are 58,000 KiB; {done.stderr}"
