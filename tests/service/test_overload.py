"""Callers that are too many, leave, or have no time: what they get, and that their neighbours notice nothing."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from tests.service.calls import code, failure, image, until
from tests.service.test_observer import Notes
from tianzi.v1 import cloze_pb2, ocr_pb2
from tianzi_service.rpc.errors import RETRY_MS
from tianzi_service.rpc.transport import channel_options
from tianzi_service.scheduling.batcher import Batcher


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving(queue_rows=3) as running:
        taken = [running.ocr.Recognize(image(b"x" * n)) for n in (1, 2, 3)]
        await until(lambda: len(fake_ocr.checked) == 3)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await running.ocr.Recognize(image(b"late"))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert caught.value.details() == "model ocr: 3 rows under way, at most 3"
        assert dict(caught.value.trailing_metadata() or ())["grpc-retry-pushback-ms"] == str(RETRY_MS)
        batch = ocr_pb2.BatchRecognizeRequest(requests=[image(b"late")])
        assert await code(running.ocr.BatchRecognize(batch)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        fake_ocr.gate.set()
        assert [await code(call) for call in taken] == [grpc.StatusCode.OK] * 3
        assert await code(running.ocr.Recognize(image(b"x"))) is grpc.StatusCode.OK
    assert "late" not in fake_ocr.ran


async def test_a_full_queue_of_one_model_leaves_the_other_alone(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving(queue_rows=1) as running:
        taken = running.ocr.Recognize(image(b"a"))
        await until(lambda: fake_ocr.checked)
        assert await code(running.cloze.Fill(cloze_pb2.FillRequest(text="字"))) is grpc.StatusCode.OK
        fake_ocr.gate.set()
        assert await code(taken) is grpc.StatusCode.OK


async def test_a_stream_waits_where_others_are_refused(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving(queue_rows=4, stream_rows=8) as running:
        items = [ocr_pb2.StreamRecognizeRequest(id=str(n), request=image(b"x" * n)) for n in range(1, 7)]
        stream = running.ocr.StreamRecognize(iter(items))
        await until(lambda: len(fake_ocr.checked) == 2)
        others = [running.ocr.Recognize(image(b"a")) for _ in range(2)]  # a stream takes half of the queue only
        await until(lambda: len(fake_ocr.checked) == 4)
        assert await code(running.ocr.Recognize(image(b"late"))) is grpc.StatusCode.RESOURCE_EXHAUSTED
        fake_ocr.gate.set()
        assert [await code(call) for call in others] == [grpc.StatusCode.OK] * 2
        assert sorted([reply.id async for reply in stream if reply.HasField("ok")]) == list("123456")


async def test_a_stream_is_not_read_beyond_its_window(
    serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # gRPC widens its own window while it measures the connection, on a fast one beyond all that is sent here.
    fixed = ("grpc.http2.bdp_probe", 0)
    monkeypatch.setattr(
        "tianzi_service.rpc.transport.channel_options", lambda *given: [*channel_options(*given), fixed]
    )
    sent = []

    async def requests() -> AsyncIterator[ocr_pb2.StreamRecognizeRequest]:
        for n in range(200):
            sent.append(n)
            yield ocr_pb2.StreamRecognizeRequest(id=str(n), request=image(b"x" * 50_000))

    fake_ocr.gate.clear()
    async with serving(stream_rows=4) as running:
        stream = running.ocr.StreamRecognize(requests())
        await until(lambda: len(fake_ocr.checked) == 4)
        await asyncio.sleep(0.3)
        assert len(fake_ocr.checked) == 4
        assert len(sent) < 20, "flow control holds the sender"
        fake_ocr.gate.set()
        assert len([reply async for reply in stream]) == 200


async def test_cancelling_one_of_several_batched_calls(
    serving: Any, fake_ocr: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tianzi_service")
    fake_ocr.gate.clear()
    async with serving() as running:
        calls = [running.ocr.Recognize(image(b"first"))]
        await until(lambda: fake_ocr.runs)
        calls += [running.ocr.Recognize(image(data)) for data in (b"a", b"gone", b"b", b"c")]
        await until(lambda: len(fake_ocr.checked) == 5)
        calls[2].cancel()
        await until(lambda: "CANCELLED" in caplog.text)
        fake_ocr.gate.set()
        del calls[2]
        assert [await code(call) for call in calls] == [grpc.StatusCode.OK] * 4
    assert sorted(fake_ocr.ran) == ["a", "b", "c", "first"]


async def test_a_call_that_would_have_hardly_enough_time_is_refused_at_once(
    serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Batcher, "expected_s", lambda *_: 10.0)
    notes = Notes()
    async with serving(notes) as running:
        refused = await failure(running.ocr.Recognize(image(b"hurried"), timeout=14))
        assert refused.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "about 10.000 s until its answer" in (refused.details() or "")
        assert await code(running.ocr.Recognize(image(b"patient"), timeout=16)) is grpc.StatusCode.OK
        assert await code(running.ocr.Recognize(image(b"endless"))) is grpc.StatusCode.OK
    assert fake_ocr.checked == ["patient", "endless"]
    assert notes.drops == {"hopeless": 1}


async def test_a_call_whose_deadline_passes_in_the_queue_never_runs(
    serving: Any, fake_ocr: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tianzi_service")
    fake_ocr.gate.clear()
    async with serving(queue_rows=3) as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        batch = ocr_pb2.BatchRecognizeRequest(requests=[image(b"late")] * 2)
        hurried = running.ocr.BatchRecognize(batch, timeout=0.2)
        assert await code(hurried) is grpc.StatusCode.DEADLINE_EXCEEDED
        await until(lambda: "CANCELLED" in caplog.text)
        others = [running.ocr.Recognize(image(data)) for data in (b"a", b"b")]  # there is room again
        await until(lambda: len(fake_ocr.checked) == 5)
        fake_ocr.gate.set()
        assert [await code(call) for call in (first, *others)] == [grpc.StatusCode.OK] * 3
    assert sorted(fake_ocr.ran) == ["a", "b", "first"]


async def test_cancelling_a_stream_cancels_its_rows(
    serving: Any, fake_ocr: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tianzi_service")
    fake_ocr.gate.clear()
    async with serving() as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        stream = running.ocr.StreamRecognize()
        for _ in range(5):
            await stream.write(ocr_pb2.StreamRecognizeRequest(request=image(b"gone")))
        await until(lambda: len(fake_ocr.checked) == 6)
        stream.cancel()
        await until(lambda: "CANCELLED" in caplog.text)
        fake_ocr.gate.set()
        assert await code(first) is grpc.StatusCode.OK
        assert await code(running.ocr.Recognize(image(b"next"))) is grpc.StatusCode.OK
    assert fake_ocr.ran == ["first", "next"]


async def test_half_of_the_callers_leaving_at_any_time_costs_the_others_nothing(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream(running: Any, leaves: bool) -> int:
        items = (ocr_pb2.StreamRecognizeRequest(id=str(n), request=image(b"x" * 100)) for n in range(60))
        call, replies = running.ocr.StreamRecognize(items), 0
        async for _ in call:
            replies += 1
            if leaves and replies == 5:
                call.cancel()
                return -1
        return replies

    async def unary(running: Any, leaves: bool, number: int) -> int:
        call = running.ocr.Recognize(image(b"x" * 100))
        if leaves:
            await asyncio.sleep(number / 10_000)
            call.cancel()
            return -1
        return len((await call).candidates)

    async with serving(batch_rows=4) as running:
        streams = [stream(running, n % 2 == 0) for n in range(10)]
        unaries = [unary(running, n % 2 == 0, n) for n in range(100)]
        got = await asyncio.gather(*streams, *unaries)
    assert got == [-1, 60] * 5 + [-1, 1] * 50
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_an_answer_over_the_message_limit_ends_its_call_alone(
    serving: Any, caplog: pytest.LogCaptureFixture
) -> None:
    big = cloze_pb2.FillRequest(text="字", candidates=["x" * 80] * 10)  # comes back with numbers, so it is longer
    small = cloze_pb2.FillRequest(text="字")

    async def stream(running: Any) -> None:
        items = [cloze_pb2.StreamFillRequest(request=request) for request in (small, big, small)]
        async for _ in running.cloze.StreamFill(iter(items)):
            pass

    async with serving(max_message_bytes=1000) as running:
        assert await code(running.cloze.Fill(big)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await code(stream(running)) is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await code(running.cloze.Fill(small)) is grpc.StatusCode.OK
    assert "internal error" not in caplog.text
