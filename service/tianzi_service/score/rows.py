"""Results as rows of the output: JSON lines, or Parquet with a schema."""

import io
import json
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

from tianzi import InvalidInput, Recognition, TianziError
from tianzi_service.score.input.entries import Id
from tianzi_service.score.tally import Result

FORMATS = ("jsonl", "parquet")
GROUP_ROWS = 65536
"""Rows of a group in a Parquet file that parts were put together to."""


def row(name: Id, result: Result) -> dict[str, Any]:
    """One item's row."""
    return {"id": name, **result_json(result)}


def result_json(result: Result) -> dict[str, Any]:
    """What a row says beside its id."""
    match result:
        case TianziError():
            return {"error": str(result)}
        case Recognition():
            return {"candidates": _candidates(result), "rejected": result.rejected}
    first, *others = blanks = [_candidates(blank) for blank in result.blanks]
    return {"candidates": first, "blanks": blanks} if others else {"candidates": first}


def encode(rows: Sequence[dict[str, Any]], kind: str, task: str) -> bytes:
    """A part of the output: JSON lines, or a whole Parquet file."""
    if kind == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode(errors="backslashreplace")
    pa, parquet = _arrow()
    table = pa.Table.from_pylist([_storable(row) for row in rows], schema=schema(task))
    out = io.BytesIO()
    parquet.write_table(table, out, compression="zstd")
    return out.getvalue()


def schema(task: str) -> Any:
    """Of Parquet output. Where error is set, the columns before it are null."""
    pa, _ = _arrow()
    candidates = pa.list_(pa.struct([("text", pa.string()), ("confidence", pa.float64())]))
    of_task = ("rejected", pa.bool_()) if task == "ocr" else ("blanks", pa.list_(candidates))
    return pa.schema([("id", pa.string()), ("candidates", candidates), of_task, ("error", pa.string())])


class Joiner(Protocol):
    """Puts parts together, in the order in which they come."""

    def add(self, part: bytes) -> None: ...
    def close(self) -> None: ...


def joiner(out: BinaryIO, kind: str, task: str) -> Joiner:
    """Writes to out."""
    return _Lines(out) if kind == "jsonl" else _Groups(out, task)


class _Lines:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out

    def add(self, part: bytes) -> None:
        self._out.write(part)
        self._out.flush()

    def close(self) -> None:
        """There is nothing to end."""


class _Groups:
    """Small parts would make small row groups, which are slow to read."""

    def __init__(self, out: BinaryIO, task: str) -> None:
        self._pa, self._parquet = _arrow()
        self._writer = self._parquet.ParquetWriter(out, schema(task), compression="zstd")
        self._waiting: list[Any] = []
        self._rows = 0

    def add(self, part: bytes) -> None:
        table = self._parquet.read_table(io.BytesIO(part))
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= GROUP_ROWS:
            self._write()

    def close(self) -> None:
        if self._waiting:
            self._write()
        self._writer.close()

    def _write(self) -> None:
        self._writer.write_table(self._pa.concat_tables(self._waiting), row_group_size=GROUP_ROWS)
        self._waiting, self._rows = [], 0


def check_format(kind: str) -> None:
    """Raises: InvalidInput: what the format needs is not installed."""
    if kind == "parquet":
        _arrow()


def _candidates(answer: Any) -> list[dict[str, Any]]:
    # Six digits: float32 holds no more.
    return [{"text": c.text, "confidence": round(c.confidence, 6)} for c in answer.candidates]


def _storable(row: dict[str, Any]) -> dict[str, Any]:
    """Arrow takes no half of a surrogate pair, as undecodable file names have."""
    return {key: _text(value) if key in ("id", "error") else value for key, value in row.items()}


def _text(value: Any) -> str:
    """A text as it is, what else JSON can hold as JSON writes it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text.encode(errors="backslashreplace").decode()


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInput("Parquet needs pyarrow, the extra score", field="OUTPUT") from error
    return pa, parquet
