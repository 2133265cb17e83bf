"""The one table from domain errors to gRPC codes and HTTP statuses, and gRPC's wrapper that answers with them."""

import asyncio
import contextlib
import logging
import random
import re
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

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


class PathNotFound(TianziError):
    """Nothing is served under an HTTP path."""


class MethodNotAllowed(TianziError):
    """An HTTP path is not served with this method."""


class BodyTooLarge(TianziError):
    """The body of an HTTP request is larger than a message may be."""


class BodyTooSlow(TianziError):
    """The body of an HTTP request has not come in time."""


class UnsupportedBody(TianziError):
    """The body of an HTTP request is of a type or encoding that its path does not read."""


class Status(NamedTuple):
    """What an error ends a call with, in either protocol."""

    code: grpc.StatusCode
    http: HTTPStatus


STATUSES: Mapping[type[Exception], Status] = {
    InvalidInput: Status(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.BAD_REQUEST),
    ModelNotFound: Status(grpc.StatusCode.NOT_FOUND, HTTPStatus.NOT_FOUND),
    ModelNotReady: Status(grpc.StatusCode.UNAVAILABLE, HTTPStatus.SERVICE_UNAVAILABLE),
    Overloaded: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.TOO_MANY_REQUESTS),
    DeadlineExceeded: Status(grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.GATEWAY_TIMEOUT),
    InferenceError: Status(grpc.StatusCode.INTERNAL, HTTPStatus.INTERNAL_SERVER_ERROR),
    Unauthenticated: Status(grpc.StatusCode.UNAUTHENTICATED, HTTPStatus.UNAUTHORIZED),
    PermissionDenied: Status(grpc.StatusCode.PERMISSION_DENIED, HTTPStatus.FORBIDDEN),
    # Of HTTP only; the codes are what gRPC itself ends such calls with.
    PathNotFound: Status(grpc.StatusCode.UNIMPLEMENTED, HTTPStatus.NOT_FOUND),
    MethodNotAllowed: Status(grpc.StatusCode.UNIMPLEMENTED, HTTPStatus.METHOD_NOT_ALLOWED),
    BodyTooLarge: Status(grpc.StatusCode.RESOURCE_EXHAUSTED, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    BodyTooSlow: Status(grpc.StatusCode.DEADLINE_EXCEEDED, HTTPStatus.REQUEST_TIMEOUT),
    UnsupportedBody: Status(grpc.StatusCode.INVALID_ARGUMENT, HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
}
"""BundleError is not here on purpose: it ends the start. Any other exception is as InferenceError."""

RETRY_MS = 100
"""What a refused caller is asked to wait: a full queue of crops has moved on by some runs in this time."""
RETRY = error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1_000_000 * RETRY_MS))

DOMAIN = "tianzi"
"""Of the reasons in google.rpc.ErrorInfo."""
REQUEST_ID = "x-request-id"
_SANE_ID = re.compile(r"[!-~]{1,128}")


def status_of(error: Exception) -> Status:
    """The table's row for an error."""
    return STATUSES.get(type(error)) or STATUSES[InferenceError]


def to_status(error: Exception) -> status_pb2.Status:
    """What the caller is told of an error. The cause of an INTERNAL one goes to the log, with the request id."""
    code = status_of(error).code
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
    cls = type(error) if type(error) in STATUSES else InferenceError
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()


class StatusWrapper(Wrapper):
    """Gives each call to our services a request id, ends it with the status of its error, and logs it at debug.

    The id is the caller's x-request-id, else a new one; it comes back in the trailing metadata. A message that cannot
    be parsed is INVALID_ARGUMENT, where gRPC alone would answer UNKNOWN and name our classes.
    """

    def wrap(self, method: str, handler: Any) -> Any:
        behaviour = handler.stream_stream or handler.unary_unary

        async def answer(request: Any, context: Context) -> Any:
            request_id.set(sane_id(metadata_value(context, REQUEST_ID)))
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


def sane_id(given: Any) -> str:
    """The request id that a caller gave, or a new one where it gave none, or none that fits a line of the log."""
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
