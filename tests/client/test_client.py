"""Client and AsyncClient against a real server of the fake models."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

import tianzi
from tests.fakes import FakeOcr
from tests.service.calls import nth
from tianzi import AsyncClient, Client, Question


@pytest.fixture
def client(address: str) -> Any:
    with Client(address) as connected:
        yield connected


def test_recognize_gives_typed_candidates(client: Client) -> None:
    answer = client.recognize(b"abc", top_k=2)
    assert answer == tianzi.Recognition(
        (tianzi.Character(nth(3), 0.5), tianzi.Character(nth(4), 0.25)), rejected=False, model_version=7
    )
    assert (answer.text, answer.best.confidence) == (nth(3), 0.5)
    assert len(client.recognize(b"abc").candidates) == 5


def test_rejected_has_no_text_but_guesses(client: Client) -> None:
    answer = client.recognize(np.full((2, 3), 255, np.uint8))
    assert answer.rejected
    assert answer.text == ""
    assert answer.best.text == nth(6)


def test_allowed_is_a_string_or_several(client: Client) -> None:
    one, two = client.recognize(b"12345", allowed="甲乙"), client.recognize(b"12345", allowed=["digits", "京"])
    assert [c.text for c in one.candidates] == ["甲乙"]
    assert [c.text for c in two.candidates] == ["digits", "京"]
    (streamed,) = client.recognize_many([b"12345"], allowed=["digits"])
    assert isinstance(streamed, tianzi.Recognition) and streamed.text == "digits"


def test_a_row_is_one_text(client: Client, tmp_path: Path) -> None:
    reading = client.recognize_sequence([b"a", b"abc"], top_k=1)
    # The fake model takes the last of five candidates.
    assert (reading.text, reading.model_version) == (nth(5) + nth(7), 7)
    assert [one.text for one in reading.characters] == [nth(1), nth(3)]
    assert client.recognize_sequence(iter([b"a"]), allowed=["京", "津"], model_version=7).text == "津"
    with pytest.raises(tianzi.InvalidInput, match=r"^requests\[1\].image: empty$") as theirs:
        client.recognize_sequence([b"a", b""])
    assert theirs.value.field == "requests[1].image"
    with pytest.raises(tianzi.InvalidInput, match=r"^requests\[0\].image: .*: No such file") as ours:
        client.recognize_sequence([tmp_path / "nowhere.png"])
    assert ours.value.field == "requests[0].image"
    with pytest.raises(tianzi.InvalidInput, match="requests: 0 items"):
        client.recognize_sequence([])


def test_every_kind_of_image_arrives(client: Client, tmp_path: Path) -> None:
    file = tmp_path / "一.png"
    file.write_bytes(b"12345")
    for image in (b"12345", bytearray(b"12345"), str(file), file, np.zeros((1, 5), np.uint8)):
        assert client.recognize(image).text == nth(5)


def test_fill_replaces_the_blank(client: Client) -> None:
    filling = client.fill("_____今天很高兴。", candidates=["猫"], marker="@", top_k=3)
    assert [word.text for word in filling.blanks[0].candidates] == ["11", "0", "@", "猫", "3"]
    assert filling.blanks[0].candidates[0].positions == ((11, 12),)
    assert filling.best == ("11",)
    assert filling.text == "11今天很高兴。"
    assert (filling.query, filling.model_version) == ("", 7)


def test_fill_takes_tokens_and_a_query(client: Client) -> None:
    filling = client.fill(["小", "猫"], query=["XXXXX", "在", "家", "里", "睡"])
    assert [word.text for word in filling.blanks[0].candidates[:2]] == ["2", "5"]
    assert (filling.text, filling.query) == ("小猫", "2"), "the fake says that the blank is the query's first five"


def test_info_and_health(client: Client) -> None:
    info = client.info()
    assert info.version == tianzi.__version__
    assert [(model.name, model.version, model.provider) for model in info.models] == [
        ("ocr", 7, "FakeProvider"),
        ("cloze", 7, "FakeProvider"),
    ]
    assert info.limits.max_characters == 20000
    assert client.health()
    assert client.health("tianzi.v1.OcrService")
    with pytest.raises(tianzi.NotFound, match="no such"):
        client.health("tianzi.v1.Nothing")


def test_errors_are_typed(client: Client) -> None:
    with pytest.raises(tianzi.InvalidInput, match=r"^image: empty$") as invalid:
        client.recognize(b"")
    assert invalid.value.field == "image"
    assert invalid.value.request_id
    with pytest.raises(tianzi.InternalError, match="request id") as internal:
        client.recognize(b"poison")
    assert internal.value.request_id in str(internal.value)


def test_missing_file_is_invalid_input(client: Client, tmp_path: Path) -> None:
    with pytest.raises(tianzi.InvalidInput, match=r"nowhere\.png: No such file") as error:
        client.recognize(tmp_path / "nowhere.png")
    assert isinstance(error.value.__cause__, FileNotFoundError)


def test_too_long_a_message_is_invalid_input(client: Client) -> None:
    with pytest.raises(tianzi.InvalidInput, match="larger than max"):
        client.recognize(bytes(17 * 2**20))


def test_deadline(address: str, fake_ocr: FakeOcr) -> None:
    fake_ocr.gate.clear()
    with Client(address, timeout=0.2) as client, pytest.raises(tianzi.DeadlineExceeded):
        client.recognize(b"abc")


def test_nobody_there() -> None:
    with Client("localhost:1") as client:
        with pytest.raises(tianzi.Unavailable, match="refused"):
            client.recognize(b"abc")
        with pytest.raises(tianzi.Unavailable):
            list(client.recognize_many([b"abc"]))


def test_refusal_by_a_full_queue_is_retried(serving: Callable[..., Any], fake_ocr: FakeOcr) -> None:
    async def run() -> None:
        async with serving(queue_rows=1) as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
            fake_ocr.gate.clear()
            first = asyncio.create_task(client.recognize(b"a"))
            while not fake_ocr.runs:
                await asyncio.sleep(0.005)
            second = asyncio.create_task(client.recognize(b"bb"))
            await asyncio.sleep(0.05)
            fake_ocr.gate.set()
            assert [(await first).text, (await second).text] == [nth(1), nth(2)]

    asyncio.run(run())


async def test_overloaded_says_how_long_to_wait(serving: Callable[..., Any], fake_ocr: FakeOcr) -> None:
    async with serving(queue_rows=1) as running:
        no_retries = [("grpc.enable_retries", 0)]
        async with AsyncClient(f"127.0.0.1:{running.port}", options=no_retries) as client:
            fake_ocr.gate.clear()
            first = asyncio.create_task(client.recognize(b"a"))
            while not fake_ocr.runs:
                await asyncio.sleep(0.005)
            with pytest.raises(tianzi.Overloaded) as refused:
                await client.recognize(b"bb")
            assert refused.value.retry_after_s == pytest.approx(0.1)
            fake_ocr.gate.set()
            await first


async def test_async_client_does_the_same(serving: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
        assert (await client.recognize(file)).text == nth(5)
        assert (await client.recognize_sequence([file, b"a"])).text == nth(9) + nth(5)
        assert (await client.fill("_____好")).text == "6好"
        assert (await client.info()).version == tianzi.__version__
        assert await client.health()
        with pytest.raises(tianzi.InvalidInput) as invalid:
            await client.fill("")
        assert invalid.value.field == "document"
        with pytest.raises(tianzi.InvalidInput, match="lone surrogate"):
            await client.fill("\ud800____")


def test_metadata_goes_with_every_call(address: str) -> None:
    with Client(address, metadata=[("x-request-id", "mine")]) as client:
        with pytest.raises(tianzi.InvalidInput) as single:
            client.recognize(b"")
        (streamed,) = client.recognize_many([b""])
    assert single.value.request_id == "mine"
    assert isinstance(streamed, tianzi.InvalidInput)
    assert streamed.request_id == "mine"


def test_tls_credentials_are_used(address: str) -> None:
    with (
        Client(address, credentials=grpc.ssl_channel_credentials()) as client,
        pytest.raises(tianzi.Unavailable),
    ):
        client.health()


def test_question_holds_what_fill_takes(client: Client) -> None:
    (filling,) = client.fill_many([Question("_____好", candidates=("猫",), marker="@", top_k=4)])
    assert isinstance(filling, tianzi.Filling)
    assert filling == client.fill("_____好", candidates=("猫",), marker="@", top_k=4)


@pytest.mark.parametrize("many", [False, True])
async def test_a_version_may_be_named(serving: Any, many: bool) -> None:
    async def ask(client: AsyncClient, version: int) -> list[Any]:
        if not many:
            recognition = await client.recognize(b"abc", model_version=version)
            return [recognition, await client.fill("____好", model_version=version)]
        recognitions = [result async for result in client.recognize_many([b"abc"], model_version=version)]
        return recognitions + [result async for result in client.fill_many(["____好"], model_version=version)]

    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
        for version in (0, 7):
            assert [result.model_version for result in await ask(client, version)] == [7, 7]
        with pytest.raises(tianzi.NotFound, match="model_version: ocr 8 is not serving, only 7"):
            await ask(client, 8)
        with pytest.raises(tianzi.InvalidInput, match="model_version: -1, must be a whole number from 0"):
            await client.recognize(b"abc", model_version=-1)


def test_a_version_may_be_named_in_ordinary_code(client: Client) -> None:
    assert client.recognize(b"abc", model_version=7).model_version == 7
    assert client.fill("____好", model_version=7).model_version == 7
    with pytest.raises(tianzi.NotFound):
        client.fill("____好", model_version=8)
    for results in (client.recognize_many([b"abc"], model_version=8), client.fill_many(["____好"], model_version=8)):
        with pytest.raises(tianzi.NotFound, match="is not serving, only 7"):
            list(results)
