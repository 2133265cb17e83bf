"""Rows that the engine prepares with their run: each still ends with its own outcome, and costs nobody else."""

import threading
from typing import Any

import grpc
import pytest

from tests.service.calls import code, failure, image, nth, until
from tests.service.test_observer import Notes
from tianzi.v1 import ocr_pb2
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip


@pytest.fixture(autouse=True)
def quick(fake_ocr: Any) -> None:
    fake_ocr.quick = True


@pytest.fixture
def threads_of(fake_ocr: Any, monkeypatch: pytest.MonkeyPatch) -> dict[Any, str]:
    """The thread in which each payload was preprocessed."""
    seen: dict[Any, str] = {}
    preprocess = fake_ocr.preprocess

    def noted(request: Any) -> Any:
        seen[fake_ocr.payload(request)] = threading.current_thread().name.partition("_")[0]
        return preprocess(request)

    monkeypatch.setattr(fake_ocr, "preprocess", noted)
    return seen


async def test_quick_rows_are_prepared_by_the_engine_others_are_not(serving: Any, threads_of: dict[Any, str]) -> None:
    async with serving() as running:
        for data in (b"abc", b"big"):
            assert (await running.ocr.Recognize(image(data))).candidates[0].text == nth(3)
        large = b"x" * 10_000
        await running.ocr.Recognize(image(large))
        batch = [image(b"ab"), image(b"big one")]
        await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=batch))
        items = iter([ocr_pb2.StreamRecognizeRequest(request=image(b"stream"))])
        assert [reply.HasField("ok") async for reply in running.ocr.StreamRecognize(items)] == [True]
    where = {"abc": "ocr", "stream": "ocr", "big": "preprocess", large.decode(): "preprocess"}
    where |= {"ab": "preprocess-bulk", "big one": "preprocess-bulk"}  # of a batch many take a hop together
    assert threads_of == where


async def test_with_one_thread_the_engine_prepares_quick_batches_too(serving: Any, threads_of: dict[Any, str]) -> None:
    async with serving(threads=1) as running:
        for data in ([b"a", b"bc", b"d" * 5000], [b"one", b"big one"], [b"x" * 9000, b"y" * 9000]):
            reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=map(image, data)))
            assert [item.ok.candidates[0].text for item in reply.items] == [nth(len(each)) for each in data]
    where = {"a": "ocr", "bc": "ocr", "d" * 5000: "ocr"}
    where |= {"one": "preprocess-bulk", "big one": "preprocess-bulk"}  # one that takes long takes the others along
    assert threads_of == where | {"x" * 9000: "preprocess-bulk", "y" * 9000: "preprocess-bulk"}


@pytest.mark.parametrize(("together", "runs"), [(True, [8]), (False, [4, 4])])
async def test_runs_that_prepare_rows_of_single_calls_are_half_as_large(
    serving: Any, fake_ocr: Any, together: bool, runs: list[int]
) -> None:
    fake_ocr.gate.clear()
    async with serving(threads=1, batch_rows=8) as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        images = [image(letter.encode()) for letter in "abcdefgh"]
        if together:
            calls: list[Any] = [running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=images))]
        else:
            calls = [running.ocr.Recognize(each) for each in images]
        await until(lambda: running.server.served["ocr"].admission.rows == 9)
        fake_ocr.gate.set()
        assert [await code(call) for call in (first, *calls)] == [grpc.StatusCode.OK] * (1 + len(calls))
    assert [len(run) for run in fake_ocr.runs[1:]] == runs


async def test_in_a_batch_that_the_engine_prepares_each_row_has_its_own_error(serving: Any, fake_ocr: Any) -> None:
    notes = Notes()
    rows = [image(b"a"), image(b""), ocr_pb2.RecognizeRequest(), image(b"poison"), image(b"b")]
    async with serving(notes, threads=1) as running:
        reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=rows))
    assert [item.HasField("ok") for item in reply.items] == [True, False, False, False, True]
    messages = [item.error.message for item in reply.items[1:4]]
    assert messages[:2] == ["image: empty", "source: missing, must be image or gray"]
    assert notes.drops == {"invalid": 2, "failed": 1}
    assert fake_ocr.runs[0] == ["a", "poison", "b"], "the bad ones enter no run"


async def test_rows_that_cannot_be_prepared_enter_no_run_of_the_network(serving: Any, fake_ocr: Any) -> None:
    notes = Notes()
    fake_ocr.gate.clear()
    async with serving(notes) as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        calls = [running.ocr.Recognize(image(data)) for data in (b"a", b"", b"bc", b"poison")]
        await until(lambda: running.server.served["ocr"].admission.rows == 5)
        fake_ocr.gate.set()
        assert [await code(call) for call in (first, calls[0], calls[2])] == [grpc.StatusCode.OK] * 3
        error = await failure(calls[1])
        assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "image: empty")
        assert await code(calls[3]) is grpc.StatusCode.INTERNAL
    assert sorted(fake_ocr.runs[1]) == ["a", "bc", "poison"]
    assert sorted(fake_ocr.checked) == ["a", "bc", "first", "poison"], "none is prepared again when a run fails"
    assert notes.drops == {"invalid": 1, "failed": 1}


@pytest.mark.parametrize("error", [SystemExit(1), StopIteration(), ZeroDivisionError("a secret of ours")])
async def test_preparing_ends_neither_the_engine_nor_its_neighbour(
    serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    preprocess = fake_ocr.preprocess

    def fail(request: Any) -> Any:
        if request.image == b"bad":
            raise error
        return preprocess(request)

    monkeypatch.setattr(fake_ocr, "preprocess", fail)
    fake_ocr.gate.clear()
    async with serving() as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        calls = [running.ocr.Recognize(image(data)) for data in (b"a", b"bad", b"b")]
        await until(lambda: running.server.served["ocr"].admission.rows == 4)
        fake_ocr.gate.set()
        refused = await failure(calls[1])
        assert refused.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in (refused.details() or "")
        assert [await code(call) for call in (first, calls[0], calls[2])] == [grpc.StatusCode.OK] * 3
        assert await code(running.ocr.Recognize(image(b"c"))) is grpc.StatusCode.OK


async def test_a_caller_that_leaves_takes_its_row_along_before_it_is_prepared(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving() as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        admission = running.server.served["ocr"].admission
        calls = [running.ocr.Recognize(image(data)) for data in (b"a", b"gone", b"b")]
        await until(lambda: admission.rows == 4)
        calls.pop(1).cancel()
        await until(lambda: admission.rows == 3)
        fake_ocr.gate.set()
        assert [await code(call) for call in (first, *calls)] == [grpc.StatusCode.OK] * 3
    assert fake_ocr.checked == ["first", "a", "b"]


async def test_preparing_and_waiting_are_told_apart(serving: Any, fake_ocr: Any) -> None:
    notes = Notes()
    async with serving(notes) as running:
        reply = await running.ocr.Recognize(image(b"a"))
        tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
        tensor.contents.bytes_contents.append(b"ab")
        await running.inference.ModelInfer(oip.ModelInferRequest(model_name="ocr", inputs=[tensor]))
    assert len(notes.timings) == 2
    assert all(min(t.queue_s, t.preprocess_s, t.inference_s, t.postprocess_s) > 0 for t in notes.timings)
    assert reply.timing.preprocess_us == round(1e6 * notes.timings[0].preprocess_s)
