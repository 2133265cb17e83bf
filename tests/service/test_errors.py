"""The table from domain errors to gRPC codes, and what a caller is told."""

import logging
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from models import errors
from service.errors import CODES, RETRY_MS, to_status
from service.logs import request_id

START_ONLY = {errors.BundleError}
"""Ends the start, so that no call ever meets it."""


def subclasses(cls: type[Exception]) -> set[type[Exception]]:
    return {c for child in cls.__subclasses__() for c in {child, *subclasses(child)}}


def details(error: Exception) -> dict[str, Any]:
    """The details of an error's status, by the name of their type."""
    known = (error_details_pb2.BadRequest, error_details_pb2.RetryInfo, error_details_pb2.RequestInfo)
    found = {}
    for packed in to_status(error).details:
        for kind in known:
            if packed.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
    return found


def test_every_domain_error_has_a_code() -> None:
    ours = {cls for cls in subclasses(errors.TianziError) if cls.__module__ in (errors.__name__, "service.errors")}
    assert ours == set(CODES) | START_ONLY
    assert not START_ONLY & set(CODES)


def test_bad_input_names_its_field() -> None:
    error = errors.InvalidInput("image", "9000 px wide, at most 4096")
    status = to_status(error)
    assert status.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert status.message == "image: 9000 px wide, at most 4096"
    (violation,) = details(error)["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("image", "9000 px wide, at most 4096")
    assert "RetryInfo" not in details(error)


def test_overload_says_when_to_come_back() -> None:
    assert details(errors.Overloaded("full"))["RetryInfo"].retry_delay.ToMilliseconds() == RETRY_MS


@pytest.mark.parametrize("error", [ZeroDivisionError("secret"), errors.InferenceError("secret")])
def test_a_fault_of_ours_is_told_by_request_id_only(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    token = request_id.set("abc123")
    with caplog.at_level(logging.ERROR):
        status = to_status(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert status.message == "internal error; request id abc123"
    assert details(error)["RequestInfo"].request_id == "abc123"
    assert b"secret" not in status.SerializeToString()
    assert "secret" in caplog.text
    request_id.reset(token)
