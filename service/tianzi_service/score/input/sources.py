"""Opens what is to be scored: a folder, files that a pattern names, or one file, as entries in a settled order.

What no item can be read from raises InvalidInput; what cannot be read in the middle is a Problem in its place.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from tianzi import InvalidInput
from tianzi_service.score.input import formats, places
from tianzi_service.score.input.encodings import UTF8
from tianzi_service.score.input.entries import Entry, File

IMAGE_SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff")
)
KINDS = {
    "ocr": "a folder, an image, .jsonl, .csv, .parquet or .tar",
    "cloze": "a .doc_query, .jsonl, .csv, .parquet or .tar file",
}


@dataclass(frozen=True)
class Source:
    """entries: reads from the start, each time. count: how many there are, None where only reading would tell.
    left_out: files that the last reading has passed over, by kind."""

    entries: Callable[[], Iterator[Entry]]
    count: Callable[[], int | None]
    left_out: Callable[[], Counter[str]] = Counter


def open_source(task: str, place: str, encoding: str = UTF8) -> Source:
    """What lies at a path, pattern or URL. encoding: of texts.

    An image's id is its path in the folder or tar; a row's is its id, else its path, else its number from 1. Of several
    files, the file goes before it.

    Raises:
        InvalidInput: there is nothing, or nothing of a kind that the task reads.
    """
    if places.is_pattern(place):
        return _joined([_open_file(task, name, f"{name}:", encoding) for name in places.matches(place)])
    if task == "ocr" and places.is_folder(place):
        return _open_folder(place)
    return _open_file(task, place, "", encoding)


def _open_folder(folder: str) -> Source:
    left_out: Counter[str] = Counter()

    def entries() -> Iterator[Entry]:
        left_out.clear()
        for inside, whole in places.walk(folder, left_out):
            if _is_image(inside):
                yield File(inside, whole)
            else:
                left_out[places.kind_of(inside)] += 1

    if next(entries(), None) is None:
        others = f" but {shown(left_out)}" if left_out else ""
        suffixes = " ".join(sorted(IMAGE_SUFFIXES))
        raise InvalidInput(f"{folder}: holds no image{others}; images end in {suffixes}", field="INPUT")
    return Source(entries, lambda: sum(1 for _ in entries()), lambda: left_out)


def shown(left_out: Counter[str]) -> str:
    """Files that were left out, for people: 12 .heic, 1 hidden."""
    return ", ".join(f"{number} {kind}" for kind, number in left_out.most_common())


def _open_file(task: str, place: str, prefix: str, encoding: str) -> Source:
    """prefix: goes before the number of a row that has no id of its own."""
    if task == "ocr" and _is_image(place):
        return Source(lambda: iter([File(place, place)]), lambda: 1)
    suffix = PurePosixPath(place).suffix.lower()
    name = PurePosixPath(place).name.lower()
    if suffix == ".jsonl":
        reader: formats.Reader = formats.Jsonl(place, prefix, encoding)
    elif suffix == ".csv":
        reader = formats.Csv(place, prefix, formats.COLUMNS[task], encoding)
    elif suffix == ".parquet":
        reader = formats.Parquet(place, prefix, formats.COLUMNS[task])
    elif name.endswith((".tar", ".tar.gz", ".tgz")):
        suffixes = IMAGE_SUFFIXES if task == "ocr" else frozenset((".txt", ".json"))
        tar = formats.Tar(place, prefix, suffixes, encoding)
        tar.check()
        return Source(tar.entries, tar.count, lambda: tar.left_out)
    elif suffix == ".doc_query" and task == "cloze" and not places.is_url(place):
        reader = formats.DocQuery(place)
    elif not places.is_url(place) and not os.path.exists(place):
        raise InvalidInput(f"{place}: there is no such file", field="INPUT")
    else:
        raise InvalidInput(f"{place}: must be {KINDS[task]}", field="INPUT")
    reader.check()
    return Source(reader.entries, reader.count)


def _joined(sources: list[Source]) -> Source:
    def entries() -> Iterator[Entry]:
        for source in sources:
            yield from source.entries()

    def count() -> int | None:
        counts = [source.count() for source in sources]
        known = [number for number in counts if number is not None]
        return sum(known) if len(known) == len(counts) else None

    def left_out() -> Counter[str]:
        return sum((source.left_out() for source in sources), Counter())

    return Source(entries, count, left_out)


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES
