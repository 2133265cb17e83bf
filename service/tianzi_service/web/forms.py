"""Bodies of requests → messages: JSON, multipart forms, and plain files or texts with options in the query."""

import json
from collections.abc import Mapping, Sequence
from email.message import Message as Headers
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from google.protobuf.message import Message
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.errors import UnsupportedBody
from tianzi_service.web.messages import fill

Filled = TypeVar("Filled", bound=Message)

JSON = "application/json"
MULTIPART = "multipart/form-data"
MAX_PARTS = 2048
"""Of a form: more than the files of a batch and its options."""


class Part(NamedTuple):
    """A field of a form. text: whether it is an option rather than a file."""

    name: str
    data: bytes
    text: bool


def read_json(body: bytes) -> Any:
    """Raises InvalidInput, which tells the place, where it is no JSON."""
    if not body:
        raise InvalidInput("body", "empty, must be JSON")
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise InvalidInput("body", f"not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise InvalidInput("body", f"not UTF-8: byte {error.start}") from None
    except (RecursionError, ValueError):
        raise InvalidInput("body", "not JSON that can be read: nested too deeply, or a number too long") from None


def read_form(content_type: str, body: bytes) -> list[Part]:
    """The fields of a multipart form, in order. Raises InvalidInput where it is none."""
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise InvalidInput("content-type", "multipart/form-data without its boundary")
    reader = _FormReader()
    try:
        parser = MultipartParser(boundary, reader.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise InvalidInput("body", "not a multipart form with the boundary that content-type names") from None
    if not reader.ended:
        raise InvalidInput("body", "a multipart form without its end")
    return reader.parts


def options_of(query: bytes) -> dict[str, list[str]]:
    """The query's options, each with all its values. Raises InvalidInput where it is not UTF-8."""
    found: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise InvalidInput("query", "not UTF-8, escaped by per cent") from None
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def fill_options(message: Filled, options: Mapping[str, Sequence[str | bytes]], data: dict[str, Any]) -> Filled:
    """Fills a message with options, which are texts, and data. Raises: as messages.fill."""
    fields = message.DESCRIPTOR.fields_by_name
    for name, values in options.items():
        field = fields.get(name)
        if field is not None and field.is_repeated:
            data[name] = list(values)
            continue
        if len(values) > 1:
            raise InvalidInput(name, f"given {len(values)} times, must be given once")
        if name in data:
            raise InvalidInput(name, "given twice, in the body and beside it")
        data[name] = values[0]
    fill(message, data)
    return message


def unsupported(content_type: str, known: Sequence[str]) -> UnsupportedBody:
    """The error for a body of another type."""
    hint = ""
    if content_type.startswith("application/x-www-form-urlencoded"):
        hint = "; curl sends JSON with --json, a file with --data-binary @FILE and -H content-type:"
    given = content_type[:80] if content_type.isprintable() and content_type else "missing"
    return UnsupportedBody(f"content-type: {given}, must be {', '.join(known)}{hint}")


class _FormReader:
    """Takes in what python-multipart tells of a form."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers = Headers()
        self._name, self._value, self._data = b"", b"", bytearray()

    def callbacks(self) -> Any:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_part_data": self._part_data,
            "on_part_end": self._end,
            "on_end": self._all,
        }

    def _begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise InvalidInput("body", f"more than {MAX_PARTS} fields")
        self._headers = Headers()
        self._data = bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.decode("latin-1")] = self._value.decode("latin-1")
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get("content-disposition", ""))
        name = options.get(b"name", b"").decode(errors="replace")
        if not name:
            raise InvalidInput("body", f"field {len(self.parts)} of the form has no name")
        self.parts.append(Part(name, bytes(self._data), b"filename" not in options))

    def _all(self) -> None:
        self.ended = True
