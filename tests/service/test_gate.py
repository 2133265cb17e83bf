"""Single calls that are asked about before they are read: who is refused so, and that the others notice nothing."""

from typing import Any

import grpc
import pytest
from grpc_status import rpc_status

from tests.fakes import FakeOcr
from tests.service.calls import code, failure, image, nth, until
from tests.service.test_auth import Calls, bearer
from tests.service.test_observer import Notes
from tianzi.v1 import cloze_pb2, ocr_pb2
from tianzi_service.rpc.errors import RETRY_MS
from tianzi_service.scheduling.batcher import Batcher
from tianzi_service.scheduling.wait_estimate import Outlook

RECOGNIZE = "/tianzi.v1.OcrService/Recognize"


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outlook, "is_narrow", lambda _: True)


async def test_a_call_is_refused_before_its_request_is_there(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    notes = Notes()
    async with serving(notes, queue_rows=2) as running:
        taken = [running.ocr.Recognize(image(b"x" * n)) for n in (1, 2)]
        await until(lambda: len(fake_ocr.checked) == 2)
        silent = running.channel.stream_stream(RECOGNIZE)(metadata=(("x-request-id", "mine"),))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await silent.read()
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "model ocr: 2 rows under way, at most 2"
        trailing = dict(caught.value.trailing_metadata() or ())
        assert (trailing["x-request-id"], trailing["grpc-retry-pushback-ms"]) == ("mine", str(RETRY_MS))
        assert len(rpc_status.from_call(caught.value).details) == 3  # type: ignore[arg-type] # it takes aio's as well
        assert await code(running.cloze.Fill(cloze_pb2.FillRequest(text="字"))) is grpc.StatusCode.OK
        fake_ocr.gate.set()
        assert [await code(call) for call in taken] == [grpc.StatusCode.OK] * 2
        assert await code(running.ocr.Recognize(image(b"x"))) is grpc.StatusCode.OK
    assert notes.drops == {"full": 1}


async def test_a_call_without_time_is_refused_one_with_time_is_not(
    serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_ocr.gate.clear()
    notes = Notes()
    async with serving(notes) as running:
        taken = [running.ocr.Recognize(image(b"x" * n)) for n in (1, 2)]
        await until(lambda: len(fake_ocr.checked) == 2)
        monkeypatch.setattr(Batcher, "expected_s", lambda *_: 10.0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.channel.stream_stream(RECOGNIZE)(timeout=14).read()
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "about 10.000 s until its answer" in (caught.value.details() or "")
        patient = [running.ocr.Recognize(image(b"abc"), timeout=16), running.ocr.Recognize(image(b"abc"))]
        await until(lambda: len(fake_ocr.checked) == 4)
        fake_ocr.gate.set()
        assert [(await call).candidates[0].text for call in patient] == [nth(3)] * 2
        assert [await code(call) for call in taken] == [grpc.StatusCode.OK] * 2
    assert notes.drops == {"hopeless": 1}


@pytest.mark.usefixtures("narrow")
async def test_what_is_not_refused_is_answered_as_ever(serving: Any, fake_ocr: Any) -> None:
    calls = Calls()
    async with serving(calls, max_message_bytes=1000) as running:
        call = running.ocr.Recognize(image(b"abc"), metadata=(("x-request-id", "mine"),))
        assert (await call).candidates[0].text == nth(3)
        assert dict(await call.trailing_metadata())["x-request-id"] == "mine"
        empty = await failure(running.ocr.Recognize(image(b"")))
        assert (empty.code(), empty.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "image: empty")
        garbage = await failure(running.channel.unary_unary(RECOGNIZE)(b"\xff" * 100))
        assert garbage.details() == "request: is no message of this method's type"
        assert await code(running.ocr.Recognize(image(b"poison"))) is grpc.StatusCode.INTERNAL
        assert await code(running.ocr.Recognize(image(b"x" * 1000))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        unknown = ocr_pb2.RecognizeRequest(image=b"a", model_version=99)
        assert await code(running.ocr.Recognize(unknown)) is grpc.StatusCode.NOT_FOUND
        await until(lambda: len(calls.ended) == 6)
    codes = ["OK", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "INTERNAL", "CANCELLED", "NOT_FOUND"]
    assert calls.ended == [(RECOGNIZE, code) for code in codes]


@pytest.mark.usefixtures("narrow")
async def test_a_caller_that_leaves_takes_its_row_along(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving() as running:
        admission = running.server.served["ocr"].admission
        calls = [running.ocr.Recognize(image(b"first"))]
        await until(lambda: fake_ocr.runs)
        calls += [running.ocr.Recognize(image(data)) for data in (b"gone", b"next")]
        await until(lambda: len(fake_ocr.checked) == 3)
        calls.pop(1).cancel()
        await until(lambda: admission.rows == 2)
        fake_ocr.gate.set()
        assert [await code(call) for call in calls] == [grpc.StatusCode.OK] * 2
    assert fake_ocr.ran == ["first", "next"]


@pytest.mark.usefixtures("narrow")
async def test_tokens_come_first(serving: Any, tmp_path: Any) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("correct-horse-battery\n")
    async with serving(token_file=tokens) as running:
        assert await code(running.ocr.Recognize(image(b"a"))) is grpc.StatusCode.UNAUTHENTICATED
        good = running.ocr.Recognize(image(b"a"), metadata=bearer("correct-horse-battery"))
        assert await code(good) is grpc.StatusCode.OK


@pytest.mark.usefixtures("narrow")
async def test_of_several_versions_none_is_asked_about_first(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Outlook, "require", lambda *_: pytest.fail("asked before it was read"))
    async with serving() as running:
        running.server.served["ocr"].add(FakeOcr(8))
        reply = await running.ocr.Recognize(ocr_pb2.RecognizeRequest(image=b"a", model_version=7))
        assert reply.model_version == 7
