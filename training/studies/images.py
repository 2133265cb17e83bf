"""Pictures with labels for the studies: idx files that are checked, and characters rendered from the fonts."""

import gzip
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tianzi_models.ocr.image import normalize_crop
from tianzi_training.config import ConfigError
from tianzi_training.ocr.data.augment.augment import Augment
from tianzi_training.ocr.data.batches import GROUP
from tianzi_training.ocr.data.charset import build_charset
from tianzi_training.ocr.data.glyphs import Glyphs, load_glyphs, read_catalogue

# MD5 of each .gz as its makers publish it, and of what is inside MNIST's: copies that were packed anew are about.
FASHION = {
    "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d",),
    "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe",),
    "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79",),
    "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310",),
}
MNIST = {
    "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
}
SOURCES = {
    "Fashion-MNIST": "https://github.com/zalandoresearch/fashion-mnist, data/fashion",
    "MNIST": "https://yann.lecun.com/exdb/mnist or a mirror of it",
}

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """images: (N, H, W) uint8. labels: (N,)."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: npt.NDArray[np.int64]) -> "Part":
        """Some of it, by number."""
        return Part(self.images[chosen], self.labels[chosen])


@dataclass(frozen=True)
class Data:
    """Three parts that share no picture: what is learnt from, chosen by, and looked at once."""

    train: Part
    validation: Part
    test: Part


def read_idx(path: Path, known: Sequence[str]) -> npt.NDArray[np.uint8]:
    """An idx .gz file of bytes → an array of its shape. known: MD5 sums, of the file or of what is inside.

    Raises:
        ConfigError: the file is of another sum, or no idx file of bytes.
    """
    packed = path.read_bytes()
    try:
        data = gzip.decompress(packed)
    except (OSError, EOFError) as error:
        raise ConfigError(f"{path}: not a whole gzip file: {error}") from None
    found = [hashlib.md5(part, usedforsecurity=False).hexdigest() for part in (packed, data)]
    if not set(found) & set(known):
        raise ConfigError(f"{path}: MD5 {found[0]}, must be {known[0]}")
    # Two zero bytes, 8 = unsigned bytes, the number of dimensions; then each, four bytes, big end first.
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ConfigError(f"{path}: begins with {data[:4].hex()}, must be 000008NN, idx of unsigned bytes")
    shape = np.frombuffer(data, ">u4", data[3], 4) if len(data) >= 4 + 4 * data[3] else None
    if shape is None or len(data) != 4 + 4 * data[3] + int(np.prod(shape, dtype=np.int64)):
        raise ConfigError(f"{path}: {len(data)} bytes, not what its header says")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape([int(side) for side in shape])


def read_split(folder: Path, name: str, sums: dict[str, tuple[str, ...]]) -> Data:
    """The idx files of a folder. With its training files: a twelfth of them validates, and t10k is the test.

    With t10k alone: 64 % learn, 16 % validate, 20 % test. Which ones is fixed.

    Raises:
        ConfigError: files are missing (the message says where they are to be had) or damaged.
    """
    files = {file: folder / file for file in sums}
    if not all(files[file].exists() for file in sums if file.startswith("t10k")):
        raise ConfigError(f"{folder}: no {name} files {', '.join(sums)}; they are at {SOURCES[name]}")
    arrays = {file: read_idx(path, sums[file]) for file, path in files.items() if path.exists()}
    parts = {
        half: Part(arrays[f"{half}-images-idx3-ubyte.gz"], arrays[f"{half}-labels-idx1-ubyte.gz"].astype(np.int64))
        for half in ("train", "t10k")
        if f"{half}-images-idx3-ubyte.gz" in arrays and f"{half}-labels-idx1-ubyte.gz" in arrays
    }
    first = parts.get("train", parts["t10k"])
    order = np.random.default_rng(0).permutation(len(first))
    if "train" in parts:
        cut = len(order) // 12
        return Data(first.take(order[cut:]), first.take(order[:cut]), parts["t10k"])
    tested, validated = len(order) // 5, len(order) * 36 // 100
    return Data(first.take(order[validated:]), first.take(order[tested:validated]), first.take(order[:tested]))


def read_digits(folder: Path) -> Data:
    """MNIST, whole or its test files alone; see read_split."""
    return read_split(folder, "MNIST", MNIST)


def render_characters(chars: str, counts: tuple[int, int, int], crop_px: int, level: float, seed: int = 0) -> Data:
    """Pictures of some characters, distorted, then cropped as the server crops. Labels are places in chars.

    counts: pictures to learn from, to validate and to test. The three share no font: every fifth font that is trained
    on validates, and the held-out fonts of print test.

    Raises:
        ConfigError: no fonts are installed.
    """
    charset = build_charset()
    wanted = {number: chars.index(char) for number, forms in enumerate(charset) for char in forms if char in chars}
    fonts = [font for font in read_catalogue() if font.style in ("print", "kai")]
    glyphs = [g for g in load_glyphs(fonts, charset) if np.isin(g.ids, list(wanted)).sum() >= len(wanted) / 2]
    known, held_out = ([g for g in glyphs if g.font.held_out is kept] for kept in (False, True))
    if len(known) < 2 or not held_out:
        raise ConfigError("too few fonts are installed: run `./run fonts` first")
    split = [[g for i, g in enumerate(known) if i % 5], known[::5], held_out]
    rng = np.random.default_rng(seed)
    return Data(*(_render(rng, g, wanted, n, crop_px, level) for g, n in zip(split, counts, strict=True)))


def _render(
    rng: np.random.Generator, fonts: Sequence[Glyphs], wanted: dict[int, int], count: int, crop_px: int, level: float
) -> Part:
    # Only what is wanted is read: a font's glyphs are tens of megabytes.
    glyphs = [(g.images[i], wanted[int(g.ids[i])]) for g in fonts for i in np.flatnonzero(np.isin(g.ids, list(wanted)))]
    labels = np.array([label for _, label in glyphs])
    # Each class as often as any other, however many fonts have it.
    weights = 1 / np.bincount(labels)[labels]
    drawn = rng.choice(len(glyphs), -(-count // GROUP) * GROUP, p=weights / weights.sum())
    crops = []
    for start in range(0, len(drawn), GROUP):
        images = np.stack([glyphs[i][0] for i in drawn[start : start + GROUP]])
        pictures = Augment(int(rng.integers(2**62)), level).photograph(images)
        crops += [normalize_crop(picture, crop_px) for picture in pictures]
    return Part(np.stack(crops)[:count], labels[drawn][:count])
