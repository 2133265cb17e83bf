"""What both clients share: a call to make, and what they need to make it."""

import json
import os
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from google.protobuf import wrappers_pb2

from tianzi import convert
from tianzi.address import is_loopback
from tianzi.errors import InvalidInput
from tianzi.types import Document, Filling, ImageSource, Question, Reading, Recognition
from tianzi.v1 import cloze_pb2, cloze_pb2_grpc, ocr_pb2, ocr_pb2_grpc

Result = TypeVar("Result")
Items = TypeVar("Items")

DEFAULT_ADDRESS = "localhost:50051"
DEFAULT_TIMEOUT_S = 10.0

Task: TypeAlias = Literal["ocr", "cloze"]
"""Which model is asked."""

_SERVICE_CONFIG = {
    # Calls go in turn to all servers that the address stands for, dns:///ocr.example.org:50051 say.
    "loadBalancingConfig": [{"round_robin": {}}],
    "methodConfig": [
        {
            "name": [{}],  # every method
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                # The server sends with RESOURCE_EXHAUSTED how long to wait, and gRPC does. A call that reaches a server
                # in the moment in which gRPC stops ends as CANCELLED; one that its caller cancels is never tried again.
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
            },
        }
    ],
}


_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 2000)]
"""A server that restarts is found again soon; gRPC's own pauses grow to two minutes."""


def channel_options(target: str, options: Sequence[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """A channel's options: retries, reconnecting, proxies, sizes; then the caller's own, which win."""
    # A proxy of the environment knows its own localhost, not ours.
    direct = [("grpc.enable_http_proxy", 0)] if is_loopback(target) else []
    # The server has a limit of its own, 16 MiB unless told otherwise; gRPC's would be 4.
    sizes = [("grpc.max_receive_message_length", -1)]
    return [("grpc.service_config", json.dumps(_SERVICE_CONFIG)), *_RECONNECT, *direct, *sizes, *options]


def call_metadata(metadata: Sequence[tuple[str, str]], token: str | None) -> tuple[tuple[str, str], ...]:
    """What goes with every call."""
    return (*metadata, ("authorization", f"Bearer {token}")) if token else tuple(metadata)


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, and how its answer is read."""

    request: Any
    read: Callable[[Any], Result]


def recognize_call(
    image: ImageSource, top_k: int, allowed: str | Sequence[str] = (), model_version: int = 0
) -> Call[Recognition]:
    """The call for one image. Raises: InvalidInput."""
    request = convert.recognize_request(image, top_k, allowed)
    request.model_version = convert.model_version(model_version)
    return Call(request, convert.recognition)


Row: TypeAlias = Call[Reading]
"""Images that are read as one text."""


def sequence_call(
    images: Iterable[ImageSource], top_k: int, allowed: str | Sequence[str] = (), model_version: int = 0
) -> Row:
    """The call for a row of images. Raises: InvalidInput."""
    row = ocr_pb2.RecognizeSequenceRequest()
    for number, image in enumerate(several("images", images)):
        try:
            row.requests.append(recognize_call(image, top_k, allowed, model_version).request)
        except InvalidInput as error:
            raise of_row(error, number) from error
    return Call(row, convert.reading)


def of_row(error: InvalidInput, number: int) -> InvalidInput:
    """The error of one image of a row, named as the server names it."""
    return InvalidInput(f"requests[{number}].{error}", field=f"requests[{number}].{error.field}")


def fill_call(question: Document | Question, model_version: int = 0) -> Call[Filling]:
    """The call for one question, or for a document of which no more is said. Raises: InvalidInput."""
    if not isinstance(question, Question):
        question = Question(question)
    request = convert.fill_request(question)
    request.model_version = convert.model_version(model_version)
    return Call(request, partial(convert.filling, question=question))


def several(field: str, items: Items) -> Items:
    """The items as they are. Raises InvalidInput where one image or text is given in the place of several."""
    one = isinstance(items, str | bytes | bytearray | memoryview | os.PathLike | Question)
    if one or hasattr(items, "getexif") or getattr(items, "ndim", 3) < 3:
        alone = "fill()" if field == "questions" else "recognize()"
        kind = type(items).__name__
        raise InvalidInput(f"{field}: one {kind}, must be a list or another iterable; {alone} takes one", field=field)
    if not isinstance(items, Iterable | AsyncIterable):
        raise InvalidInput(f"{field}: {type(items).__name__}, must be a list or another iterable", field=field)
    return items


class Endpoint(NamedTuple):
    """A service's methods on a channel. envelope: what the stream wraps a request in. sequence: OcrService's alone."""

    unary: Any
    stream: Any
    envelope: Any
    sequence: Any = None


ENVELOPES: dict[Task, Any] = {"ocr": ocr_pb2.StreamRecognizeRequest, "cloze": cloze_pb2.StreamFillRequest}


def ocr_endpoint(channel: Any) -> Endpoint:
    """OcrService."""
    stub = ocr_pb2_grpc.OcrServiceStub(channel)
    return Endpoint(stub.Recognize, stub.StreamRecognize, ENVELOPES["ocr"], stub.RecognizeSequence)


def cloze_endpoint(channel: Any) -> Endpoint:
    """ClozeService."""
    stub = cloze_pb2_grpc.ClozeServiceStub(channel)
    return Endpoint(stub.Fill, stub.StreamFill, ENVELOPES["cloze"])


def endpoints(channel: Any) -> dict[Task, Endpoint]:
    """Both services."""
    return {"ocr": ocr_endpoint(channel), "cloze": cloze_endpoint(channel)}


# HealthCheckRequest {string service = 1} and HealthCheckResponse {enum status = 1} look like these two on the wire.
# The package that has them, grpcio-health-checking, would pin the caller's protobuf below 7.
HealthRequest = wrappers_pb2.StringValue
HealthResponse = wrappers_pb2.Int32Value
SERVING = 1


def health_method(channel: Any) -> Any:
    """grpc.health.v1's Check."""
    return channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthRequest.SerializeToString,
        response_deserializer=HealthResponse.FromString,
    )
