"""Where input lies: on disk, or at a URL that fsspec knows (s3://, gs://, https://, memory:// …)."""

import glob
import os
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tianzi import InvalidInput

URL_MARK = "://"


def is_url(place: str) -> bool:
    """Whether fsspec is asked for it, not the disk."""
    return URL_MARK in place


def is_pattern(place: str) -> bool:
    """Whether it stands for several files. A file that is really called so is a file."""
    return glob.has_magic(place) and (is_url(place) or not os.path.exists(place))


def is_folder(place: str) -> bool:
    """Raises: InvalidInput."""
    if not is_url(place):
        return os.path.isdir(place)
    filesystem, path = _filesystem(place)
    return bool(_asked(place, filesystem.isdir, path))


def matches(pattern: str) -> list[str]:
    """The files that a pattern stands for, in order of their names; ** stands for any folders.

    Raises:
        InvalidInput: there are none.
    """
    if is_url(pattern):
        filesystem, path = _filesystem(pattern)
        found = [filesystem.unstrip_protocol(name) for name in _asked(pattern, filesystem.glob, path)]
    else:
        found = [name for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]
    if not found:
        raise InvalidInput(f"{pattern}: no file is called so", field="INPUT")
    return sorted(found)


def walk(folder: str) -> Iterator[tuple[str, str]]:
    """(path within the folder, whole path) of each file, in order; hidden ones and linked folders are left out."""
    if not is_url(folder):
        yield from _walk_disk(Path(folder), Path(folder))
        return
    filesystem, path = _filesystem(folder)
    for name in sorted(_asked(folder, filesystem.find, path)):
        inside = posixpath.relpath(name, path.rstrip("/") or "/")
        if not any(part.startswith(".") for part in inside.split("/")):
            yield inside, filesystem.unstrip_protocol(name)


def open_binary(place: str) -> BinaryIO:
    """Raises: InvalidInput: there is no such file; OSError: it cannot be read."""
    if is_url(place):
        filesystem, path = _filesystem(place)
        opened: BinaryIO = _asked(place, filesystem.open, path, "rb")
        return opened
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


def _walk_disk(folder: Path, root: Path) -> Iterator[tuple[str, str]]:
    """One folder's names in memory at a time."""
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = folder / entry.name
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk_disk(path, root)
        elif not entry.is_dir():
            yield path.relative_to(root).as_posix(), str(path)


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
