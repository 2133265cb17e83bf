"""The one table from domain errors to gRPC codes, and the wrapper that answers with them."""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tianzi_models.errors import (
    DeadlineExceeded,
    InferenceError,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    TianziError,
)
from tianzi_service.rpc.middleware import Context, Wrapper, metadata_value, rewrapped
from tianzi_service.telemetry.logs import request_id

logger = logging.getLogger(__name__)


class Unauthenticated(TianziError):
    """The call brings no token."""


class PermissionDenied(TianziError):
    """The call brings a token that is not among ours."""


CODES: Mapping[type[Exception], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    ModelNotFound: grpc.StatusCode.NOT_FOUND,
    ModelNotReady: grpc.StatusCode.UNAVAILABLE,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    InferenceError: grpc.StatusCode.INTERNAL,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
}
"""BundleError is not here on purpose: it ends the start. Any other exception is INTERNAL."""

RETRY_MS = 100
"""What a refused caller is asked to wait: a full queue of crops has moved on by some runs in this time."""
RETRY = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000 * RETRY_MS))

DOMAIN = "tianzi"
"""Of the reasons in google.rpc.ErrorInfo."""
REQUEST_ID = "x-request-id"
_SANE_ID = re.compile(r"[!-~]{1,128}")


def to_status(error: Exception) -> status_pb2.Status:
    """What the caller is told of an error. The cause of an INTERNAL one goes to the log, with the request id."""
    code = CODES.get(type(error), grpc.StatusCode.INTERNAL)
    message = str(error)
    if code is grpc.StatusCode.INTERNAL:
        logger.error("internal error", exc_info=error)
        message = f"internal error; request id {request_id.get()}"
    details: list[Message] = [
        error_details_pb2.RequestInfo(request_id=request_id.get()),
        error_details_pb2.ErrorInfo(reason=_reason(error), domain=DOMAIN),
    ]
    if isinstance(error, InvalidInput):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.problem)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        details.append(RETRY)
    status = status_pb2.Status(code=code.value[0], message=message)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def _reason(error: Exception) -> str:
    """INVALID_INPUT for InvalidInput; what is not in the table is not named."""
    cls = type(error) if type(error) in CODES else InferenceError
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


class StatusWrapper(Wrapper):
    """Gives each call to our services a request id, ends it with the status of its error, and logs it at debug.

    The id is the caller's x-request-id, else a new one; it comes back in the trailing metadata. A message that cannot
    be parsed is INVALID_ARGUMENT, where gRPC alone would answer UNKNOWN and name our classes.
    """

    def wrap(self, method: str, handler: Any) -> Any:
        behaviour = handler.stream_stream or handler.unary_unary

        async def answer(request: Any, context: Context) -> Any:
            request_id.set(_request_id(metadata_value(context, REQUEST_ID)))
            context.set_trailing_metadata(((REQUEST_ID, request_id.get()),))
            began = time.perf_counter()
            outcome = "CANCELLED"
            try:
                response = await behaviour(request if handler.request_streaming else parsed(request), context)
                outcome = "OK"
                return response
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                cause = _first(error)
                if isinstance(cause, grpc.aio.BaseError):  # a write failed: gRPC has ended the call, nobody listens
                    # A task group of Python 3.13 leaves the caller's cancellation pending beside its own error:
                    # it would end gRPC's task behind our back.
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(0)
                    raise asyncio.CancelledError from cause
                status = to_status(cause)
                outcome = rpc_status.code_to_grpc_status_code(status.code).name
                await abort(context, status)
            finally:
                logger.debug("%s %s %.1f ms", method, outcome, 1000 * (time.perf_counter() - began))

        return rewrapped(handler, answer, _or_error(handler.request_deserializer))


async def abort(context: Context, status: status_pb2.Status) -> None:
    """Ends a call with a status, its details in the trailing metadata."""
    rich = rpc_status.to_status(status)
    trailing = [*rich.trailing_metadata, (REQUEST_ID, request_id.get())]
    if rich.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        trailing.append(("grpc-retry-pushback-ms", str(RETRY_MS)))  # gRPC's own retries read this one
    await context.abort(rich.code, rich.details, tuple(trailing))


def _request_id(given: Any) -> str:
    return given if isinstance(given, str) and _SANE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def _first(error: Exception) -> Exception:
    """A stream's task group wraps what went wrong."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


def _or_error(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse_or_error(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError as error:
            return error

    return parse_or_error


def parsed(request: Any) -> Any:
    """The message. Raises: InvalidInput: what came is none; see StatusWrapper."""
    if isinstance(request, DecodeError):
        raise InvalidInput("request", "is no message of this method's type")
    return request
