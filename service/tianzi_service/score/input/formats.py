"""The kinds of files that hold many items, each read as a stream of entries."""

import csv
import io
import json
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from tianzi import InvalidInput
from tianzi_models import errors
from tianzi_models.cloze.cmrc import QUESTION, read_doc_query, to_request
from tianzi_service.score.input.encodings import SNIFFED_BYTES, UTF8, check_beginning, check_wide, decode, lines_as_utf8
from tianzi_service.score.input.entries import Entry, Line, Problem, Row
from tianzi_service.score.input.places import folder_of, kind_of, open_binary

COLUMNS = {"ocr": ("path", "bytes", "image"), "cloze": ("text", "tokens")}
"""A table has at least one of these."""
WANTED = frozenset(
    ("id", "path", "bytes", "image", "text", "tokens", "query", "candidates", "marker", "source", "each_once")
)
MAX_CELL = 1 << 26
"""Characters of a CSV cell: an image of 50 MB in base64."""


class Reader(Protocol):
    """One file. check raises InvalidInput where no item can be read; entries reads from the start, each time."""

    def check(self) -> None: ...
    def entries(self) -> Iterator[Entry]: ...
    def count(self) -> int | None: ...


class Jsonl:
    """One JSON object a line."""

    def __init__(self, place: str, prefix: str, encoding: str = UTF8) -> None:
        self._place, self._prefix, self._encoding = place, prefix, encoding

    def check(self) -> None:
        with open_binary(self._place) as file:
            check_wide(file.read(SNIFFED_BYTES), self._encoding, self._place)

    def entries(self) -> Iterator[Entry]:
        folder = folder_of(self._place)
        number = 0
        with open_binary(self._place) as file:
            try:
                for number, line in enumerate(lines_as_utf8(file, self._encoding), start=1):
                    if line.strip():
                        yield Line(f"{self._prefix}{number}", number, line, folder)
            except UnicodeError as error:
                yield _cut(f"{self._prefix}{number + 1}", f"line {number + 1}", error)

    def count(self) -> int | None:
        return _count_lines(self._place) if self._encoding == UTF8 else None


class Csv:
    """A header and rows. Lists of words are texts, which entries.py takes apart."""

    def __init__(self, place: str, prefix: str, columns: tuple[str, ...], encoding: str = UTF8) -> None:
        self._place, self._prefix, self._encoding = place, prefix, encoding
        self._columns = tuple(column for column in columns if column != "bytes")
        csv.field_size_limit(MAX_CELL)

    def check(self) -> None:
        if "text" in self._columns:  # paths are bytes of any kind
            with open_binary(self._place) as file:
                check_beginning(file.read(SNIFFED_BYTES), self._encoding, self._place)
        with self._open() as lines:
            _check_columns(self._place, next(csv.reader(lines), []), self._columns)

    def entries(self) -> Iterator[Entry]:
        folder = folder_of(self._place)
        number = 0
        with self._open() as file:
            try:
                for number, cells in enumerate(csv.DictReader(file), start=1):
                    row: dict[str, Any] = {key: cell for key, cell in cells.items() if key in WANTED and cell}
                    yield Row(f"{self._prefix}{number}", row, folder)
            except (csv.Error, UnicodeError) as error:
                yield _cut(f"{self._prefix}{number + 1}", f"row {number + 1}", error)

    def count(self) -> None:
        """A cell may have many lines."""

    def _open(self) -> io.TextIOWrapper:
        # A path that is no UTF-8 still leads to its file.
        errors = "strict" if "text" in self._columns else "surrogateescape"
        encoding = "utf-8-sig" if self._encoding == UTF8 else self._encoding
        return io.TextIOWrapper(open_binary(self._place), encoding, errors=errors, newline="")


class Parquet:
    """A table of columns."""

    def __init__(self, place: str, prefix: str, columns: tuple[str, ...]) -> None:
        self._place, self._prefix, self._columns = place, prefix, columns

    def check(self) -> None:
        with self._open() as table:
            _check_columns(self._place, table.schema_arrow.names, self._columns)

    def entries(self) -> Iterator[Entry]:
        from pyarrow import ArrowException

        folder = folder_of(self._place)
        number = 0
        with self._open() as table:
            columns = [name for name in table.schema_arrow.names if name in WANTED]
            try:
                for batch in table.iter_batches(batch_size=64, columns=columns):
                    for row in batch.to_pylist():
                        number += 1
                        yield Row(f"{self._prefix}{number}", row, folder)
            except (ArrowException, OSError) as error:
                yield _cut(f"{self._prefix}{number + 1}", f"row {number + 1}", error)

    def count(self) -> int:
        with self._open() as table:
            return int(table.metadata.num_rows)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError as error:
            raise InvalidInput(f"{self._place}: Parquet needs pyarrow, the extra score", field="INPUT") from error
        with open_binary(self._place) as file:
            try:
                table = parquet.ParquetFile(file)
            except pa.ArrowException as error:
                raise InvalidInput(f"{self._place}: no Parquet file: {error}", field="INPUT") from error
            yield table


class Tar:
    """A tar, as WebDataset has them: each member of a wanted kind is an item, its path the id, with the tar's before it
    where there are several. left_out: members that were not read, by suffix."""

    def __init__(self, place: str, prefix: str, suffixes: frozenset[str], encoding: str = UTF8) -> None:
        self._place, self._prefix, self._suffixes, self._encoding = place, prefix, suffixes, encoding
        self.left_out: Counter[str] = Counter()

    def check(self) -> None:
        try:
            with open_binary(self._place) as file, self._open(file):
                pass
        except tarfile.TarError as error:
            raise InvalidInput(f"{self._place}: no tar file: {error}", field="INPUT") from error

    def entries(self) -> Iterator[Entry]:
        last = ""
        self.left_out.clear()
        try:
            with open_binary(self._place) as file, self._open(file) as tar:
                for member in tar:
                    suffix = PurePosixPath(member.name).suffix.lower()
                    if not member.isfile() or suffix not in self._suffixes:
                        if not member.isdir():
                            self.left_out[kind_of(member.name) if member.isfile() else "links and devices"] += 1
                        continue
                    opened = tar.extractfile(member)
                    content = opened.read() if opened else b""
                    last = member.name
                    yield _member(f"{self._prefix}{last}", suffix, content, self._encoding)
        # zlib.error is no OSError; a stream of gzip that ends early is EOFError.
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            yield _cut(self._place, f"after {last or 'the beginning'}", error)

    def count(self) -> None:
        """Only reading all of it would tell."""

    def _open(self, file: Any) -> tarfile.TarFile:
        return tarfile.open(fileobj=file, mode="r|*", tarinfo=_Header)


class _Header(tarfile.TarInfo):
    """tarfile takes a header that is damaged or missing for the end; only the end mark is."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_Header":
        try:
            return super().fromtarfile(tar)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error}; is it cut short?") from error


class DocQuery:
    """CMRC 2017's questions."""

    def __init__(self, place: str) -> None:
        self._path = Path(place)

    def check(self) -> None:
        """Raises where not one question can be read."""
        first = next(self.entries(), None)
        if isinstance(first, Problem):
            raise InvalidInput(first.message, field=first.field)

    def entries(self) -> Iterator[Entry]:
        open_binary(str(self._path)).close()
        try:
            for qid, document, query in read_doc_query(self._path):
                request = to_request(document, query)
                yield Row(qid, {"tokens": request.document, "query": request.query}, "")
        except errors.InvalidInput as error:
            yield Problem(self._path.name, str(error), error.field)

    def count(self) -> int:
        return _count_lines(str(self._path), QUESTION.encode())


def _member(name: str, suffix: str, content: bytes, encoding: str) -> Entry:
    if suffix not in (".txt", ".json"):
        return Row(name, {"bytes": content}, "")
    try:
        text = decode(content, encoding, name)
    except InvalidInput as error:
        return Problem(name, str(error), "encoding")
    if suffix == ".txt":
        return Row(name, {"text": text}, "")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Problem(name, f"{name}: no JSON: {error}", "line")
    if isinstance(row, dict):
        return Row(name, row, "")
    return Problem(name, f"{name}: {type(row).__name__}, must be an object", "line")


def _check_columns(place: str, names: list[str], columns: tuple[str, ...]) -> None:
    if not set(columns) & set(names):
        *others, last = columns
        wanted = f"{', '.join(others)} or {last}"
        raise InvalidInput(f"{place}: lacks a column {wanted}", field="INPUT")


def _cut(name: str, where: str, error: Exception) -> Problem:
    return Problem(name, f"{where}: damaged from here on: {error}", "INPUT")


def _count_lines(place: str, start: bytes = b"") -> int:
    with open_binary(place) as lines:
        return sum(1 for line in lines if line.strip() and line.startswith(start))
