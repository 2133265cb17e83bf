"""What an HTTP caller is told of an error; the statuses are in rpc/errors.py's table."""

import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from tianzi_models.errors import ModelNotReady, Overloaded
from tianzi_service.rpc.errors import RETRY_MS, Status, Unauthenticated, status_of, to_status

JSON_TYPE = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """What is sent back. headers: beside content-length."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = (JSON_TYPE,)
    code: str = "OK"
    """The gRPC code's name that metrics and traces count."""


def json_reply(data: Any, status: int = 200) -> Reply:
    """JSON in UTF-8, without spaces."""
    return Reply(status, json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


ErrorForm = Callable[[dict[str, Any]], Any]
"""What a protocol makes of an error's code, message, field and request_id."""


def ours(error: dict[str, Any]) -> Any:
    """{"error": {"code": …, "message": …, "field": …, "request_id": …}}"""
    return {"error": error}


def open_inference(error: dict[str, Any]) -> Any:
    """{"error": "…"}: so the Open Inference Protocol wants it."""
    return {"error": error["message"]}


def error_reply(error: Exception, form: ErrorForm = ours) -> Reply:
    """What a call that ends with this error is answered."""
    row: Status = status_of(error)
    reply = json_reply(form(status_json(to_status(error))), int(row.http))
    headers = [JSON_TYPE]
    if isinstance(error, Overloaded | ModelNotReady):
        headers.append((b"retry-after", str(math.ceil(RETRY_MS / 1000)).encode()))  # whole seconds, by its definition
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    return reply._replace(headers=tuple(headers), code=row.code.name)


def status_json(status: Message) -> dict[str, Any]:
    """A google.rpc.Status, of a call or of a batch's item: code, message, the field that is wrong, the request's id."""
    assert isinstance(status, status_pb2.Status)
    told = {"code": rpc_status.code_to_grpc_status_code(status.code).name, "message": status.message}
    bad, request = error_details_pb2.BadRequest(), error_details_pb2.RequestInfo()
    for detail in reversed(status.details):  # the request's id comes first there, and last here
        if detail.Unpack(bad):
            told["field"] = bad.field_violations[0].field
        elif detail.Unpack(request):
            told["request_id"] = request.request_id
    return told
