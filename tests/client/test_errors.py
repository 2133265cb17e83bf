"""Statuses → exceptions: every code, every detail."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

import tianzi
from tianzi import errors
from tianzi_service.rpc.errors import to_status


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_code_is_an_error(code: grpc.StatusCode) -> None:
    error = errors.from_status(status_pb2.Status(code=code.value[0], message="why"))
    assert type(error) is not tianzi.TianziError
    assert isinstance(error, tianzi.TianziError)
    assert str(error) == "why"


def test_unknown_code_and_no_message() -> None:
    error = errors.from_status(status_pb2.Status(code=99))
    assert isinstance(error, tianzi.InternalError)
    assert str(error)


def test_details_are_read() -> None:
    status = status_pb2.Status(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="full")
    status.details.add().Pack(error_details_pb2.Help())
    status.details.add().Pack(error_details_pb2.RequestInfo(request_id="r1"))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=1, nanos=500_000_000)))
    error = errors.from_status(status)
    assert isinstance(error, tianzi.Overloaded)
    assert (error.request_id, error.retry_after_s, error.field) == ("r1", 1.5, None)


def test_the_services_own_errors_keep_their_message_and_field() -> None:
    from tianzi_models.errors import InvalidInput

    error = errors.from_status(to_status(InvalidInput("image", "9000 px wide, at most 4096")))
    assert isinstance(error, tianzi.InvalidInput)
    assert (str(error), error.field) == ("image: 9000 px wide, at most 4096", "image")


def test_tree_in_the_docstring_is_complete() -> None:
    classes = {c.__name__ for c in tianzi.TianziError.__subclasses__() if c.__module__.startswith("tianzi.")}
    named = {line.split()[1] for line in str(errors.__doc__).splitlines() if "──" in line}
    assert named == classes
    assert classes <= set(tianzi.__all__)
