"""Bearer tokens: which calls need one, what is refused with which code, and that the file is followed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_status import rpc_status

import tianzi
from tests.service.calls import code, failure, image, nth
from tianzi import AsyncClient
from tianzi.v1 import ocr_pb2, server_pb2
from tianzi_service.rpc.auth import Tokens
from tianzi_service.rpc.errors import PermissionDenied, Unauthenticated
from tianzi_service.telemetry.observer import Metadata, Observer

GOOD, OTHER = "correct-horse-battery", "staple-of-a-good-length"
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# of the plate reader\n{GOOD}\n\n  {OTHER}  \n")
    return path


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def test_every_call_needs_a_token_but_health(serving: Any, file: Path) -> None:
    async with serving(token_file=file) as running:
        assert (await running.health.Check(health_pb2.HealthCheckRequest())).status == 1
        for token in (GOOD, OTHER):
            answer = await running.ocr.Recognize(image(b"abc"), metadata=bearer(token))
            assert answer.candidates[0].text == nth(3)
        refused = await failure(running.ocr.Recognize(image(b"abc")))
        assert refused.code() is UNAUTHENTICATED
        assert refused.details() == "authorization: missing, must be Bearer and a token"
        assert dict(refused.trailing_metadata() or ())["x-request-id"]
        assert await code(running.info.GetInfo(server_pb2.GetInfoRequest())) is UNAUTHENTICATED
        wrong = await failure(running.ocr.Recognize(image(b"abc"), metadata=bearer("wrong-horse-battery")))
        assert (wrong.code(), wrong.details()) == (DENIED, "authorization: the token is not valid here")
        basic = running.ocr.Recognize(image(b"abc"), metadata=(("authorization", f"Basic {GOOD}"),))
        assert await code(basic) is UNAUTHENTICATED


class Calls(Observer):
    """Writes down which calls began, and how they ended."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[tuple[str, str]] = []

    def call_began(self, method: str, metadata: Metadata) -> None:
        self.began.append(method)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        self.ended.append((method, code))


async def test_refused_calls_are_watched_and_carry_their_id(serving: Any, file: Path) -> None:
    calls = Calls()
    async with serving(calls, token_file=file) as running:
        await running.health.Check(health_pb2.HealthCheckRequest())
        refused = await failure(running.ocr.Recognize(image(b"abc"), metadata=(("x-request-id", "mine"),)))
        assert dict(refused.trailing_metadata() or ())["x-request-id"] == "mine"
        assert rpc_status.from_call(refused).details  # type: ignore[arg-type] # it takes aio's errors as well
        await failure(running.ocr.Recognize(image(b"abc"), metadata=bearer("wrong-horse-battery")))
        await code(running.channel.unary_unary("/tianzi.v1.OcrService/Nothing")(b""))
    method = "/tianzi.v1.OcrService/Recognize"
    assert calls.began == [method] * 2
    assert calls.ended == [(method, "UNAUTHENTICATED"), (method, "PERMISSION_DENIED")]


async def never() -> AsyncIterator[ocr_pb2.StreamRecognizeRequest]:
    await asyncio.Event().wait()
    yield ocr_pb2.StreamRecognizeRequest()


async def test_a_stream_and_reflection_are_refused_before_they_are_read(serving: Any, file: Path) -> None:
    async with serving(token_file=file) as running:
        # A caller that waits with its first item: one sent into a stream that has just ended is INTERNAL to grpc.aio,
        # whatever the stream ended with.
        stream = running.ocr.StreamRecognize(never())
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in stream:
                pass
        assert caught.value.code() is UNAUTHENTICATED
        reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        assert await code(running.channel.unary_unary(reflection)(b"")) is UNAUTHENTICATED
        garbage = running.channel.unary_unary("/tianzi.v1.OcrService/Recognize")(b"\xff" * 1000)
        assert await code(garbage) is UNAUTHENTICATED
        nothing = running.channel.unary_unary("/tianzi.v1.OcrService/Nothing")(b"")
        assert await code(nothing) is grpc.StatusCode.UNIMPLEMENTED


async def test_the_client_brings_its_token_on_every_call(serving: Any, file: Path, fake_ocr: Any) -> None:
    async with serving(token_file=file) as running:
        address = f"127.0.0.1:{running.port}"
        async with AsyncClient(address, token=GOOD) as client:
            assert (await client.recognize(b"abc")).text == nth(3)
            results = [result async for result in client.recognize_many([b"a", b"bb"])]
            assert [getattr(result, "text", result) for result in results] == [nth(1), nth(2)]
        seen = len(fake_ocr.checked)
        async with AsyncClient(address) as client:
            with pytest.raises(tianzi.Unauthenticated, match="missing"):
                await client.recognize(b"abc")
            with pytest.raises(tianzi.Unauthenticated):
                [result async for result in client.recognize_many([b"a"] * 100)]
            assert await client.health()
        assert len(fake_ocr.checked) == seen


def test_tokens_follow_their_file(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    tokens = Tokens(file)
    tokens.check(f"Bearer {GOOD}")
    tokens.check(f"bearer   {GOOD}")
    file.write_text(f"{OTHER}\n")
    tokens.check(f"Bearer {OTHER}")
    with pytest.raises(PermissionDenied):
        tokens.check(f"Bearer {GOOD}")
    file.write_text("short\n")
    tokens.check(f"Bearer {OTHER}")
    assert "tokens, line 1: 5 characters, must be at least 16, without spaces" in caplog.text
    file.unlink()
    tokens.check(f"Bearer {OTHER}")
    file.write_text("")
    with pytest.raises(PermissionDenied):  # all are revoked
        tokens.check(f"Bearer {OTHER}")
    assert GOOD not in caplog.text
    assert OTHER not in caplog.text


@pytest.mark.parametrize("given", [None, "", "Bearer", GOOD, "Token x", f"Basic {GOOD}"])
def test_what_is_no_bearer_token_is_unauthenticated(file: Path, given: str | None) -> None:
    with pytest.raises(Unauthenticated):
        Tokens(file).check(given)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"fine-and-long-enough\nshort", "line 2: 5 characters"),
        (b"two words that are long", "spaces"),
        (b"\xff", "not ASCII"),
    ],
)
def test_a_malformed_file_ends_the_start(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(content)
    with pytest.raises(OSError, match=complaint):
        Tokens(path)
    with pytest.raises(FileNotFoundError):
        Tokens(tmp_path / "gone")
