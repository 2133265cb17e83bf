"""Opens what is to be scored: a folder, files that a pattern names, or one file, as entries in a settled order.

What no item can be read from raises InvalidInput; what cannot be read in the middle is a Problem in its place.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from tianzi import InvalidInput
from tianzi_service.score import formats, places
from tianzi_service.score.entries import Entry, File

IMAGE_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
KINDS = {
    "ocr": "a folder, an image, .jsonl, .csv, .parquet or .tar",
    "cloze": "a .doc_query, .jsonl, .csv, .parquet or .tar file",
}


@dataclass(frozen=True)
class Source:
    """entries: reads from the start, each time. count: how many there are, None where only reading would tell."""

    entries: Callable[[], Iterator[Entry]]
    count: Callable[[], int | None]


def open_source(task: str, place: str) -> Source:
    """What lies at a path, pattern or URL.

    An image's id is its path in the folder or tar; a row's is its id, else its path, else its number from 1.

    Raises:
        InvalidInput: there is nothing, or nothing of a kind that the task reads.
    """
    if places.is_pattern(place):
        return _joined([(name, _open_file(task, name, f"{name}:")) for name in places.matches(place)])
    if task == "ocr" and places.is_folder(place):
        return _open_folder(place)
    return _open_file(task, place, "")


def _open_folder(folder: str) -> Source:
    def entries() -> Iterator[Entry]:
        return (File(inside, whole) for inside, whole in places.walk(folder) if _is_image(inside))

    return Source(entries, lambda: sum(1 for _ in entries()))


def _open_file(task: str, place: str, prefix: str) -> Source:
    """prefix: goes before the number of a row that has no id of its own."""
    if task == "ocr" and _is_image(place):
        return Source(lambda: iter([File(place, place)]), lambda: 1)
    suffix = PurePosixPath(place).suffix.lower()
    name = PurePosixPath(place).name.lower()
    if suffix == ".jsonl":
        reader: formats.Reader = formats.Jsonl(place, prefix)
    elif suffix == ".csv":
        reader = formats.Csv(place, prefix, formats.COLUMNS[task])
    elif suffix == ".parquet":
        reader = formats.Parquet(place, prefix, formats.COLUMNS[task])
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        reader = formats.Tar(place, IMAGE_SUFFIXES if task == "ocr" else frozenset((".txt", ".json")))
    elif suffix == ".doc_query" and task == "cloze" and not places.is_url(place):
        reader = formats.DocQuery(place)
    elif not places.is_url(place) and not os.path.exists(place):
        raise InvalidInput(f"{place}: there is no such file", field="INPUT")
    else:
        raise InvalidInput(f"{place}: must be {KINDS[task]}", field="INPUT")
    reader.check()
    return Source(reader.entries, reader.count)


def _joined(sources: list[tuple[str, Source]]) -> Source:
    def entries() -> Iterator[Entry]:
        for _, source in sources:
            yield from source.entries()

    def count() -> int | None:
        counts = [source.count() for _, source in sources]
        known = [number for number in counts if number is not None]
        return sum(known) if len(known) == len(counts) else None

    return Source(entries, count)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
