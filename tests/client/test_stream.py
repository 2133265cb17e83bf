"""recognize_many and fill_many: order, bad items, memory, broken streams; for both clients."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any

import pytest

import tianzi
from tests.fakes import FakeOcr
from tests.service.calls import nth
from tianzi import AsyncClient, Client, TianziError

Many = Callable[..., list[Any]]


def ask_sync(address: str, items: Iterable[Any], **options: Any) -> list[Any]:
    with Client(address) as client:
        return list(client.recognize_many(items, **options))


def ask_async(address: str, items: Iterable[Any], **options: Any) -> list[Any]:
    async def run() -> list[Any]:
        async with AsyncClient(address) as client:
            return [result async for result in client.recognize_many(items, **options)]

    return asyncio.run(run())


def ask_async_source(address: str, items: Iterable[Any], **options: Any) -> list[Any]:
    async def source() -> AsyncIterator[Any]:
        for item in items:
            await asyncio.sleep(0)
            yield item

    async def run() -> list[Any]:
        async with AsyncClient(address) as client:
            return [result async for result in client.recognize_many(source(), **options)]

    return asyncio.run(run())


@pytest.fixture(params=[ask_sync, ask_async, ask_async_source])
def many(request: pytest.FixtureRequest) -> Many:
    return request.param  # type: ignore[no-any-return]


def texts(results: Iterable[Any]) -> list[Any]:
    return [type(result) if isinstance(result, TianziError) else result.text for result in results]


@pytest.mark.parametrize("window", [1, 7, 64])
def test_results_keep_the_order(many: Many, address: str, window: int) -> None:
    sizes = [n * 37 % 101 + 1 for n in range(300)]
    results = many(address, (b"x" * size for size in sizes), top_k=1, window=window)
    assert texts(results) == [nth(size) for size in sizes]
    assert all(len(result.candidates) == 1 for result in results)


def test_a_bad_item_is_its_own_result(many: Many, address: str) -> None:
    mine = tianzi.InvalidInput("row 6: no image")
    items = [b"a", b"", b"bb", b"poison", "/nowhere.png", None, mine, b"ccc"]
    results = many(address, items, window=3)
    invalid, internal = tianzi.InvalidInput, tianzi.InternalError
    assert texts(results) == [nth(1), invalid, nth(2), internal, invalid, invalid, invalid, nth(3)]
    assert results[6] is mine
    assert results[1].field == "image"


def test_nothing_in_nothing_out(many: Many, address: str) -> None:
    assert many(address, []) == []
    assert texts(many(address, [None])) == [tianzi.InvalidInput], "no stream is needed for that"


def test_a_message_that_ends_the_stream_hurts_nobody_else(many: Many, address: str) -> None:
    too_long = bytes(17 * 2**20)
    results = many(address, [b"a", b"bb", too_long, b"ccc", b"dddd"], window=2)
    assert texts(results) == [nth(1), nth(2), tianzi.InvalidInput, nth(3), nth(4)]


def test_source_errors_come_out(many: Many, address: str) -> None:
    def source() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        many(address, source())


def test_window_must_hold_something(many: Many, address: str) -> None:
    with pytest.raises(ValueError, match="window: 0"):
        many(address, [], window=0)


def test_reads_no_further_ahead_than_the_window(address: str) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"a"

    with Client(address) as client:
        results = client.recognize_many(endless(), window=5)
        assert taken == 0
        for given in range(1, 20):
            next(results)
            assert taken == given + 4
        results.close()  # type: ignore[attr-defined]
        assert client.recognize(b"bb").text == nth(2)


def test_window_of_one_answers_a_live_source_at_once(address: str) -> None:
    seen: list[str] = []

    def live() -> Iterator[bytes]:
        yield b"a"
        assert seen == [nth(1)]
        yield b"bb"

    with Client(address) as client:
        for result in client.recognize_many(live(), window=1):
            seen.extend(texts([result]))
    assert seen == [nth(1), nth(2)]


async def test_async_stream_left_early_is_cancelled(serving: Callable[..., Any], fake_ocr: FakeOcr) -> None:
    async with serving() as running, AsyncClient(f"127.0.0.1:{running.port}") as client:
        results = client.recognize_many((b"x" for _ in range(10**9)), window=4)
        assert (await anext(results)).text == nth(1)  # type: ignore[union-attr]
        await results.aclose()  # type: ignore[attr-defined]
        assert (await client.recognize(b"bb")).text == nth(2)
        assert len(fake_ocr.ran) <= 6


def test_no_answer_in_time_is_that_items_result(address: str, fake_ocr: FakeOcr) -> None:
    fake_ocr.gate.clear()
    with Client(address, timeout=0.2) as client:
        assert texts(client.recognize_many([b"a"])) == [tianzi.DeadlineExceeded]


async def test_a_stuck_server_keeps_nobody_waiting(serving: Callable[..., Any], fake_ocr: FakeOcr) -> None:
    async with serving(stream_rows=1) as running, AsyncClient(f"127.0.0.1:{running.port}", timeout=0.3) as client:
        fake_ocr.gate.clear()
        long = [bytes(4 * 2**20)] * 4  # more than flow control lets through unread
        results = [result async for result in client.recognize_many(long, window=4)]
        assert texts(results) == [tianzi.DeadlineExceeded] * 4


async def test_a_server_that_restarts_loses_nothing(serving: Callable[..., Any], fake_ocr: FakeOcr) -> None:
    async with serving() as first:
        port = first.port
        asked = threading.Event()

        def source() -> Iterator[bytes]:
            for number in range(1, 21):
                if number == 8:
                    asked.set()
                yield b"x" * number

        fake_ocr.gate.clear()
        with Client(f"127.0.0.1:{port}") as client:
            results = asyncio.create_task(asyncio.to_thread(lambda: list(client.recognize_many(source(), window=8))))
            await asyncio.to_thread(asked.wait)
            stopping = asyncio.create_task(first.server.stop())
            await asyncio.sleep(0.05)
            fake_ocr.gate.set()
            await stopping
            async with serving(port=port):
                assert texts(await results) == [nth(number) for number in range(1, 21)]


def test_fill_many_takes_texts_tokens_and_questions(address: str) -> None:
    questions = ["_____好", ["XXXXX", "好"], tianzi.Question("_____", query="____"), ""]
    with Client(address) as client:
        first, second, third, bad = client.fill_many(questions)
    assert [[word.text for word in filling.blanks[0].candidates[:2]] for filling in (first, second, third)] == [
        ["6", "0"],
        ["2", "0"],
        ["5", "4"],
    ]
    assert isinstance(bad, tianzi.InvalidInput)


def test_many_threads_share_a_client(address: str) -> None:
    with Client(address) as client:

        def ask(size: int) -> list[str]:
            return texts(client.recognize_many([b"x" * size] * 20, window=4))

        answers: dict[int, list[str]] = {}
        threads = [threading.Thread(target=lambda n=n: answers.update({n: ask(n)})) for n in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == {n: [nth(n)] * 20 for n in range(1, 9)}
