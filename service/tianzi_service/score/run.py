"""One run of score: a source's parts are answered, kept, and in the end put together."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

from tianzi import InvalidInput
from tianzi_service.score.input.sources import Source
from tianzi_service.score.output import MANIFEST, SUMMARY, PartStore, ScoreError, write_whole
from tianzi_service.score.parts import PART_ITEMS, Part, Shard, cut
from tianzi_service.score.rows import check_format, joiner
from tianzi_service.score.scorer import Job, Scored
from tianzi_service.score.tally import UNCERTAIN, Tally

Answers: TypeAlias = Callable[[Job, Iterator[Part]], Iterator[Scored]]
"""Answers parts, as they are done; hands back at most a bounded number out of order."""
Advance: TypeAlias = Callable[[int], None]
"""Told how many more items are done."""


@dataclass(frozen=True)
class Target:
    """Where rows go. A folder keeps the parts; a file has them beside it until it is whole; a pipe or device, such as
    the terminal, gets them as they come, and knows neither resuming nor refusing."""

    path: Path
    folder: bool
    stream: bool

    @classmethod
    def of(cls, output: str) -> "Target":
        """What an OUTPUT means: "-", or a folder if it ends in / or is one, else a file.

        Raises:
            InvalidInput: nothing can be written there.
        """
        path = Path(output)
        folder = output.endswith("/") or path.is_dir()
        stream = output == "-" or (path.exists() and not path.is_file() and not path.is_dir())
        if not stream and not path.parent.is_dir():
            raise InvalidInput(f"{path}: there is no folder {path.parent}", field="OUTPUT")
        if folder and path.is_dir() and os.listdir(path) and not (path / MANIFEST).exists():
            raise InvalidInput(f"{path}: is a folder that holds other things", field="OUTPUT")
        if folder and path.is_file():
            raise InvalidInput(f"{path}: is a file", field="OUTPUT")
        return cls(path, folder, stream)

    @property
    def kind(self) -> str:
        """The format that the name says: a folder's and a stream's is JSON lines.

        Raises:
            InvalidInput: it says none.
        """
        suffix = self.path.suffix.lower()
        if self.folder or self.stream or suffix in (".jsonl", ".ndjson"):
            return "jsonl"
        if suffix == ".parquet":
            return "parquet"
        seen = f"unknown suffix {suffix}" if suffix else "no suffix"
        raise InvalidInput(f"{self.path}: {seen}, must be .jsonl or .parquet, or --format says which", field="OUTPUT")

    @property
    def parts(self) -> Path:
        """The folder of parts."""
        return self.path if self.folder else self.path.with_name(self.path.name + ".parts")

    def check(self, resume: bool, overwrite: bool) -> None:
        """Raises: ScoreError: something is there already, and neither resume nor overwrite was said."""
        if self.stream and (resume or overwrite):
            raise ScoreError(f"{self.path}: --resume and --overwrite are for files and folders")
        if self.stream or resume or overwrite:
            return
        if (self.parts / MANIFEST).exists():
            hint = "--resume goes on with it, --overwrite starts anew"
            raise ScoreError(f"{self.path}: {self.parts} holds an earlier run: {hint}")
        if self.path.exists() and not self.folder:
            raise ScoreError(f"{self.path}: exists; --overwrite replaces it")

    @property
    def unfinished(self) -> bool:
        """Whether there are parts that a run can go on with."""
        return not self.stream and (self.parts / MANIFEST).exists() and not (self.parts / SUMMARY).exists()

    @property
    def complete(self) -> bool:
        """Whether it is a file that a run has finished."""
        return self.path.is_file() and not self.folder and not self.parts.exists()


class Outcome(NamedTuple):
    """What a run has come to. earlier: how many of the items runs before it had done."""

    tally: Tally
    earlier: int


@dataclass(frozen=True)
class Run:
    """What to do, and how far it may go. header: what makes this run another than others, for people to read."""

    source: Source
    job: Job
    target: Target
    header: dict[str, Any]
    shard: Shard = field(default_factory=Shard)
    part_items: int = PART_ITEMS
    resume: bool = False

    def facts(self) -> dict[str, str]:
        """What is done, for people to read."""
        options = {name: str(value) for name, value in self.job.options.items()}
        own = {"output": str(self.target.path), "task": self.job.task, **options}
        shard = {"shard": f"{self.shard.number}/{self.shard.count}"} if self.shard.count > 1 else {}
        return {**{name: str(value) for name, value in self.header.items()}, **own, **shard}

    def to(self, answers: Answers, advance: Advance) -> Outcome:
        """Does it.

        Raises:
            ScoreError: it cannot go on. What is done is kept.
            OSError: the output cannot be written.
        """
        check_format(self.job.kind)
        parts = cut(self.source, self.shard, self.part_items)
        if self.target.stream:
            return Outcome(self._stream(answers(self.job, parts), advance), 0)
        with self._store() as store:
            tally = Tally()
            for number in sorted(store.done):
                tally.merge(store.done[number].tally)
            earlier = tally.items
            advance(earlier)
            for scored in answers(self.job, _unfinished(parts, store, tally)):
                store.put(scored)
                tally.merge(scored.tally)
                advance(scored.tally.items)
            if self.target.folder:
                summary = {**tally.summary(), "left_out": dict(self.source.left_out())}
                write_whole(store.folder / SUMMARY, json.dumps(summary, indent=2) + "\n")
            else:
                store.join(self.target.path)
                shutil.rmtree(store.folder)
        return Outcome(tally, earlier)

    def _stream(self, answered: Iterator[Scored], advance: Advance) -> Tally:
        tally = Tally()
        with _open_stream(self.target.path) as out:
            joined = joiner(out, self.job.kind, self.job.task)
            for scored in _in_order(answered):
                joined.add(scored.data)
                tally.merge(scored.tally)
                advance(scored.tally.items)
            joined.close()
        return tally

    @contextmanager
    def _store(self) -> Iterator[PartStore]:
        """A folder in which nothing was finished does not stay."""
        header = {**self.header, "task": self.job.task, "format": self.job.kind, "shows": self.job.shows}
        header |= {"options": self.job.options, "part_items": self.part_items}
        header |= {"shard": f"{self.shard.number}/{self.shard.count}"}
        header = json.loads(json.dumps(header))  # as it will be read
        with PartStore(self.target.parts, header, resume=self.resume) as store:
            try:
                yield store
            except BaseException:
                if not store.done:
                    shutil.rmtree(store.folder, ignore_errors=True)
                raise


def _unfinished(parts: Iterator[Part], store: PartStore, tally: Tally) -> Iterator[Part]:
    """What is left to do.

    Raises:
        ScoreError: the source is another than it was.
    """
    known = set(store.done)
    for part in parts:
        if part.number in known:
            known.remove(part.number)
            if part.digest != store.done[part.number].digest:
                raise ScoreError(f"{store.folder}: INPUT has changed since part {part.number} was done")
        else:
            full = len(tally.uncertain) == UNCERTAIN
            yield part._replace(worst=tally.uncertain[-1].confidence) if full else part
    if known:
        raise ScoreError(f"{store.folder}: INPUT has become shorter since part {max(known)} was done")


def _in_order(answered: Iterator[Scored]) -> Iterator[Scored]:
    early: dict[int, Scored] = {}
    wanted = 0
    for scored in answered:
        early[scored.number] = scored
        while wanted in early:
            yield early.pop(wanted)
            wanted += 1


@contextmanager
def _open_stream(path: Path) -> Iterator[BinaryIO]:
    if str(path) == "-":
        with open(sys.stdout.fileno(), "wb", closefd=False) as out:
            yield out
    else:
        with path.open("wb") as out:
            yield out
