"""Our JSON of messages against protobuf's own."""

import json
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2
from tianzi_models.errors import InvalidInput
from tianzi_service.web.messages import fill, to_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
COUNTS = st.integers(0, 2**32 - 1)
FLOATS = st.floats(0, 1, width=32)


@st.composite
def responses(draw: Any) -> Any:
    response = ocr_pb2.RecognizeResponse(rejected=draw(st.booleans()), model_version=draw(COUNTS))
    for text, confidence in draw(st.lists(st.tuples(TEXTS, FLOATS), max_size=3)):
        response.candidates.add(text=text, confidence=confidence)
    if draw(st.booleans()):
        response.timing.queue_us = draw(COUNTS)
    return response


@given(responses())
def test_answers_are_written_as_protobuf_writes_them(response: ocr_pb2.RecognizeResponse) -> None:
    theirs = json_format.MessageToDict(
        response, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    ours = json.loads(json.dumps(to_json(response)))
    for mine, their in zip(ours.pop("candidates"), theirs.pop("candidates"), strict=True):
        assert mine["text"] == their["text"]
        assert np.float32(mine["confidence"]) == np.float32(their["confidence"])
    assert ours == theirs


@given(
    st.fixed_dictionaries(
        {"text": TEXTS},
        optional={
            "query_text": TEXTS,
            "marker": TEXTS,
            "candidates": st.lists(TEXTS, max_size=3),
            "top_k": COUNTS | COUNTS.map(str) | st.integers(0, 1000).map(float),
            "modelVersion": COUNTS,
        },
    )
)
def test_requests_are_read_as_protobuf_reads_them(data: dict[str, Any]) -> None:
    ours = cloze_pb2.FillRequest()
    fill(ours, data)
    assert ours == json_format.ParseDict(data, cloze_pb2.FillRequest())


def test_every_message_of_the_contract_can_be_written() -> None:
    for module in (ocr_pb2, cloze_pb2, server_pb2):
        for name in module.DESCRIPTOR.message_types_by_name:
            message = getattr(module, name)()
            theirs = json_format.MessageToDict(
                message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            assert to_json(message) == theirs


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
NAMES = st.sampled_from(["image", "gray", "top_k", "allowed", "model_version", "pixels", "x"])


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first text makes hypothesis' tables of Unicode
@given(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=2), max_size=4))
def test_whatever_comes_is_read_or_refused(data: Any) -> None:
    try:
        fill(ocr_pb2.RecognizeRequest(), data)
    except InvalidInput as error:
        assert len(str(error)) < 300  # noqa: PT017


def test_wide_numbers_are_texts() -> None:
    assert to_json(server_pb2.Limits(max_message_bytes=2**60))["max_message_bytes"] == str(2**60)
    with pytest.raises(InvalidInput, match="out of range"):
        fill(server_pb2.Limits(), {"max_message_bytes": 2**64})
