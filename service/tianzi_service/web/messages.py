"""Protocol buffers ↔ JSON values, by the messages' descriptors: a new field of a message is read and written at once.

The form is proto3's JSON with the names of the .proto files; lowerCamelCase is read, too. json_format of protobuf gives
the same, as the tests compare, but takes eight times as long, and its errors repeat what the caller sent.
"""

import base64
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.oip.tensors import shown
from tianzi_service.web.encoding import decode_bytes

F = FieldDescriptor
INTEGERS = {F.TYPE_UINT32, F.TYPE_UINT64, F.TYPE_INT32, F.TYPE_INT64}
WIDE = {F.TYPE_UINT64, F.TYPE_INT64}


class _Field(NamedTuple):
    """What reading and writing need of a field."""

    name: str
    kind: int
    repeated: bool
    presence: bool
    oneof: str
    of: Any


@cache
def _fields(descriptor: Any) -> Mapping[str, _Field]:
    """By name, and by the name in lowerCamelCase."""
    found: dict[str, _Field] = {}
    for of in descriptor.fields:
        oneof = of.containing_oneof.name if of.containing_oneof else ""
        field = _Field(of.name, of.type, of.is_repeated, of.has_presence, oneof, of)
        found[of.name] = found[of.json_name] = field
    return found


@cache
def _written(descriptor: Any) -> tuple[_Field, ...]:
    return tuple({field.name: field for field in _fields(descriptor).values()}.values())


def fill(message: Message, data: Any, path: str = "") -> None:
    """Reads JSON values into an empty message. path: of the message in the request, for errors.

    Raises:
        InvalidInput: a field is unknown, of another type or out of range; the error names it.
    """
    if not isinstance(data, dict):
        raise InvalidInput(path or "body", f"{_kind(data)}, must be an object")
    fields = _fields(message.DESCRIPTOR)
    for name, value in data.items():
        field = fields.get(name)
        where = f"{path}.{name}" if path else name
        if field is None:
            known = ", ".join(each.name for each in _written(message.DESCRIPTOR))
            raise InvalidInput(
                f"{path}.{_short(name)}" if path else _short(name), f"is not known, must be among {known}"
            )
        if value is None:  # proto3: as if it were not there
            continue
        if field.oneof and (other := message.WhichOneof(field.oneof)):
            raise InvalidInput(where, f"given beside {other}, only one of them can be")
        _set(message, field, value, where)


def _set(message: Message, field: _Field, value: Any, where: str) -> None:
    if not field.repeated:
        if field.kind == F.TYPE_MESSAGE:
            inner = getattr(message, field.name)
            inner.SetInParent()
            fill(inner, value, where)
        else:
            _assign(where, partial(setattr, message, field.name, _scalar(field, value, where)))
        return
    if not isinstance(value, list):
        raise InvalidInput(where, f"{_kind(value)}, must be a list")
    items = getattr(message, field.name)
    for number, item in enumerate(value):
        place = f"{where}[{number}]"
        if field.kind == F.TYPE_MESSAGE:
            fill(items.add(), item, place)
        else:
            scalar = _scalar(field, item, place)
            _assign(place, partial(items.append, scalar))


def _assign(where: str, act: Callable[[], None]) -> None:
    """Does what sets a value, whose range the message itself checks."""
    try:
        act()
    except UnicodeEncodeError:
        raise InvalidInput(where, "holds half of a surrogate pair") from None
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(where, "out of range") from None


def _scalar(field: _Field, value: Any, where: str) -> Any:
    """The value as Python's protobuf takes it. Numbers may be texts: proto3 allows it, and queries and forms have no
    others."""
    if field.kind == F.TYPE_STRING:
        if isinstance(value, str):
            return value
        raise InvalidInput(where, f"{_kind(value)}, must be a text")
    if field.kind == F.TYPE_BYTES:
        if isinstance(value, str):
            return decode_bytes(where, value)
        if isinstance(value, bytes):  # of a form
            return value
        raise InvalidInput(where, f"{_kind(value)}, must be a text in base64 or a data URI")
    if field.kind == F.TYPE_BOOL:
        if value in ("true", "false"):
            return value == "true"
        if isinstance(value, bool):
            return value
        raise InvalidInput(where, f"{_kind(value)}, must be true or false")
    if field.kind == F.TYPE_ENUM:
        names = field.of.enum_type.values_by_name
        if isinstance(value, str) and value in names:
            return names[value].number
        raise InvalidInput(where, f"must be among {', '.join(names)}")
    return _number(field, value, where)


def _number(field: _Field, value: Any, where: str) -> int | float:
    whole = field.kind in INTEGERS
    if isinstance(value, str):
        try:
            value = int(value) if whole else float(value)
        except ValueError:
            raise InvalidInput(where, f"a text, must be a {'whole number' if whole else 'number'}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(where, f"{_kind(value)}, must be a {'whole number' if whole else 'number'}")
    if whole and isinstance(value, float):
        if not value.is_integer():
            raise InvalidInput(where, f"{value}, must be a whole number")
        return int(value)
    if not whole and not math.isfinite(value):
        raise InvalidInput(where, "must be finite")
    return value


class Style(NamedTuple):
    """How messages are written. wide: numbers of 64 bits. other: messages that are not of ours; google.rpc's Status."""

    wide: Callable[[int], Any] = str  # JavaScript's numbers do not hold all of them
    other: Callable[[Message], Any] | None = None


PROTO3 = Style()


def to_json(message: Message, style: Style = PROTO3) -> dict[str, Any]:
    """A message as JSON values. Fields that hold nothing are there all the same, but for messages and alternatives."""
    data: dict[str, Any] = {}
    for field in _written(message.DESCRIPTOR):
        name = field.name
        if field.presence and not message.HasField(name):
            continue
        value = getattr(message, name)
        data[name] = [_value(field, item, style) for item in value] if field.repeated else _value(field, value, style)
    return data


def _value(field: _Field, value: Any, style: Style) -> Any:
    kind = field.kind
    if kind == F.TYPE_MESSAGE:
        ours = style.other is None or field.of.message_type.file.package != "google.rpc"
        return to_json(value, style) if ours or style.other is None else style.other(value)
    if kind == F.TYPE_FLOAT:
        return float(str(np.float32(value)))  # 0.1, where its nearest double is 0.10000000149011612
    if kind in WIDE:
        return style.wide(value)
    if kind == F.TYPE_BYTES:
        return base64.b64encode(value).decode()
    if kind == F.TYPE_ENUM:
        named = field.of.enum_type.values_by_number.get(value)
        return named.name if named else value
    return value


def _kind(value: Any) -> str:
    """What a JSON value is, without showing it."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _short(name: str) -> str:
    """A caller's own word, cut to what an error may repeat."""
    return shown(name)[1:-1]
