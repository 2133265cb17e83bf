"""Reads what is to be scored, one item at a time: folders, JSONL, Parquet, and CMRC's .doc_query.

An item that cannot be read is the InvalidInput that says why; what no item can be read from raises it.
"""

import base64
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from tianzi import InvalidInput, Question, TianziError

from models import errors
from models.cloze.cmrc import QUESTION, read_doc_query, to_request

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff"))

T = TypeVar("T")
Id: TypeAlias = str | int
Row: TypeAlias = dict[str, Any]
Image: TypeAlias = Path | bytes


@dataclass(frozen=True)
class Source(Generic[T]):
    """items: (id, item or the error in its place). count: how many there are, found out without reading them."""

    items: Iterator[tuple[Id, T | TianziError]]
    count: Callable[[], int]


def open_images(path: Path) -> Source[Image]:
    """A folder of images with all folders in it, or the rows of a .jsonl or .parquet file.

    An image's id is its path in the folder; a row's is its id, else its path, else its number from 1.
    """
    if path.is_dir():
        return Source(_in_folder(path), lambda: sum(1 for _ in _image_files(path)))
    return _rows(path, lambda row: _image(row, path.parent), "a folder, .jsonl or .parquet", ("path", "bytes"))


def open_questions(path: Path, top_k: int) -> Source[Question]:
    """The questions of a .doc_query file, or the rows of a .jsonl or .parquet file, whose ids are as for images."""
    if path.suffix == ".doc_query":
        return Source(_in_doc_query(_existing(path), top_k), lambda: _count_lines(path, QUESTION.encode()))
    kinds = "a .doc_query, .jsonl or .parquet file"
    return _rows(path, lambda row: _question(row, top_k), kinds, ("text", "tokens"))


def _in_folder(folder: Path) -> Iterator[tuple[Id, Image]]:
    for path in _image_files(folder):
        yield path.relative_to(folder).as_posix(), path


def _image_files(folder: Path) -> Iterator[Path]:
    """In order of their paths, one folder's names in memory at a time. Hidden ones and linked folders are left out."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _image_files(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES and not entry.is_dir():
            yield path


def _in_doc_query(path: Path, top_k: int) -> Iterator[tuple[Id, Question | TianziError]]:
    asked = False
    try:
        for qid, document, query in read_doc_query(path):
            asked = True
            request = to_request(document, query)
            yield qid, Question(request.document, request.query, top_k=top_k)
    except errors.InvalidInput as error:
        problem = InvalidInput(str(error), field=error.field)
        if not asked:
            raise problem from error
        yield path.name, problem  # cut off at its end: what came before is worth its answers


def _rows(path: Path, convert: Callable[[Row], T], kinds: str, columns: tuple[str, str]) -> Source[T]:
    match _existing(path).suffix.lower():
        case ".jsonl":
            return Source(_convert(_in_jsonl(path), convert), lambda: _count_lines(path))
        case ".parquet":
            table = _open_parquet(path, columns)
            return Source(_convert(_in_parquet(table), convert), lambda: int(table.metadata.num_rows))
    raise InvalidInput(f"{path}: must be {kinds}", field="INPUT")


def _existing(path: Path) -> Path:
    if not path.exists():
        raise InvalidInput(f"{path}: there is no such file", field="INPUT")
    return path


def _convert(
    rows: Iterator[tuple[int, Row | InvalidInput]], convert: Callable[[Row], T]
) -> Iterator[tuple[Id, T | TianziError]]:
    for number, row in rows:
        if isinstance(row, InvalidInput):
            yield str(number), row
            continue
        name = row.get("id")
        if not isinstance(name, str | int):
            name = row["path"] if isinstance(row.get("path"), str) else str(number)
        try:
            yield name, convert(row)
        except InvalidInput as error:
            yield name, error


def _in_jsonl(path: Path) -> Iterator[tuple[int, Row | InvalidInput]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, InvalidInput(f"line {number}: no JSON: {error}", field="line")
                continue
            if isinstance(row, dict):
                yield number, row
            else:
                yield number, InvalidInput(f"line {number}: {type(row).__name__}, must be an object", field="line")


def _open_parquet(path: Path, columns: tuple[str, str]) -> Any:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInput(f"{path}: Parquet needs pyarrow, the extra score", field="INPUT") from error
    try:
        table = parquet.ParquetFile(path)
    except pa.ArrowException as error:
        raise InvalidInput(f"{path}: no Parquet file: {error}", field="INPUT") from error
    if not set(columns) & set(table.schema_arrow.names):
        raise InvalidInput(f"{path}: lacks a column {columns[0]} or {columns[1]}", field="INPUT")
    return table


def _in_parquet(table: Any) -> Iterator[tuple[int, Row | InvalidInput]]:
    from pyarrow import ArrowException

    wanted = {"id", "path", "bytes", "text", "tokens", "query", "candidates", "marker"}
    columns = [name for name in table.schema_arrow.names if name in wanted]
    number = 0
    try:
        for batch in table.iter_batches(batch_size=64, columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except (ArrowException, OSError) as error:
        yield number + 1, InvalidInput(f"row {number + 1}: damaged from here on: {error}", field="INPUT")


def _image(row: Row, folder: Path) -> Image:
    if isinstance(row.get("bytes"), bytes):
        return bytes(row["bytes"])
    if isinstance(row.get("path"), str):
        return folder / str(row["path"])
    try:
        image: bytes = base64.b64decode(row["image"], validate=True)
    except KeyError:
        raise InvalidInput("image: the row has neither path nor image", field="image") from None
    except (TypeError, ValueError):
        raise InvalidInput("image: no base64", field="image") from None
    return image


def _question(row: Row, top_k: int) -> Question:
    """The kinds of the other columns are checked where the request is made, for every caller alike."""
    given = {name: value for name, value in row.items() if value is not None}
    if ("text" in given) == ("tokens" in given):
        raise InvalidInput("text: the row must have either text or tokens", field="text")
    if not isinstance(given.get("text", ""), str):
        raise InvalidInput(f"text: {type(given['text']).__name__}, must be text", field="text")
    document = given["text" if "text" in given else "tokens"]
    return Question(document, given.get("query", ""), given.get("marker", ""), given.get("candidates", ()), top_k)


def _count_lines(path: Path, start: bytes = b"") -> int:
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip() and line.startswith(start))
