"""Entries: what a source gives for each item. Cheap to find and to send; looked into only where it is answered."""

import hashlib
import json
import math
import os
from typing import Any, NamedTuple, TypeAlias

from tianzi import InvalidInput, Question, TianziError
from tianzi.convert import split_tokens, split_words
from tianzi.images import from_base64
from tianzi_service.score.input.encodings import UTF8, decode
from tianzi_service.score.input.places import beside

Id: TypeAlias = str | int | float | bool | list[Any] | dict[str, Any]
"""Whatever JSON can hold: an item keeps the id that it came with."""
Image: TypeAlias = str | bytes
"""A path, a URL, or an encoded file."""


class File(NamedTuple):
    """An image in a file of its own."""

    id: str
    place: str


class Line(NamedTuple):
    """A line of JSONL, not parsed. id: what the item is called that does not name itself."""

    id: str
    number: int
    line: bytes
    folder: str


class Row(NamedTuple):
    """A row of a table. folder: where its paths begin."""

    id: str
    row: dict[str, Any]
    folder: str


class Problem(NamedTuple):
    """What stands in the place of something that could not be read."""

    id: str
    message: str
    field: str


Entry: TypeAlias = File | Line | Row | Problem


TEXTS = ("text", "tokens", "query", "candidates", "marker")
"""The columns of a question."""


def image_of(entry: Entry) -> tuple[Id, Image | TianziError]:
    """The entry's id, and its image or what is wrong with it."""
    if isinstance(entry, File):
        return entry.id, entry.place
    name, row, folder = _row(entry)
    if isinstance(row, TianziError):
        return name, row
    try:
        return name, _image(row, folder)
    except InvalidInput as error:
        return name, error


def question_of(entry: Entry, **options: Any) -> tuple[Id, Question | TianziError]:
    """The entry's id, and its question or what is wrong with it. options: fields of each Question, top_k say."""
    name, row, _ = _row(entry)
    if isinstance(row, TianziError):
        return name, row
    try:
        return name, _question(row, options)
    except InvalidInput as error:
        return name, error


def weight(entry: Entry) -> int:
    """About how many bytes the entry holds in memory."""
    match entry:
        case Line(line=line):
            return len(line)
        case Row(row=row):
            return sum(len(value) for value in row.values() if isinstance(value, bytes | str))
    return 0


def update(digest: "hashlib._Hash", entry: Entry) -> None:
    """Adds what tells the entry from others to a digest."""
    match entry:
        case Line(line=line):
            digest.update(line)
        case Row(id=name, row=row):
            digest.update(name.encode(errors="surrogateescape"))
            for value in row.values():
                digest.update(value if isinstance(value, bytes) else repr(value).encode(errors="backslashreplace"))
        case _:
            digest.update(entry.id.encode(errors="surrogateescape"))
    digest.update(b"\0")


def _row(entry: Entry) -> tuple[Id, dict[str, Any] | TianziError, str]:
    match entry:
        case Row(id=name, row=row, folder=folder):
            return _name(row, name), row, folder
        case Line(id=name, number=number, line=line, folder=folder):
            parsed = _parse(number, line)
            return name if isinstance(parsed, TianziError) else _name(parsed, name), parsed, folder
        case Problem(id=name, message=message, field=field):
            return name, InvalidInput(message, field=field), ""
    return entry.id, InvalidInput(f"{entry.place}: no question", field="INPUT"), ""


def _name(row: dict[str, Any], otherwise: str) -> Id:
    name = row.get("id")
    if name is None or name == "":
        path = row.get("path")
        return path if isinstance(path, str) and path else _bytes_as_text(path) or otherwise
    if isinstance(name, str | int | list | dict) or (isinstance(name, float) and math.isfinite(name)):
        return name
    # A table's: a date, a decimal number, a UUID.
    return _bytes_as_text(name) or str(name)


def _bytes_as_text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else ""


def _parse(number: int, line: bytes) -> dict[str, Any] | InvalidInput:
    try:
        row = json.loads(decode(line, UTF8, f"line {number}"))
    except InvalidInput as error:
        return error
    except (ValueError, RecursionError) as error:
        return InvalidInput(f"line {number}: no JSON: {error}", field="line")
    if isinstance(row, dict):
        return row
    return InvalidInput(f"line {number}: {type(row).__name__}, must be an object", field="line")


def _image(row: dict[str, Any], folder: str) -> Image:
    """A row's bytes, path, or image: in base64, as bytes, or as the data sets of Hugging Face have it, with both."""
    image = row.get("image")
    if isinstance(image, dict):
        row, image = image, None
    for content in (row.get("bytes"), image):
        if isinstance(content, list):  # a column of numbers
            content = _numbers(content)
        if isinstance(content, bytes | bytearray | memoryview):
            return bytes(content)
    path = row.get("path")
    if path is not None and path != "":
        return beside(folder, path if isinstance(path, str) else _bytes_as_text(path) or str(path))
    if image is None:
        raise InvalidInput("image: the row has neither path nor image", field="image")
    if not isinstance(image, str):
        raise InvalidInput(f"image: {type(image).__name__}, must be base64 or bytes", field="image")
    try:
        return from_base64(image)
    except InvalidInput as error:
        if os.path.splitext(image)[1] and len(image) < 256:
            raise InvalidInput(f"{error}; a file's name goes into the column path", field="image") from None
        raise


def _numbers(values: list[Any]) -> bytes:
    try:
        return bytes(values)
    except (TypeError, ValueError):
        raise InvalidInput("image: a list, must be of numbers from 0 to 255", field="image") from None


def _question(row: dict[str, Any], options: dict[str, Any]) -> Question:
    """The kinds of the other columns are checked where the request is made, for every caller alike."""
    given = {name: _as_text(name, value) for name, value in row.items() if name in TEXTS and value is not None}
    if ("text" in given) == ("tokens" in given):
        raise InvalidInput("text: the row must have either text or tokens", field="text")
    if not isinstance(given.get("text", ""), str):
        raise InvalidInput(f"text: {type(given['text']).__name__}, must be text", field="text")
    if isinstance(given.get("candidates"), str):
        given["candidates"] = split_words(given["candidates"])
    if isinstance(given.get("tokens"), str):
        given["tokens"] = split_tokens(given["tokens"])
    document = given["text" if "text" in given else "tokens"]
    return Question(
        document,
        given.get("query", ""),
        given.get("marker", ""),
        given.get("candidates", ()),
        source=given.get("source", "any"),
        each_once=bool(given.get("each_once", False)),
        **options,
    )


def _as_text(name: str, value: Any) -> Any:
    """Text that a table holds as bytes, alone or in a list."""
    if isinstance(value, bytes):
        return decode(value, UTF8, name)
    if isinstance(value, list):
        return [_as_text(name, one) for one in value]
    return value
