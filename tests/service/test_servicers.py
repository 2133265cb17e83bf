"""The RPCs over a real connection: what goes in, what comes out, and bad input of every kind."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tests.service.calls import failure, image, nth
from tianzi import __version__
from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2
from tianzi_models.errors import InvalidInput

INVALID = grpc.StatusCode.INVALID_ARGUMENT
INTERNAL = grpc.StatusCode.INTERNAL


def bad_field(error: grpc.aio.AioRpcError) -> str:
    status = status_pb2.Status()
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status.MergeFromString(value)
    request = error_details_pb2.BadRequest()
    (detail,) = [d for d in status.details if d.Is(request.DESCRIPTOR)]
    detail.Unpack(request)
    return request.field_violations[0].field


# --- answers ----------------------------------------------------------------------------------------


async def test_recognize_an_encoded_image(serving: Any) -> None:
    async with serving() as running:
        reply = await running.ocr.Recognize(image(b"abc", top_k=2))
    assert [(c.text, c.confidence) for c in reply.candidates] == [(nth(3), 0.5), (nth(4), 0.25)]
    assert (reply.rejected, reply.model_version) == (False, 7)


async def test_recognize_pixels_row_by_row(serving: Any, fake_ocr: Any) -> None:
    async with serving() as running:
        gray = ocr_pb2.GrayImage(width=3, height=2, pixels=b"\xff" * 6)
        reply = await running.ocr.Recognize(ocr_pb2.RecognizeRequest(gray=gray))
    assert reply.rejected
    assert [c.text for c in reply.candidates] == [nth(6 + n) for n in range(5)], "top_k 0 means 5"


async def test_pixels_keep_their_rows(serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(fake_ocr, "preprocess", lambda request: seen.append(request.image.tolist()) or request)
    async with serving() as running:
        gray = ocr_pb2.GrayImage(width=3, height=2, pixels=bytes([1, 2, 3, 4, 5, 6]))
        await running.ocr.Recognize(ocr_pb2.RecognizeRequest(gray=gray))
    assert seen == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (cloze_pb2.FillRequest(text="今天XXXXX"), ["7", "0", "", "5"]),
        (cloze_pb2.FillRequest(text="今天", query_text="天XXXXX", top_k=3), ["2", "6", "", "3"]),
        (cloze_pb2.FillRequest(text="□天", marker="□", candidates=["今", "明"]), ["2", "0", "□", "今", "明", "5"]),
        (
            cloze_pb2.FillRequest(
                tokens=cloze_pb2.Tokens(tokens=["今天", "好", "。"]),
                query_tokens=cloze_pb2.Tokens(tokens=["XXXXX", "好"]),
            ),
            ["3", "2", "", "5"],
        ),
    ],
)
async def test_fill(serving: Any, request_: cloze_pb2.FillRequest, words: list[str]) -> None:
    async with serving() as running:
        reply = await running.cloze.Fill(request_)
    (blank,) = reply.blanks
    assert [c.text for c in blank.candidates] == words
    size = int(words[0])
    assert [(s.start, s.end) for s in blank.candidates[0].positions] == [(size, size + 1)]
    assert (blank.position.start, blank.position.end) == (0, 5)
    assert blank.in_query == (words[1] != "0")
    assert reply.model_version == 7


async def test_info_names_models_and_limits(serving: Any) -> None:
    async with serving(max_batch_items=9) as running:
        info = await running.info.GetInfo(server_pb2.GetInfoRequest())
    assert info.version == __version__
    facts = [(m.name, m.version, m.provider, m.max_top_k, m.vocabulary_size, m.graph_bytes) for m in info.models]
    assert facts == [("ocr", 7, "FakeProvider", 20, 6763, 12345), ("cloze", 7, "FakeProvider", 10, 6763, 12345)]
    limits = {field.name: value for field, value in info.limits.ListFields()}
    assert limits == {
        "max_message_bytes": 16 * 2**20,
        "max_batch_items": 9,
        "max_image_side_px": 4096,
        "max_characters": 20000,
        "max_blanks": 32,
        "max_candidates": 512,
    }


async def test_unknown_fields_do_no_harm(serving: Any) -> None:
    unknown = b"\xfa\x3e\x03new"  # field 1007, of a newer client
    async with serving() as running:
        call = running.channel.unary_unary("/tianzi.v1.OcrService/Recognize")
        reply = await call(image(b"abc").SerializeToString() + unknown)
    assert ocr_pb2.RecognizeResponse.FromString(reply).candidates[0].text == nth(3)


# --- batch and stream -------------------------------------------------------------------------------


async def test_a_batch_keeps_its_order_and_each_item_its_own_error(serving: Any) -> None:
    requests = [image(b"a"), image(b""), image(b"poison"), image(b"abc"), image(b"nan"), ocr_pb2.RecognizeRequest()]
    async with serving() as running:
        reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=requests))
    got = [item.ok.candidates[0].text if item.HasField("ok") else item.error.code for item in reply.items]
    assert got == [nth(1), INVALID.value[0], INTERNAL.value[0], nth(3), INTERNAL.value[0], INVALID.value[0]]
    assert reply.items[1].error.message == "image: empty"


async def test_a_batch_of_texts(serving: Any) -> None:
    requests = [cloze_pb2.FillRequest(text="字" * n) for n in range(3)]
    async with serving() as running:
        reply = await running.cloze.BatchFill(cloze_pb2.BatchFillRequest(requests=requests))
    assert reply.items[0].error.code == INVALID.value[0]
    assert [item.ok.blanks[0].candidates[0].text for item in reply.items[1:]] == ["1", "2"]


async def test_a_batch_may_be_longer_than_the_queue(serving: Any, fake_ocr: Any) -> None:
    requests = [image(b"x" * n) for n in range(1, 31)]
    async with serving(queue_rows=4, batch_rows=3) as running:
        reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=requests))
    assert [item.ok.candidates[0].text for item in reply.items] == [nth(n) for n in range(1, 31)]
    assert max(len(run) for run in fake_ocr.runs) <= 3


@pytest.mark.parametrize("count", [0, 4])
async def test_a_batch_of_none_or_too_many_is_refused(serving: Any, count: int) -> None:
    async with serving(max_batch_items=3) as running:
        error = await failure(running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=[image(b"a")] * count)))
    assert (error.code(), error.details()) == (INVALID, f"requests: {count} items, must be 1 to 3")
    assert bad_field(error) == "requests"


async def test_a_stream_answers_each_item_under_its_id(serving: Any) -> None:
    async def requests() -> AsyncIterator[ocr_pb2.StreamRecognizeRequest]:
        for n in range(200):
            data = b"poison" if n % 50 == 10 else b"x" * n
            yield ocr_pb2.StreamRecognizeRequest(id=f"№{n}", request=image(data))

    async with serving(stream_rows=8) as running:
        replies = {reply.id: reply async for reply in running.ocr.StreamRecognize(requests())}
    assert len(replies) == 200
    for n in range(200):
        reply = replies[f"№{n}"]
        if n == 0:
            assert reply.error.code == INVALID.value[0]
        elif n % 50 == 10:
            assert reply.error.code == INTERNAL.value[0]
        else:
            assert reply.ok.candidates[0].text == nth(n)


async def test_a_stream_of_texts_gives_answers_before_it_ends(serving: Any) -> None:
    async with serving() as running:
        call = running.cloze.StreamFill()
        for n in range(1, 4):
            await call.write(cloze_pb2.StreamFillRequest(id=str(n), request=cloze_pb2.FillRequest(text="字" * n)))
            reply = await call.read()
            assert (reply.id, reply.ok.blanks[0].candidates[0].text) == (str(n), str(n))
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF


async def test_a_stream_without_a_request_in_an_item(serving: Any) -> None:
    async with serving() as running:
        call = running.ocr.StreamRecognize(iter([ocr_pb2.StreamRecognizeRequest(id="a")]))
        (reply,) = [reply async for reply in call]
    assert (reply.id, reply.error.code) == ("a", INVALID.value[0])


# --- a row ------------------------------------------------------------------------------------------


def row(*images: ocr_pb2.RecognizeRequest) -> ocr_pb2.RecognizeSequenceRequest:
    return ocr_pb2.RecognizeSequenceRequest(requests=images)


async def test_a_row_is_read_as_one_text(serving: Any) -> None:
    async with serving() as running:
        reply = await running.ocr.RecognizeSequence(row(image(b"a", top_k=2), image(b"abc", top_k=0), image(b"ab", 7)))
    # The fake model takes the last of a row's candidates, of which there are five at least.
    assert reply.text == nth(1 + 4) + nth(3 + 4) + nth(2 + 6)
    assert [[c.text for c in one.candidates] for one in reply.characters] == [
        [nth(1), nth(2)],
        [nth(3 + n) for n in range(5)],
        [nth(2 + n) for n in range(7)],
    ]
    assert {one.model_version for one in reply.characters} == {reply.model_version} == {7}
    assert all(one.HasField("timing") for one in reply.characters)


async def test_a_row_may_be_of_what_is_allowed(serving: Any) -> None:
    request = ocr_pb2.RecognizeRequest(image=b"a", allowed=["京", "津"])
    async with serving() as running:
        assert (await running.ocr.RecognizeSequence(row(request))).text == "津"


async def test_a_row_may_be_longer_than_the_queue(serving: Any) -> None:
    async with serving(queue_rows=4, batch_rows=3) as running:
        reply = await running.ocr.RecognizeSequence(row(*[image(b"x" * n) for n in range(1, 31)]))
    assert reply.text == "".join(nth(n + 4) for n in range(1, 31))


@pytest.mark.parametrize(
    ("images", "code", "text"),
    [
        ([image(b"a"), image(b"")], INVALID, "requests[1].image: empty"),
        ([ocr_pb2.RecognizeRequest()], INVALID, "requests[0].source: missing, must be image or gray"),
        ([], INVALID, "requests: 0 items, must be 1 to 3"),
        ([image(b"a")] * 4, INVALID, "requests: 4 items, must be 1 to 3"),
        (
            [image(b"a"), ocr_pb2.RecognizeRequest(image=b"a", model_version=7)],
            INVALID,
            "requests: model versions [0, 7], must be the same in all",
        ),
        ([ocr_pb2.RecognizeRequest(image=b"a", model_version=8)], grpc.StatusCode.NOT_FOUND, None),
        ([image(b"a"), image(b"poison")], INTERNAL, None),
    ],
)
async def test_a_row_is_read_whole_or_not_at_all(
    serving: Any, images: list[Any], code: grpc.StatusCode, text: str | None
) -> None:
    async with serving(max_batch_items=3) as running:
        error = await failure(running.ocr.RecognizeSequence(row(*images)))
        assert error.code() is code
        if text is not None:
            assert error.details() == text
            assert bad_field(error) == text.partition(":")[0]
        assert (await running.ocr.RecognizeSequence(row(image(b"a")))).text == nth(5)


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "request_", "field", "text"),
    [
        ("Recognize", ocr_pb2.RecognizeRequest(), "source", "source: missing, must be image or gray"),
        ("Recognize", image(b""), "image", "image: empty"),
        (
            "Recognize",
            ocr_pb2.RecognizeRequest(gray=ocr_pb2.GrayImage(width=2, height=3, pixels=b"12345")),
            "gray.pixels",
            "gray.pixels: 5 bytes, must be 2 × 3 = 6",
        ),
        (
            "Recognize",
            ocr_pb2.RecognizeRequest(gray=ocr_pb2.GrayImage(width=2**32 - 1, height=2**32 - 1, pixels=b"1")),
            "gray.pixels",
            "gray.pixels: 1 bytes, must be 4294967295 × 4294967295 = 18446744065119617025",
        ),
        ("Recognize", ocr_pb2.RecognizeRequest(gray=ocr_pb2.GrayImage()), "image", None),
        ("Fill", cloze_pb2.FillRequest(), "document", "document: missing, must be text or tokens"),
        ("Fill", cloze_pb2.FillRequest(text=""), "document", "document: empty"),
        ("Fill", cloze_pb2.FillRequest(tokens=cloze_pb2.Tokens()), "document", "document: empty"),
    ],
)
async def test_bad_input_names_field_value_and_limit(
    serving: Any, method: str, request_: Any, field: str, text: str | None
) -> None:
    async with serving() as running:
        stub = running.ocr if method == "Recognize" else running.cloze
        error = await failure(getattr(stub, method)(request_))
    assert error.code() is INVALID
    assert bad_field(error) == field
    assert text is None or error.details() == text


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"\x0a\x7fshort", b"\x0a\x02\xff\xfe"])
async def test_bytes_that_are_no_message_are_invalid(serving: Any, garbage: bytes) -> None:
    async with serving() as running:
        error = await failure(running.channel.unary_unary("/tianzi.v1.ClozeService/Fill")(garbage))
        assert (error.code(), error.details()) == (INVALID, "request: is no message of this method's type")
        stream = running.channel.stream_stream("/tianzi.v1.ClozeService/StreamFill")(iter([b"", garbage]))
        error = await failure(asyncio.gather(*[_drain(stream)]))
        assert (error.code(), error.details()) == (INVALID, "request: is no message of this method's type")
        assert await running.cloze.Fill(cloze_pb2.FillRequest(text="a"))


async def _drain(stream: Any) -> None:
    async for _ in stream:
        pass


async def test_a_message_over_the_limit_is_refused_by_grpc(serving: Any) -> None:
    async with serving(max_message_bytes=1000) as running:
        error = await failure(running.ocr.Recognize(image(b"x" * 1000)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in (error.details() or "")
        assert await running.ocr.Recognize(image(b"x" * 900))


@pytest.mark.parametrize("data", [b"poison", b"nan"])
async def test_a_fault_of_the_model_says_nothing_but_the_request_id(
    serving: Any, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with serving() as running:
        error = await failure(running.ocr.Recognize(image(data), metadata=[("x-request-id", "call-1")]))
        assert (error.code(), error.details()) == (INTERNAL, "internal error; request id call-1")
        assert b"secret" not in b"".join(v for _, v in error.trailing_metadata() or () if isinstance(v, bytes))
        assert await running.ocr.Recognize(image(b"fine"))
    assert "InferenceError" in caplog.text, "the cause is in the log"


# --- request ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "returned"),
    [("my-id.7", r"my-id\.7"), (None, "[0-9a-f]{32}"), ("two words", "[0-9a-f]{32}"), ("x" * 129, "[0-9a-f]{32}")],
)
async def test_the_request_id_comes_back(serving: Any, given: str | None, returned: str) -> None:
    metadata = [("x-request-id", given)] if given else None
    async with serving() as running:
        call = running.ocr.Recognize(image(b"a"), metadata=metadata)
        await call
        good = dict(await call.trailing_metadata())
        error = await failure(running.ocr.Recognize(image(b""), metadata=metadata))
    assert re.fullmatch(returned, good["x-request-id"])
    assert re.fullmatch(returned, dict(error.trailing_metadata() or ())["x-request-id"])


async def test_calls_are_logged_at_debug_without_their_payload(serving: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "tianzi_service")
    async with serving() as running:
        await running.cloze.Fill(cloze_pb2.FillRequest(text="秘密"))
        await failure(running.cloze.Fill(cloze_pb2.FillRequest(text="")))
    lines = [record.getMessage() for record in caplog.records if record.name == "tianzi_service.rpc.errors"]
    assert [line.rpartition(" ms")[0].rpartition(" ")[0] for line in lines] == [
        "/tianzi.v1.ClozeService/Fill OK",
        "/tianzi.v1.ClozeService/Fill INVALID_ARGUMENT",
    ]
    assert "秘密" not in caplog.text


async def test_the_rich_status_is_what_grpc_status_reads(serving: Any) -> None:
    async with serving() as running:
        call = running.ocr.Recognize(image(b""))
        await failure(call)
        status = await rpc_status.aio.from_call(call)
    assert status.message == str(InvalidInput("image", "empty"))


async def test_writing_a_long_batch_lets_others_have_their_turn(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns, seen = 0, list[int]()

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def slow(*_: Any) -> None:
        time.sleep(0.01)
        seen.append(turns)

    monkeypatch.setattr("tianzi_service.rpc.codec.cloze_response", slow)
    async with serving() as running:
        batch = cloze_pb2.BatchFillRequest(requests=[cloze_pb2.FillRequest(text="a")] * 20)
        other = asyncio.create_task(others())
        await running.cloze.BatchFill(batch)
        other.cancel()
    assert len(set(seen)) == 20, "others ran between any two answers"
