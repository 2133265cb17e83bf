"""Output: where parts go. A run that is killed at any moment is gone on with, and no row is lost or doubled.

A part is written to a file of its own, which gets its name when it is whole and safe on the disk. Only then is it
entered in manifest.jsonl, whose first line says what is being done. What is not entered is done again.
"""

import errno
import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from tianzi import TianziError
from tianzi_service.score.rows import joiner
from tianzi_service.score.scorer import Scored
from tianzi_service.score.tally import Tally

MANIFEST = "manifest.jsonl"
SUMMARY = "summary.json"


class ScoreError(TianziError):
    """A run cannot go on; what it has done is kept."""


@dataclass(frozen=True)
class Done:
    """A part that is finished."""

    digest: str
    tally: Tally


class PartStore:
    """A folder of parts and their manifest, locked for one run."""

    def __init__(self, folder: Path, header: dict[str, Any], *, resume: bool) -> None:
        """header: what is being done: another header cannot be gone on with. Makes the folder.

        Raises:
            ScoreError: the folder belongs to another run: to one that is under way, or with another header.
            OSError: it cannot be written.
        """
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.done: dict[int, Done] = {}
        self._kind: str = header["format"]
        self._task: str = header["task"]
        self._manifest = (folder / MANIFEST).open("a+b", buffering=0)
        try:
            self._lock()
            if resume:
                self._read(header)
            if not resume or not self._manifest.tell():
                self._start(header)
        except BaseException:
            self._manifest.close()
            raise

    def put(self, scored: Scored) -> None:
        """Keeps a part for good. Raises: OSError: there is no room, say."""
        path = self.path(scored.number)
        temporary = path.with_name(path.name + ".tmp")
        try:
            with temporary.open("wb") as file:
                file.write(scored.data)
                _sync(file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(path)) from None
        os.replace(temporary, path)
        _sync_folder(self.folder)
        self._enter({"part": scored.number, "digest": scored.digest, "tally": scored.tally.to_json()})
        self.done[scored.number] = Done(scored.digest, scored.tally)

    def path(self, number: int) -> Path:
        """The file of a part."""
        return self.folder / f"part-{number:06}.{self._kind}"

    def join(self, target: Path) -> None:
        """Puts all parts together to one file, which takes its name when it is whole. Raises: OSError."""
        temporary = target.with_name(target.name + ".tmp")
        try:
            with temporary.open("wb") as out:
                joined = joiner(out, self._kind, self._task)
                for number in sorted(self.done):
                    joined.add(self.path(number).read_bytes())
                joined.close()
                _sync(out)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(error.errno, error.strerror, str(target)) from None
        os.replace(temporary, target)
        _sync_folder(target.parent)

    def close(self) -> None:
        """Lets others have the folder."""
        self._manifest.close()

    def __enter__(self) -> "PartStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._manifest, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ScoreError(f"{self.folder}: another run is writing here") from None

    def _read(self, header: dict[str, Any]) -> None:
        """Takes up what is entered. A line without an end is what a kill has left of one."""
        self._manifest.seek(0)
        lines = self._manifest.read().split(b"\n")
        whole = lines[:-1]
        self._manifest.truncate(len(b"".join(line + b"\n" for line in whole)))
        self._manifest.seek(0, os.SEEK_END)
        if not whole:
            return
        begun = json.loads(whole[0])
        differing = sorted(key for key in {**begun, **header} if begun.get(key) != header.get(key))
        if differing:
            was = ", ".join(f"{key} {begun.get(key)!r}, now {header.get(key)!r}" for key in differing)
            raise ScoreError(f"{self.folder}: the run that is to be gone on with had {was}")
        for line in whole[1:]:
            entry = json.loads(line)
            if self.path(entry["part"]).exists():
                self.done[entry["part"]] = Done(entry["digest"], Tally.from_json(entry["tally"]))

    def _start(self, header: dict[str, Any]) -> None:
        for path in self.folder.glob("part-*"):
            path.unlink()
        (self.folder / SUMMARY).unlink(missing_ok=True)
        self._manifest.truncate(0)
        self._enter(header)

    def _enter(self, entry: dict[str, Any]) -> None:
        whole = self._manifest.seek(0, os.SEEK_END)
        line = json.dumps(entry).encode() + b"\n"
        if self._manifest.write(line) != len(line):
            self._manifest.truncate(whole)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / MANIFEST))
        os.fsync(self._manifest.fileno())


def write_whole(path: Path, text: str) -> None:
    """Writes a text file that takes its name when it is whole. Raises: OSError."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("wb") as file:
            file.write(text.encode(errors="backslashreplace"))
            _sync(file)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from None


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A new name is on the disk when its folder is."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
