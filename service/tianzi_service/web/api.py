"""/v1: the calls of tianzi.v1 in JSON. Each becomes a message, which gRPC's own servicers answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, cast

from google.protobuf.message import Message

from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2
from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.load_shedding import Gate
from tianzi_service.rpc.servicers import ClozeServicer, OcrServicer, ServerServicer
from tianzi_service.scheduling.admission import Kind
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.web.call import Call
from tianzi_service.web.endpoint import Handler
from tianzi_service.web.errors import Reply, json_reply, status_json
from tianzi_service.web.forms import JSON, MULTIPART, Part, fill_options, options_of, read_form, read_json, unsupported
from tianzi_service.web.messages import Style, to_json

INLINE_BYTES = 64 * 1024
"""Bodies up to this size are read in the event loop: it takes less than to hand them to a thread and back."""
STYLE = Style(other=status_json)

ANY = "application/octet-stream"


class Form(NamedTuple):
    """How a path's body may be written. message: what it becomes. main: the field that is the body itself where the
    body is of one of the plain types; of a batch, the field of each item. items: the batch's field of them."""

    message: type[Message]
    main: str
    plain: tuple[str, ...] = ()
    items: str = ""


IMAGE, TEXT = ("image/", ANY), ("text/plain",)
RECOGNIZE = Form(ocr_pb2.RecognizeRequest, "image", IMAGE)
RECOGNIZE_BATCH = Form(ocr_pb2.BatchRecognizeRequest, "image", items="requests")
RECOGNIZE_SEQUENCE = Form(ocr_pb2.RecognizeSequenceRequest, "image", items="requests")
FILL = Form(cloze_pb2.FillRequest, "text", TEXT)
FILL_BATCH = Form(cloze_pb2.BatchFillRequest, "text", items="requests")


class Operation(NamedTuple):
    """A path of /v1 and what answers it. reply: the message that is sent back."""

    method: str
    path: str
    handler: Handler
    form: Form | None
    reply: type[Message]
    summary: str


def operations(
    ocr: OcrServicer, cloze: ClozeServicer, info: ServerServicer, gates: Mapping[str, Gate], threads: Threads
) -> list[Operation]:
    """All of /v1. gates: of "ocr" and "cloze". threads: where large bodies are taken apart."""

    def post(path: str, form: Form, ask: Callable[..., Awaitable[Any]], reply: type[Message], told: str) -> Operation:
        gate = None if form.items else gates["ocr" if form.main == "image" else "cloze"]
        return Operation("POST", path, _handler(form, ask, gate, threads), form, reply, told)

    async def get_info(call: Call) -> Reply:
        return json_reply(to_json(await info.GetInfo(server_pb2.GetInfoRequest(), cast(Any, call))))

    one, many, row = ocr_pb2.RecognizeResponse, ocr_pb2.BatchRecognizeResponse, ocr_pb2.RecognizeSequenceResponse
    return [
        post("/v1/recognize", RECOGNIZE, ocr.Recognize, one, "Recognise the character in an image."),
        post("/v1/fill", FILL, cloze.Fill, cloze_pb2.FillResponse, "Fill the blanks of a text."),
        post("/v1/recognize:batch", RECOGNIZE_BATCH, ocr.BatchRecognize, many, "Recognise many images, in order."),
        post("/v1/recognize:sequence", RECOGNIZE_SEQUENCE, ocr.RecognizeSequence, row, "Read images as one text."),
        post("/v1/fill:batch", FILL_BATCH, cloze.BatchFill, cloze_pb2.BatchFillResponse, "Fill many texts, in order."),
        Operation("GET", "/v1/info", get_info, None, server_pb2.GetInfoResponse, "Models that serve, and limits."),
    ]


def _handler(form: Form, ask: Callable[..., Awaitable[Any]], gate: Gate | None, threads: Threads) -> Handler:
    crew = threads.of(Kind.BATCH if form.items else Kind.UNARY)

    async def answer(call: Call) -> Reply:
        if gate is not None and gate.is_narrow():  # a refusal before the body is read costs less
            gate.require(call.deadline_s)
        body = await call.body()
        kind = call.header(b"content-type")
        if len(body) <= INLINE_BYTES:
            message = read(form, kind, call.query, body)
        else:
            message = await crew.run(read, form, kind, call.query, body)
        reply = await ask(message, call)
        if not form.items:
            return json_reply(to_json(reply, STYLE))
        return await crew.run(lambda: json_reply(to_json(reply, STYLE)))

    return answer


def read(form: Form, content_type: str, query: bytes, body: bytes) -> Message:
    """The message that a body and the query's options make.

    Raises:
        InvalidInput: they make none. UnsupportedBody: the body is of no type that the path reads.
    """
    options = options_of(query) if query else {}
    message = form.message()
    kind = content_type.partition(";")[0].strip().lower()
    if kind == JSON:
        data = read_json(body)
        if not isinstance(data, dict):
            raise InvalidInput("body", "must be an object of JSON")
        return fill_options(message, options, data)
    if kind == MULTIPART:
        parts = read_form(content_type, body)
        return _of_items(form, message, parts, options) if form.items else _of_parts(form, message, parts, options)
    if kind.startswith(form.plain) or (not kind and ANY in form.plain):
        data = {form.main: _text(form.main, body)} if form.plain == TEXT else {form.main: body}
        return fill_options(message, options, data)
    raise unsupported(content_type, (JSON, MULTIPART, *(f"{one}*" if one[-1] == "/" else one for one in form.plain)))


def _of_parts(form: Form, message: Message, parts: list[Part], options: dict[str, list[str]]) -> Message:
    """One request of a form's fields."""
    given: dict[str, list[Any]] = {**options}
    for part in parts:
        given.setdefault(part.name, []).append(_value(form, part))
    return fill_options(message, given, {})


def _of_items(form: Form, message: Any, parts: list[Part], options: dict[str, list[str]]) -> Message:
    """A batch: an item for each part of the main name; all other fields hold for every item."""
    common: dict[str, list[Any]] = {**options}
    for part in parts:
        if part.name != form.main:
            common.setdefault(part.name, []).append(_text(part.name, part.data))
    for number, part in enumerate(part for part in parts if part.name == form.main):
        try:
            fill_options(getattr(message, form.items).add(), common, {form.main: _value(form, part)})
        except InvalidInput as error:
            raise InvalidInput(f"{form.items}[{number}].{error.field}", error.problem) from None
    return cast(Message, message)


def _value(form: Form, part: Part) -> str | bytes:
    """A file of an image is bytes; all else is text, such as an image in base64."""
    is_image = form.main == "image" and part.name == "image" and not part.text
    return part.data if is_image else _text(part.name, part.data)


def _text(field: str, data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(field, f"not UTF-8: byte {error.start}") from None
