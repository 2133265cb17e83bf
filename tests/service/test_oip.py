"""The Open Inference Protocol: what is refused and how, and that rows go the way of all rows."""

import asyncio
import dataclasses
import math
import struct
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeOcr
from tests.service.calls import code, failure, image, nth, until
from tianzi.v1 import ocr_pb2
from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.oip.adapters import ClozeAdapter, OcrAdapter
from tianzi_service.rpc.oip.tensors import DATATYPES, Spec, read, write
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip

INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
Tensor = oip.ModelInferRequest.InferInputTensor
Contents = oip.InferTensorContents
Parameter = oip.InferParameter


def raw(*items: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(item)) + item for item in items)


def images(*items: bytes, **fields: Any) -> oip.ModelInferRequest:
    tensor = Tensor(name="image", datatype="BYTES", shape=[len(items)])
    return oip.ModelInferRequest(model_name="ocr", inputs=[tensor], raw_input_contents=[raw(*items)], **fields)


def typed(name: str, shape: list[int], datatype: str = "BYTES", **contents: Any) -> oip.ModelInferRequest:
    tensor = Tensor(name=name, datatype=datatype, shape=shape, contents=Contents(**contents))
    return oip.ModelInferRequest(model_name="ocr", inputs=[tensor])


def pixels(shape: list[int], content: bytes) -> oip.ModelInferRequest:
    tensor = Tensor(name="pixels", datatype="UINT8", shape=shape)
    return oip.ModelInferRequest(model_name="ocr", inputs=[tensor], raw_input_contents=[content])


def mixed() -> oip.ModelInferRequest:
    request = images(b"a")
    request.inputs[0].contents.bytes_contents.append(b"a")
    return request


def twice() -> oip.ModelInferRequest:
    request = images(b"a")
    request.inputs.append(request.inputs[0])
    request.raw_input_contents.append(raw(b"a"))
    return request


def both() -> oip.ModelInferRequest:
    request = images(b"a")
    request.inputs.add(name="pixels", datatype="UINT8", shape=[1, 1, 1])
    request.raw_input_contents.append(b"\0")
    return request


def shared() -> oip.ModelInferRequest:
    request = images(b"a")
    request.inputs[0].parameters["shared_memory_region"].string_param = "mine"
    return request


def of_image(content: bytes, shape: list[int]) -> oip.ModelInferRequest:
    tensor = Tensor(name="image", datatype="BYTES", shape=shape)
    return oip.ModelInferRequest(model_name="ocr", inputs=[tensor], raw_input_contents=[content])


def asking(*outputs: str, **parameters: oip.InferParameter) -> oip.ModelInferRequest:
    kind = oip.ModelInferRequest.InferRequestedOutputTensor
    return images(b"a", outputs=[kind(name=name, parameters=parameters) for name in outputs])


BAD = [
    (oip.ModelInferRequest(model_name="ocr"), "inputs: exactly one of image and pixels is needed"),
    (both(), "inputs: exactly one of image and pixels is needed"),
    (twice(), "image: given twice"),
    (typed("picture", [1]), "inputs: 'picture' is not known, must be among image, pixels"),
    (typed("x" * 9999, [1]), f"inputs: '{'x' * 40}…' is not known, must be among image, pixels"),
    (typed("image", [1], "FP32"), "image: datatype 'FP32', must be BYTES"),
    (typed("image", [1, 1]), "image: shape [1, 1], must be [-1], where -1 is any length"),
    (typed("image", [-1]), "image: shape [-1], must be [-1], where -1 is any length"),
    (typed("image", []), "image: shape [], must be [-1], where -1 is any length"),
    (typed("image", [0]), "image: 0 rows, must be 1 to 256"),
    (typed("image", [257]), "image: 257 rows, must be 1 to 256"),
    (typed("image", [2], bytes_contents=[b"a"]), "image: 1 elements, must be shape [2] = 2"),
    (typed("image", [1], int_contents=[1]), "image: contents in int_contents, must be in bytes_contents"),
    (
        typed("pixels", [1, 1, 1], "UINT8", uint_contents=[256]),
        "pixels: an element over 255, the most that UINT8 holds",
    ),
    (mixed(), "raw_input_contents: mixed with typed contents, must be used for all inputs or for none"),
    (images(b"a", parameters={"n": Parameter(int64_param=1)}), "parameters: 'n' is not known, must be among top_k"),
    (
        images(b"a", parameters={"top_k": Parameter(string_param="5")}),
        "parameters.top_k: '5', must be a whole number from 1",
    ),
    (
        images(b"a", parameters={"top_k": Parameter(int64_param=0)}),
        "parameters.top_k: 0, must be a whole number from 1",
    ),
    (shared(), "inputs: parameter 'shared_memory_region': shared memory is not supported"),
    (of_image(b"", [1]), "image: 0 bytes, too few for 1 elements"),
    (of_image(raw(b"ab")[:-1], [1]), "image[0]: 2 bytes announced, 1 there"),
    (of_image(b"\xff\xff\xff\xffa", [1]), "image[0]: 4294967295 bytes announced, 1 there"),
    (of_image(raw(b"abcd", b"")[:-1], [2]), "image[1]: ends after 11 bytes, before its length"),
    (of_image(raw(b"a", b"b"), [1]), "image: 5 bytes after its 1 elements"),
    (pixels([1, 2, 3], b"12345"), "pixels: 5 bytes, must be shape [1, 2, 3] × 1 bytes = 6"),
    (
        pixels([1, 2**62, 2**62], b"1"),
        f"pixels: 1 bytes, must be shape [1, {2**62}, {2**62}] × 1 bytes = {2**124}",
    ),
    (images(b"a", b"", b"c"), "image[1]: empty"),
    (asking("nothing"), "outputs: 'nothing' is not known, must be among character, confidence, rejected, candidates, "),
    (asking("character", "character"), "outputs: one is asked for twice"),
    (
        asking("character", classification=Parameter(int64_param=3)),
        "outputs: character: parameter 'classification' is not supported",
    ),
]


@pytest.mark.parametrize(("request_", "text"), BAD, ids=[text[:50] for _, text in BAD])
async def test_bad_tensors_are_refused_with_field_value_and_limit(serving: Any, request_: Any, text: str) -> None:
    async with serving() as running:
        error = await failure(running.inference.ModelInfer(request_))
        assert error.code() is INVALID
        assert (error.details() or "").startswith(text)


async def test_an_entry_too_many_in_the_raw_contents_is_refused(serving: Any) -> None:
    request = images(b"a")
    request.raw_input_contents.append(b"")
    async with serving() as running:
        error = await failure(running.inference.ModelInfer(request))
    assert error.details() == "raw_input_contents: 2 entries, must be one an input = 1"


async def test_text_that_is_not_utf_8_names_row_and_byte(serving: Any) -> None:
    request = images("好".encode(), b"ab\xff")
    request.model_name, request.inputs[0].name = "cloze", "text"
    async with serving() as running:
        call = running.inference.ModelInfer(request)
        assert (await failure(call)).details() == "text[1]: not UTF-8: byte 2"
        status = await rpc_status.aio.from_call(call)
    violations = error_details_pb2.BadRequest()
    assert any(detail.Unpack(violations) for detail in status.details)
    assert violations.field_violations[0].field == "text[1]"


async def test_inputs_must_agree_in_their_rows(serving: Any) -> None:
    request = images(b"a", b"b")
    request.model_name, request.inputs[0].name = "cloze", "text"
    request.inputs.add(name="query", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(raw(b"q"))
    async with serving() as running:
        assert (await failure(running.inference.ModelInfer(request))).details() == "query: 1 rows, text has 2"


async def test_an_allowed_set_reaches_the_model(serving: Any) -> None:
    request = images(b"abc")
    request.parameters["allowed"].string_param = "digits,京津"
    async with serving() as running:
        answer = await running.inference.ModelInfer(request)
    (candidates,) = [output for output in answer.outputs if output.name == "candidates"]
    assert list(candidates.shape) == [1, 2]


async def test_words_to_choose_among_reach_the_model(serving: Any) -> None:
    request = oip.ModelInferRequest(model_name="cloze", parameters={"marker": Parameter(string_param="@")})
    request.inputs.add(name="text", datatype="BYTES", shape=[2], contents=Contents(bytes_contents=[b"abc", b"d"]))
    words = Contents(bytes_contents=["猫".encode(), "狗".encode(), b"bird", b""])
    request.inputs.add(name="words", datatype="BYTES", shape=[2, 2], contents=words)
    async with serving() as running:
        answer = await running.inference.ModelInfer(request)
    (candidates,) = [output for output in answer.outputs if output.name == "candidates"]
    assert list(candidates.shape) == [2, 1, 6]
    assert [item.decode() for item in candidates.contents.bytes_contents] == [
        *("3", "0", "@", "猫", "狗", "5"),
        *("1", "0", "@", "bird", "5", ""),
    ]


@pytest.mark.parametrize("method", ["ModelInfer", "ModelMetadata", "ModelConfig", "ModelStatistics"])
async def test_unknown_models_and_versions_are_not_found(serving: Any, method: str) -> None:
    async with serving() as running:
        ask = getattr(running.inference, method)
        kind = getattr(oip, f"{method}Request")
        for name, version in (("nobody", ""), ("ocr", "8"), ("ocr", "07")):
            named = {"model_name": name, "model_version": version} if method == "ModelInfer" else {}
            request = kind(**named) if named else kind(name=name, version=version)
            assert await code(ask(request)) is NOT_FOUND


async def test_a_version_that_is_not_there_is_not_ready(serving: Any) -> None:
    async with serving() as running:
        ask = running.inference.ModelReady
        answers = [
            await ask(oip.ModelReadyRequest(name="ocr", version=version)) for version in ("", "7", "8", "07", "x")
        ]
        assert [answer.ready for answer in answers] == [True, True, False, False]
        assert await code(ask(oip.ModelReadyRequest(name="nobody"))) is NOT_FOUND


async def test_parameters_that_tritons_client_sends_for_itself_are_let_pass(serving: Any) -> None:
    request = images(b"abc")
    for name in ("timeout", "priority", "sequence_id"):
        request.parameters[name].int64_param = 3
    for name in ("sequence_start", "sequence_end"):
        request.parameters[name].bool_param = True
    async with serving() as running:
        answer = await running.inference.ModelInfer(request)
        assert answer.model_version == "7"
        request.parameters["allowed"].string_param = "digit"
        assert await code(running.inference.ModelInfer(request)) is INVALID


async def test_every_version_that_serves_is_told_and_can_be_asked(serving: Any, fake_ocr: Any) -> None:
    newer = FakeOcr()
    newer.bundle = dataclasses.replace(newer.bundle, version=8)
    async with serving() as running:
        running.server.served["ocr"].add(newer)
        metadata = await running.inference.ModelMetadata(oip.ModelMetadataRequest(name="ocr"))
        assert list(metadata.versions) == ["7", "8"]
        answers = [await running.inference.ModelInfer(images(b"a", model_version=v)) for v in ("7", "8", "")]
        assert [answer.model_version for answer in answers] == ["7", "8", "8"]
        stats = await running.inference.ModelStatistics(oip.ModelStatisticsRequest(name="ocr"))
        assert {(model.version, model.inference_count) for model in stats.model_stats} == {("7", 1), ("8", 2)}
        stats = await running.inference.ModelStatistics(oip.ModelStatisticsRequest(name="ocr", version="7"))
        assert [model.version for model in stats.model_stats] == ["7"]
        index = await running.inference.RepositoryIndex(oip.RepositoryIndexRequest())
        assert {(model.name, model.version) for model in index.models} == {("ocr", "7"), ("ocr", "8"), ("cloze", "7")}


async def test_a_lost_engine_is_not_ready_and_its_neighbour_is(serving: Any) -> None:
    async with serving() as running:
        assert (await running.inference.ServerReady(oip.ServerReadyRequest())).ready
        assert await code(running.inference.ModelInfer(images(b"lost"))) is grpc.StatusCode.UNAVAILABLE
        assert not (await running.inference.ServerReady(oip.ServerReadyRequest())).ready
        assert (await running.inference.ServerLive(oip.ServerLiveRequest())).live
        ready = [await running.inference.ModelReady(oip.ModelReadyRequest(name=name)) for name in ("ocr", "cloze")]
        assert [answer.ready for answer in ready] == [False, True]
        index = await running.inference.RepositoryIndex(oip.RepositoryIndexRequest())
        assert [(model.name, model.state) for model in index.models] == [("ocr", "UNAVAILABLE"), ("cloze", "READY")]
        index = await running.inference.RepositoryIndex(oip.RepositoryIndexRequest(ready=True))
        assert [model.name for model in index.models] == ["cloze"]


async def test_rows_share_batches_and_admission_with_other_calls(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving(queue_rows=4) as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        batch = running.inference.ModelInfer(images(b"a", b"bb"))
        other = running.ocr.Recognize(image(b"ccc"))
        await until(lambda: len(fake_ocr.checked) == 4)
        full = await failure(running.inference.ModelInfer(images(b"late")))
        assert full.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-retry-pushback-ms" in dict(full.trailing_metadata() or ())
        fake_ocr.gate.set()
        answers = await asyncio.gather(first, batch, other)
    assert isinstance(answers[2], ocr_pb2.RecognizeResponse)
    assert sorted(fake_ocr.runs[1]) == ["a", "bb", "ccc"], "one run for the rows of both protocols"


async def test_a_bad_row_takes_its_siblings_out_and_nobody_else(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving() as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        error = await failure(running.inference.ModelInfer(images(b"gone", b"")))
        assert error.details() == "image[1]: empty"
        fake_ocr.gate.set()
        assert (await first).candidates[0].text == nth(5)
        assert await code(running.inference.ModelInfer(images(b"next"))) is grpc.StatusCode.OK
    assert fake_ocr.ran == ["first", "next"]


# --- tensors, without a server -----------------------------------------------------------------------

SPECS = (*OcrAdapter.inputs, *ClozeAdapter.inputs)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=8), st.booleans())
def test_bytes_come_back_as_they_went(items: list[bytes], as_raw: bool) -> None:
    response = oip.ModelInferResponse()
    spec = Spec("image", "BYTES", (-1,))
    request = images(*items) if as_raw else typed("image", [len(items)], bytes_contents=items)
    array = read(request, [spec], 8)["image"]
    assert array.tolist() == items
    write(response, spec, array, raw=as_raw)
    got = list(response.raw_output_contents) if as_raw else list(response.outputs[0].contents.bytes_contents)
    assert got == ([raw(*items)] if as_raw else items)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from([spec.name for spec in SPECS] + ["other"]), max_size=3),
    st.data(),
)
def test_any_request_is_read_or_refused(names: list[str], data: st.DataObject) -> None:
    request = oip.ModelInferRequest(model_name="ocr")
    sizes = st.one_of(st.integers(-1, 4), st.integers(-(2**63), 2**63 - 1))
    for name in names:
        datatype = data.draw(st.sampled_from([*DATATYPES, "FP64", ""]))
        tensor = request.inputs.add(name=name, datatype=datatype, shape=data.draw(st.lists(sizes, max_size=4)))
        if data.draw(st.booleans()):
            tensor.contents.bytes_contents.extend(data.draw(st.lists(st.binary(max_size=3), max_size=3)))
        tensor.contents.uint_contents.extend(data.draw(st.lists(st.integers(0, 2**32 - 1), max_size=3)))
    request.raw_input_contents.extend(data.draw(st.lists(st.binary(max_size=20), max_size=3)))
    try:
        arrays = read(request, SPECS, 8)
    except InvalidInput:
        return
    for tensor in request.inputs:
        assert arrays[tensor.name].shape == tuple(tensor.shape)
        assert arrays[tensor.name].size == math.prod(tensor.shape)
