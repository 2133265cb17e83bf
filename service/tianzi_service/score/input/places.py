"""Where input lies: on disk, or at a URL that fsspec knows (s3://, gs://, https://, memory:// …)."""

import glob
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tianzi import InvalidInput
from tianzi.images import require_regular

URL_MARK = "://"
BRACES = re.compile(r"\{(?:(?P<first>\d+)\.\.(?P<last>\d+)|(?P<choices>[^{}]*,[^{}]*))\}")
MAX_SHARDS = 1_000_000


def is_url(place: str) -> bool:
    """Whether fsspec is asked for it, not the disk."""
    return URL_MARK in place


def is_pattern(place: str) -> bool:
    """Whether it stands for several files. A file that is really called so is a file."""
    return (glob.has_magic(place) or bool(BRACES.search(place))) and (is_url(place) or not os.path.exists(place))


def is_folder(place: str) -> bool:
    """Raises: InvalidInput."""
    if not is_url(place):
        return os.path.isdir(place)
    filesystem, path = _filesystem(place)
    return bool(_asked(place, filesystem.isdir, path))


def matches(pattern: str) -> list[str]:
    """The files that a pattern stands for, in order of their names; ** stands for any folders, {a,b} for either,
    {00..12} for numbers.

    Raises:
        InvalidInput: there are none.
    """
    found = {name for one in expanded(pattern) for name in _matches(one)}
    if not found:
        raise InvalidInput(f"{pattern}: no file is called so", field="INPUT")
    return sorted(found)


def expanded(pattern: str) -> Iterator[str]:
    """The patterns without braces that one with braces stands for, as a shell and WebDataset read it.

    Raises:
        InvalidInput: they are more than anybody means.
    """
    match = BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    before, after = pattern[: match.start()], pattern[match.end() :]
    first, last, choices = match["first"], match["last"], match["choices"]
    if choices is None:
        width = max(len(first), len(last)) if first.startswith("0") or last.startswith("0") else 0
        if abs(int(last) - int(first)) >= MAX_SHARDS:
            raise InvalidInput(f"{match[0]}: more than {MAX_SHARDS} numbers", field="INPUT")
        step = 1 if int(first) <= int(last) else -1
        parts = [str(number).zfill(width) for number in range(int(first), int(last) + step, step)]
    else:
        parts = choices.split(",")
    for part in parts:
        yield from expanded(before + part + after)


def _matches(pattern: str) -> list[str]:
    """Of one without braces. A plain name must be there: a shard that is missing must not be missed."""
    if not glob.has_magic(pattern):
        if not is_url(pattern) and not os.path.exists(pattern):
            raise InvalidInput(f"{pattern}: there is no such file", field="INPUT")
        return [pattern]
    if is_url(pattern):
        filesystem, path = _filesystem(pattern)
        return [filesystem.unstrip_protocol(name) for name in _asked(pattern, filesystem.glob, path)]
    return [name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]


def walk(folder: str, left_out: Counter[str]) -> Iterator[tuple[str, str]]:
    """(path within the folder, whole path) of each file, in order; hidden ones, linked folders, pipes and devices are
    left out, and counted."""
    if not is_url(folder):
        yield from _walk_disk(Path(folder), Path(folder), left_out)
        return
    filesystem, path = _filesystem(folder)
    for name in sorted(_asked(folder, filesystem.find, path)):
        inside = posixpath.relpath(name, path.rstrip("/") or "/")
        if any(part.startswith(".") for part in inside.split("/")):
            left_out["hidden"] += 1
        else:
            yield inside, filesystem.unstrip_protocol(name)


def kind_of(name: str) -> str:
    """What files that are left out are counted by."""
    suffix = os.path.splitext(name)[1].lower()
    return suffix if 1 < len(suffix) <= 12 else "without suffix"


def open_binary(place: str) -> BinaryIO:
    """Raises: InvalidInput: there is no such file; OSError: it cannot be read."""
    if is_url(place):
        filesystem, path = _filesystem(place)
        opened: BinaryIO = _asked(place, filesystem.open, path, "rb")
        return opened
    require_regular(place, "INPUT")
    try:
        return open(place, "rb")
    except FileNotFoundError:
        raise InvalidInput(f"{place}: there is no such file", field="INPUT") from None


def fetch(url: str) -> bytes:
    """A whole file. Raises: InvalidInput."""
    filesystem, path = _filesystem(url)
    content: bytes = _asked(url, filesystem.cat_file, path)
    return content


def beside(folder: str, path: str) -> str:
    """Where a path leads that was written in a file of this folder."""
    if is_url(path):
        return path
    return posixpath.join(folder, path) if is_url(folder) else os.path.join(folder, path)


def folder_of(place: str) -> str:
    """The folder, or the URL, that a file lies in."""
    return place.rpartition("/")[0] if is_url(place) else os.path.dirname(place)


def _walk_disk(folder: Path, root: Path, left_out: Counter[str]) -> Iterator[tuple[str, str]]:
    """One folder's names in memory at a time."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = folder / entry.name
        if entry.name.startswith("."):
            left_out["hidden"] += 1
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk_disk(path, root, left_out)
        elif entry.is_dir():
            left_out["linked folders"] += 1
        elif entry.is_file() or not path.exists():  # a link to nowhere is an error of its own
            yield path.relative_to(root).as_posix(), str(path)
        else:
            left_out["pipes and devices"] += 1


def _filesystem(url: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError as error:
        raise InvalidInput(f"{url}: URLs need fsspec, the extra score", field="INPUT") from error
    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:  # an unknown kind of URL; a known one whose package is not installed
        raise InvalidInput(f"{url}: {error}", field="INPUT") from error
    return filesystem, path


def _asked(url: str, ask: Any, *args: Any) -> Any:
    """What a file system answers. Each has errors of its own, of which FileNotFoundError alone is common."""
    try:
        return ask(*args)
    except FileNotFoundError:
        raise InvalidInput(f"{url}: there is no such file", field="INPUT") from None
    except Exception as error:
        raise InvalidInput(f"{url}: {type(error).__name__}: {error}", field="INPUT") from error
