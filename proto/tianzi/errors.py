"""What a call can fail with.

TianziError
├── InvalidInput       the request cannot be answered as it is: fix it
├── NotFound           the server has no such model or service
├── Overloaded         the server's queue is full: wait retry_after_s, then try again
├── Unavailable        no server answers, or it is starting or stopping; some retries have been made
├── DeadlineExceeded   no answer within the timeout
├── Unauthenticated    the server asks for credentials, or for others
├── Closed             the client was closed before, or during, the call
└── InternalError      the server failed: report the request id
"""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2


class TianziError(Exception):
    """Base of every error that a Client raises or puts in an item's place."""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        """The part of the request that is at fault, where the server named it."""
        self.retry_after_s = retry_after_s
        """How long the server asks to wait, in seconds."""
        self.request_id = request_id
        """What the server's log knows the call by."""


class InvalidInput(TianziError):
    """The request cannot be answered as it is. The message names the field, what was seen and the limit."""


class NotFound(TianziError):
    """The server has no such model or service."""


class Overloaded(TianziError):
    """The server's queue is full."""


class Unavailable(TianziError):
    """No server answers, or it is starting or stopping."""


class DeadlineExceeded(TianziError):
    """No answer within the timeout."""


class Unauthenticated(TianziError):
    """The server asks for credentials, or for others."""


class Closed(TianziError):
    """The client was closed before, or during, the call."""


class InternalError(TianziError):
    """The server failed on a valid request, or answered what this client cannot read."""


_CLASSES: dict[grpc.StatusCode, type[TianziError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidInput,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.UNIMPLEMENTED: NotFound,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Unauthenticated,
}
_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS_KEY = "grpc-status-details-bin"


def from_status(status: status_pb2.Status) -> TianziError:
    """The error of one item of a batch or stream."""
    cls = _CLASSES.get(_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), InternalError)
    if cls is Overloaded and "larger than max" in status.message:
        cls = InvalidInput  # gRPC's own refusal of a long message: waiting would not help
    known: dict[str, Any] = {}
    violations = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    request = error_details_pb2.RequestInfo()
    for detail in status.details:
        if detail.Unpack(violations) and violations.field_violations:
            known["field"] = violations.field_violations[0].field
        elif detail.Unpack(retry):
            known["retry_after_s"] = retry.retry_delay.ToTimedelta().total_seconds()
        elif detail.Unpack(request):
            known["request_id"] = request.request_id
    return cls(status.message or str(cls.__doc__), **known)


def from_call(error: grpc.RpcError) -> TianziError:
    """The error of a whole call, as grpc and grpc.aio raise it."""
    code = error.code() or grpc.StatusCode.UNKNOWN
    status = status_pb2.Status(code=code.value[0], message=error.details() or "")
    trailing: Any = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == _DETAILS_KEY:
            status.MergeFromString(value)
    return from_status(status)
