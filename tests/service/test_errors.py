"""The table from domain errors to gRPC codes, and what a caller is told."""

import importlib
import logging
import pkgutil
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

import tianzi_models
import tianzi_service
from tests.service.calls import failure, image
from tianzi.v1 import ocr_pb2
from tianzi_models import errors
from tianzi_service.rpc.errors import RETRY_MS, STATUSES, to_status
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.telemetry.logs import request_id

START_ONLY = {errors.BundleError}
"""Ends the start, so that no call ever meets it."""


def subclasses(cls: type[Exception]) -> set[type[Exception]]:
    return {c for child in cls.__subclasses__() for c in {child, *subclasses(child)}}


def details(error: Exception) -> dict[str, Any]:
    """The details of an error's status, by the name of their type."""
    rpc = error_details_pb2
    known = (rpc.BadRequest, rpc.RetryInfo, rpc.RequestInfo, rpc.ErrorInfo)
    found = {}
    for packed in to_status(error).details:
        for kind in known:
            if packed.Is(kind.DESCRIPTOR):
                found[kind.DESCRIPTOR.name] = kind.FromString(packed.value)
    return found


def test_every_domain_error_has_a_code() -> None:
    for package in (tianzi_models, tianzi_service):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not module.name.endswith(("__main__", "ray_engine")):  # the latter needs an extra
                importlib.import_module(module.name)
    ours = {
        cls
        for cls in subclasses(errors.TianziError)
        if cls.__module__.startswith(("tianzi_models.", "tianzi_service."))
    }
    assert ours == set(STATUSES) | START_ONLY
    assert not START_ONLY & set(STATUSES)


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


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errors.InvalidInput("image", "empty"), "INVALID_INPUT"),
        (errors.DeadlineExceeded("late"), "DEADLINE_EXCEEDED"),
        (errors.InferenceError("secret"), "INFERENCE_ERROR"),
        (ZeroDivisionError("secret"), "INFERENCE_ERROR"),
    ],
)
def test_programs_can_read_the_reason(error: Exception, reason: str) -> None:
    info = details(error)["ErrorInfo"]
    assert (info.reason, info.domain) == (reason, "tianzi")


SECRET = "the secret of the house"


class Odd(Exception):
    """An exception that nobody knows."""


@pytest.mark.parametrize("step", ["preprocess", "cost", "run", "postprocess"])
@pytest.mark.parametrize("method", ["unary", "batch", "stream", "inference", "inference stream"])
async def test_what_goes_wrong_inside_is_never_told(
    serving: Any, fake_ocr: Any, monkeypatch: pytest.MonkeyPatch, step: str, method: str
) -> None:
    def fail(*_: Any) -> None:
        raise Odd(SECRET)

    monkeypatch.setattr(fake_ocr, step, fail)
    tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype="BYTES", shape=[1])
    tensor.contents.bytes_contents.append(b"a")
    infer = oip.ModelInferRequest(model_name="ocr", inputs=[tensor])
    async with serving() as running:
        if method in ("unary", "inference"):
            call = running.ocr.Recognize(image(b"a")) if method == "unary" else running.inference.ModelInfer(infer)
            error = await failure(call)
            assert error.code() is grpc.StatusCode.INTERNAL
            told = f"{error.details()} {error.trailing_metadata()}"
        elif method == "batch":
            told = str(await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=[image(b"a")] * 2)))
        elif method == "stream":
            told = str(
                [
                    r
                    async for r in running.ocr.StreamRecognize(
                        iter([ocr_pb2.StreamRecognizeRequest(request=image(b"a"))])
                    )
                ]
            )
        else:
            told = str([r async for r in running.inference.ModelStreamInfer(iter([infer]))])
    assert "internal error; request id" in told
    assert SECRET not in told
    assert "Odd" not in told
