"""Asks an engine about every item of a source, and writes one JSON line for each, in their order."""

import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

from tianzi import Filling, InvalidInput, Recognition, TianziError

from service.score.sources import Id, Source

T = TypeVar("T")
Result = Recognition | Filling | TianziError


@dataclass
class Tally:
    """What a run has come to so far."""

    items: int = 0
    errors: int = 0
    rejected: int = 0
    began: float = field(default_factory=time.perf_counter)

    def add(self, result: Result) -> None:
        self.items += 1
        self.errors += isinstance(result, TianziError)
        self.rejected += isinstance(result, Recognition) and result.rejected

    def __str__(self) -> str:
        rate = self.items / max(time.perf_counter() - self.began, 1e-9)
        return f"{self.items} items, {self.errors} errors, {self.rejected} rejected, {rate:.1f} items/s"


def score(
    source: Source[T], ask_many: Callable[[Iterable[T | TianziError]], Iterator[Any]], out: TextIO, tally: Tally
) -> Iterator[None]:
    """Writes one item's line at each step.

    ask_many: a Client's or Local's recognize_many or fill_many: it reads ahead of its answers, by a bounded number.
    """
    asked: deque[Id] = deque()

    def items() -> Iterator[T | TianziError]:
        tally.began = time.perf_counter()  # what came before was loading the model
        for name, item in source.items:
            asked.append(name)
            yield item

    for result in ask_many(items()):
        out.write(json.dumps({"id": asked.popleft(), **result_json(result)}, ensure_ascii=False) + "\n")
        tally.add(result)
        yield


def result_json(result: Result) -> dict[str, Any]:
    """What a line says beside its id."""
    match result:
        case TianziError():
            return {"error": str(result)}
        case Recognition():
            return {"candidates": _candidates(result), "rejected": result.rejected}
    first, *others = blanks = [_candidates(blank) for blank in result.blanks]
    return {"candidates": first, "blanks": blanks} if others else {"candidates": first}


def _candidates(answer: Any) -> list[dict[str, Any]]:
    # Six digits: float32 holds no more.
    return [{"text": c.text, "confidence": round(c.confidence, 6)} for c in answer.candidates]


@contextmanager
def open_output(path: Path) -> Iterator[TextIO]:
    """A text file that takes its name only once it is whole; standard output for "-".

    Raises:
        InvalidInput: nothing can be written there.
    """
    # Half of a surrogate pair, as undecodable file names have, is written as JSON's \\udc80.
    how: Any = {"encoding": "utf-8", "errors": "backslashreplace", "newline": "\n"}
    if str(path) == "-":
        with open(sys.stdout.fileno(), "w", closefd=False, **how) as out:
            yield out
        return
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise InvalidInput(f"{path}: {problem}", field="OUTPUT")
    if path.exists() and not path.is_file():  # /dev/null, a pipe: nothing to rename
        with path.open("w", **how) as out:
            yield out
        return
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", **how) as out:
            yield out
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
