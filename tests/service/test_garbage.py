"""Peers that do not speak gRPC, or break off in the middle: they harm nobody but themselves."""

import asyncio
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeCloze, FakeOcr
from tests.limits import with_room
from tests.service.calls import image, nth
from tianzi import Client
from tianzi_service.lifecycle.server import build_server
from tianzi_service.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, body: bytes = b"", length: int | None = None) -> bytes:
    """An HTTP/2 frame; length: what it says of itself, where that is not true."""
    size = len(body) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def literal(name: bytes, value: bytes) -> bytes:
    """A header without compression (RFC 7541 §6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call(stream: int, path: bytes = b"/tianzi.v1.OcrService/Recognize") -> bytes:
    """The headers of a gRPC call."""
    pairs = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", path), (b":authority", b"x")]
    pairs += [(b"te", b"trailers"), (b"content-type", b"application/grpc")]
    return frame(HEADERS, END_HEADERS, stream, b"".join(literal(*pair) for pair in pairs))


HELLO = PREFACE + frame(SETTINGS, 0, 0)
GARBAGE = {
    "nothing at all": b"",
    "noise": bytes(range(256)) * 40,
    "HTTP/1.1": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "TLS to a server without": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "half a preface": PREFACE[:10],
    "a frame of no kind": HELLO + frame(77, 0, 0, b"x" * 100),
    "a frame longer than allowed": HELLO + frame(DATA, 0, 1, b"x", length=2**24 - 1),
    "data before headers": HELLO + frame(DATA, 0, 1, b"x"),
    "headers that are no headers": HELLO + frame(HEADERS, END_HEADERS, 1, b"\xff" * 200),
    "a continuation of nothing": HELLO + frame(CONTINUATION, END_HEADERS, 1, b"x"),
    "a message that says it is 4 GiB": HELLO + call(1) + frame(DATA, 0, 1, b"\0\xff\xff\xff\xff" + b"x" * 100),
    "a message of an unknown compression": HELLO + call(1) + frame(DATA, END_STREAM, 1, b"\1\0\0\0\3abc"),
    "a message that breaks off": HELLO + call(1) + frame(DATA, END_STREAM, 1, b"\0\0\0\0\x40abc"),
    "a call of no method": HELLO + call(1, b"no slash at all") + frame(DATA, END_STREAM, 1, b"\0\0\0\0\0"),
    "a window of nothing": HELLO + call(1) + frame(WINDOW, 0, 1, bytes(4)),
    "pings without end": HELLO + frame(PING, 0, 0, bytes(8)) * 2000,
    "calls taken back at once": HELLO + b"".join(
        call(n) + frame(RESET, 0, n, struct.pack(">I", 8)) for n in range(1, 1001, 2)
    ),
}  # fmt: skip


async def throw(port: int, data: bytes) -> None:
    """Sends data, reads what comes until nothing more does, and hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        await asyncio.wait_for(writer.drain(), 5)
        while await asyncio.wait_for(reader.read(65536), 0.1):
            pass
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()


async def test_garbage_frames_harm_nobody(serving: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as running:
        await asyncio.gather(*(throw(running.port, data) for data in GARBAGE.values()))
        assert (await running.ocr.Recognize(image(b"abc"))).candidates[0].text == nth(3)
        # A message that is whole but of another type is told so, on a connection that goes on.
        wrong = running.channel.unary_unary("/tianzi.v1.OcrService/Recognize")(b"\xff\xff")
        with pytest.raises(grpc.aio.AioRpcError, match="no message of this method's type"):
            await wrong
    assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.builds(
            frame,
            st.integers(0, 10),
            st.integers(0, 255),
            st.integers(0, 5),
            st.binary(max_size=40),
            st.none() | st.integers(0, 2**24 - 1),
        )
        | st.just(call(1)),
        max_size=8,
    )
)
def test_any_frames_harm_nobody(frames: list[bytes]) -> None:
    port, client = _fuzzed()
    asyncio.run(throw(port, HELLO + b"".join(frames)))
    assert client.recognize(b"ab").text == nth(2)


_shared: dict[str, Any] = {}


@pytest.fixture(autouse=True, scope="module")
def _end_shared() -> Any:
    yield
    if _shared:
        _shared["client"].close()
        _shared["loop"].call_soon_threadsafe(_shared["stop"].set)
        _shared["thread"].join()


def _fuzzed() -> tuple[int, Client]:
    """One server for all examples, which a fixture of a function could not give."""
    if not _shared:
        ready = threading.Event()

        async def run() -> None:
            server = build_server(
                {"ocr": FakeOcr(), "cloze": FakeCloze()}, Settings(port=0, threads=1, drain_s=0, grace_s=0)
            )
            port, stop = await server.start(), asyncio.Event()
            _shared.update(port=port, stop=stop, loop=asyncio.get_running_loop(), client=Client(f"127.0.0.1:{port}"))
            ready.set()
            await stop.wait()
            await server.stop()

        _shared["thread"] = threading.Thread(target=asyncio.run, args=(run(),))
        _shared["thread"].start()
        assert ready.wait(20)
    return _shared["port"], _shared["client"]


# --- a disk without room ------------------------------------------------------------------------------


def test_a_server_whose_disk_is_full_serves(tmp_path: Path) -> None:
    """Neither the temporary folder nor any other file is written to: the real models load and answer."""
    command = [sys.executable, "-m", "tianzi_service", "serve", "--port", "0", "--drain-s", "0", "--log-format", "json"]
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path),
        "PYTHONPATH": ":".join(str(ROOT / root) for root in ("proto", "models", "service")),
    }
    with subprocess.Popen(
        with_room(0, command), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready on" in line:
                break
        try:
            assert lines[-1:], "the server ended"
            assert "ready on 127.0.0.1:" in lines[-1], lines
            port = lines[-1].split("127.0.0.1:")[1].split()[0]
            with Client(f"127.0.0.1:{port}") as client:
                assert client.recognize(ROOT / "examples/zi.png").text == "字"
                assert client.fill("小猫钓鱼，____很高兴。").text == "小猫钓鱼，小猫很高兴。"
        finally:
            process.terminate()
            process.communicate(timeout=20)
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
