"""Answers as large as the limits allow come back, larger ones are not computed; clients may ping."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest

from tests.fakes import FakeCloze
from tianzi import AsyncClient
from tianzi.v1 import cloze_pb2, cloze_pb2_grpc
from tianzi_models.cloze.text import ClozeInput, ClozeItem
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, WordCandidate
from tianzi_models.errors import InvalidInput
from tianzi_service.lifecycle import server
from tianzi_service.rpc import codec
from tianzi_service.rpc.transport import channel_options
from tianzi_service.scheduling.answer_room import AnswerSizes, cloze_answer_bytes
from tianzi_service.settings import Settings


def item(words: int, blanks: int, top_k: int, times: int = 3) -> ClozeItem:
    """A text of so many different words, each of which stands there some times."""
    none = np.zeros(0, np.int64)
    places = [tuple((at * words + word, at * words + word + 2) for at in range(times)) for word in range(words)]
    candidates = tuple((f"词{word}", places[word]) for word in range(words))
    return ClozeItem(ClozeInput(*[none] * 6), candidates, tuple(((n, n + 4), False) for n in range(blanks)), top_k)


@pytest.mark.parametrize(("words", "blanks", "top_k"), [(1, 1, 1), (900, 3, 5), (60, 64, 50), (6000, 2, 50)])
def test_the_bound_is_above_what_an_answer_takes_and_near_it(words: int, blanks: int, top_k: int) -> None:
    asked = item(words, blanks, top_k)
    chosen = [WordCandidate(text, 0.5, places) for text, places in asked.candidates[-top_k:]]
    answer = ClozeAnswer(tuple(BlankAnswer(tuple(chosen), *blank) for blank in asked.blanks))
    size = codec.cloze_response(answer, 2**31).ByteSize()
    assert size <= cloze_answer_bytes(asked) <= 2 * size + 1000


def test_room_is_kept_for_a_whole_call() -> None:
    room = AnswerSizes(len, 10).room()
    room.take("1234567")
    with pytest.raises(InvalidInput, match="answer: of up to 4 bytes beside those of the same call, at most 10 in one"):
        room.take("1234")
    room.take("123")
    with pytest.raises(InvalidInput, match="answer: of up to 11 bytes, at most 10 in one message; ask for fewer"):
        AnswerSizes(len, 10).room().take("1" * 11)
    AnswerSizes().room().take(object())


async def test_an_answer_that_would_not_fit_is_not_computed(
    serving: Any, fake_cloze: FakeCloze, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_BYTES", {FakeCloze: lambda request: 1000 * len(request.document)})
    requests = [cloze_pb2.FillRequest(text="_" * size) for size in (30, 50, 10, 10)]
    async with serving(max_message_bytes=65536) as running:
        with pytest.raises(grpc.aio.AioRpcError, match="answer: of up to 66000 bytes, at most 65536") as refused:
            await running.cloze.Fill(cloze_pb2.FillRequest(text="_" * 66))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not fake_cloze.ran
        batch = await running.cloze.BatchFill(cloze_pb2.BatchFillRequest(requests=requests))
        assert [one.WhichOneof("result") for one in batch.items] == ["ok", "error", "ok", "ok"]
        assert "beside those of the same call" in batch.items[1].error.message


async def test_a_client_takes_answers_over_grpcs_own_limit(serving: Any, fake_cloze: FakeCloze) -> None:
    long = WordCandidate("长" * 2_000_000, 0.5, ())
    fake_cloze.postprocess = lambda item, output: ClozeAnswer(  # type: ignore[method-assign]
        (BlankAnswer((long,), (0, 4), False),)
    )
    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
        assert len((await client.fill("____")).best[0]) == 2_000_000


def test_pings_each_ten_seconds_are_allowed() -> None:
    options = dict(channel_options(Settings(), False))
    assert options["grpc.http2.min_ping_interval_without_data_ms"] < 10_000
    assert options["grpc.keepalive_permit_without_calls"] == 1


async def test_frequent_pings_are_answered(serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_service.rpc.transport.PING_S", 0.2)
    pinging = [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with serving() as running, grpc.aio.insecure_channel(f"127.0.0.1:{running.port}", pinging) as channel:
        stream = cloze_pb2_grpc.ClozeServiceStub(channel).StreamFill()
        for number in ("1", "2"):
            await stream.write(cloze_pb2.StreamFillRequest(id=number, request=cloze_pb2.FillRequest(text="____")))
            assert (await stream.read()).id == number
            if number == "1":
                await asyncio.sleep(6)
        await stream.done_writing()
