"""Reads plain text and keeps it segmented, as arrays in a cache folder."""

import hashlib
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np

from tianzi_models.cloze.segment import FULL_WIDTH, PUNCTUATION, folding, segment

CACHE_FORMAT = 1


@dataclass(frozen=True)
class Text:
    """A segmented source. words: its word types. ids: (tokens,) int32 into words.

    line_ends, document_ends: ends of paragraphs and of documents, counted in tokens, ascending.
    """

    words: list[str]
    ids: np.ndarray
    line_ends: np.ndarray
    document_ends: np.ndarray


def variants() -> dict[str, str]:
    """Variant character → usual one: traditional to simplified by OpenCC, widths, quotation marks."""
    import opencc  # needed for raw text alone

    converter = opencc.OpenCC("t2s")
    table = {**PUNCTUATION, **FULL_WIDTH}
    for code in [*range(0x3400, 0xA000), *range(0xF900, 0xFB00)]:
        char, simple = chr(code), converter.convert(chr(code))
        if len(simple) == 1 and simple != char:
            table[char] = simple
    return table


def read_text(path: Path, cache: Path, max_characters: int = 0) -> Text:
    """A text file (.txt or .txt.xz: a paragraph a line, a blank line between documents), segmented.

    max_characters: stop after so many, 0 for none. The result is cached under a name that changes
    with the file and the options. An .npz that write_text wrote is read as it is.
    """
    if path.suffix == ".npz":
        return _load(path)
    stat = path.stat()
    key = hashlib.sha256(f"{CACHE_FORMAT} {path.name} {stat.st_size} {max_characters}".encode()).hexdigest()[:12]
    file = cache / f"{path.name.split('.')[0]}-{key}.npz"
    if not file.exists():
        cache.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        with temporary.open("wb") as out:
            np.savez(out, **_segment_file(path, max_characters))
        temporary.replace(file)
    return _load(file)


def _load(file: Path) -> Text:
    with np.load(file) as arrays:
        words = bytes(arrays["words"]).decode().split("\n")
        return Text(words, arrays["ids"], arrays["line_ends"], arrays["document_ends"])


def write_text(text: Text, file: Path) -> None:
    """Writes a segmented text as a compressed .npz."""
    words = np.frombuffer("\n".join(text.words).encode(), np.uint8)
    np.savez_compressed(file, words=words, ids=text.ids, line_ends=text.line_ends, document_ends=text.document_ends)


def _segment_file(path: Path, max_characters: int) -> dict[str, np.ndarray]:
    types: dict[str, int] = {}
    ids: list[np.ndarray] = []
    line_ends, document_ends, total = [], [], 0
    with Pool(2, _start, (variants(),)) as pool:
        for words in pool.imap(_segment_line, _lines(path, max_characters), chunksize=500):
            if words:
                ids.append(np.array([types.setdefault(word, len(types)) for word in words], np.int32))
                total += len(words)
                line_ends.append(total)
            elif line_ends and (not document_ends or document_ends[-1] < total):
                document_ends.append(total)
    if not document_ends or document_ends[-1] < total:
        document_ends.append(total)
    return {
        "words": np.frombuffer("\n".join(types).encode(), np.uint8),
        "ids": np.concatenate(ids),
        "line_ends": np.array(line_ends, np.int64),
        "document_ends": np.array(document_ends, np.int64),
    }


def _lines(path: Path, max_characters: int) -> Iterator[str]:
    seen = 0
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        for line in file:
            seen += len(line)
            if max_characters and seen > max_characters:
                return
            yield line.strip()


_table: dict[int, str] = {}


def _start(variants: dict[str, str]) -> None:
    _table.update(folding(variants))


def _segment_line(line: str) -> list[str]:
    return [word for word in segment(line.translate(_table)) if not word.isspace()]
