"""Entries: what a source gives for each item. Cheap to find and to send; looked into only where it is answered."""

import base64
import hashlib
import json
from typing import Any, NamedTuple, TypeAlias

from tianzi import InvalidInput, Question, TianziError
from tianzi_service.score.places import beside

Id: TypeAlias = str | int
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
    if isinstance(name, str | int):
        return name
    path = row.get("path")
    return path if isinstance(path, str) else otherwise


def _parse(number: int, line: bytes) -> dict[str, Any] | InvalidInput:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return InvalidInput(f"line {number}: no JSON: {error}", field="line")
    if isinstance(row, dict):
        return row
    return InvalidInput(f"line {number}: {type(row).__name__}, must be an object", field="line")


def _image(row: dict[str, Any], folder: str) -> Image:
    image = row.get("image")
    if isinstance(image, dict):  # as the data sets of Hugging Face have it: a struct of bytes and path
        row = image
    if isinstance(row.get("bytes"), bytes):
        return bytes(row["bytes"])
    if isinstance(row.get("path"), str):
        return beside(folder, row["path"])
    if image is None or isinstance(image, dict):
        raise InvalidInput("image: the row has neither path nor image", field="image")
    try:
        return base64.b64decode(image, validate=True)
    except (TypeError, ValueError):
        raise InvalidInput("image: no base64", field="image") from None


def _question(row: dict[str, Any], options: dict[str, Any]) -> Question:
    """The kinds of the other columns are checked where the request is made, for every caller alike."""
    given = {name: value for name, value in row.items() if value is not None}
    if ("text" in given) == ("tokens" in given):
        raise InvalidInput("text: the row must have either text or tokens", field="text")
    if not isinstance(given.get("text", ""), str):
        raise InvalidInput(f"text: {type(given['text']).__name__}, must be text", field="text")
    document = given["text" if "text" in given else "tokens"]
    return Question(document, given.get("query", ""), given.get("marker", ""), given.get("candidates", ()), **options)
