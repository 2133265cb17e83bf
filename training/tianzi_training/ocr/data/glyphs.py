"""Glyphs: every class rendered once from every font, kept in a cache of arrays.

A glyph is (GLYPH_PX, GLYPH_PX) uint8, black on white, its ink centred and INK_PX on the longer side, whatever the
character: a full stop is drawn as large as a hanzi, since a crop does not show the size either.
"""

import hashlib
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont

GLYPH_PX = 64
INK_PX = 56
CATALOGUE = Path(__file__).with_name("fonts.toml")
CACHE = Path(".cache/glyphs")
RENDERING = 2  # raised when the same font and charset are drawn otherwise: older caches are not read
MAX_SIZE_PX = 600  # a full stop is a tenth of the em
REPLACEMENTS = ("\ufffe", "\uffff")  # no font draws these: what comes out is its box for missing glyphs


@dataclass(frozen=True)
class Font:
    """One font of the catalogue.

    files: the font, or its slices by character; faulty: characters in whose place it draws another, or none.
    """

    name: str
    files: tuple[Path, ...]
    index: int
    style: str
    weight: float
    held_out: bool
    faulty: str = ""


@dataclass(frozen=True)
class Glyphs:
    """A font's glyphs. ids: (n,) class numbers, ascending; images: (n, GLYPH_PX, GLYPH_PX) uint8."""

    font: Font
    ids: npt.NDArray[np.int64]
    images: npt.NDArray[np.uint8]


def read_catalogue(path: Path = CATALOGUE) -> list[Font]:
    """The fonts of the catalogue that are installed."""
    fonts = []
    for source in tomllib.loads(path.read_text(encoding="utf-8")).values():
        for entry in source["font"]:
            files = tuple(sorted(Path(source["root"]).glob(entry["files"])))
            if files:
                options = {"index": 0, "weight": 1.0, "held_out": False, **entry, "files": files}
                fonts.append(Font(**options))
    return fonts


def load_glyphs(fonts: Sequence[Font], charset: Sequence[str], workers: int = 2) -> list[Glyphs]:
    """Glyphs of each font that has any, rendered on first use (a minute or two) and mapped from the cache."""
    missing = [font for font in fonts if not cache_file(font, charset).exists()]
    if missing:
        print(f"rendering {len(charset)} classes from {len(missing)} fonts into {CACHE}", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            targets = [cache_file(font, charset) for font in missing]
            list(pool.map(_render_to_cache, missing, [charset] * len(missing), targets))
    return [glyphs for font in fonts if len((glyphs := read_cache(font, charset)).ids)]


def render_font(font: Font, charset: Sequence[str]) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """(class, glyph) for each class that the font draws; blank, missing and doubtful glyphs are left out."""
    for file in font.files:
        with TTFont(file, fontNumber=font.index if file.suffix == ".ttc" else -1, lazy=True) as ttf:
            mapped = set(ttf.getBestCmap() or {})
        usable = mapped - set(map(ord, font.faulty))
        wanted = [(number, char) for number, forms in enumerate(charset) for char in forms if ord(char) in usable]
        if not wanted:
            continue
        boxes = {glyph.tobytes() for char in REPLACEMENTS if (glyph := _draw(char, file, font.index)) is not None}
        for number, char in wanted:
            glyph = _draw(char, file, font.index)
            if glyph is not None and glyph.tobytes() not in boxes:
                yield number, glyph


def _draw(char: str, file: Path, index: int) -> npt.NDArray[np.uint8] | None:
    size = INK_PX
    for _ in range(3):  # glyphs differ in how much of the em they fill: two corrections suffice
        # The ink itself: a font's own box of a character includes its advance.
        canvas = Image.new("L", (3 * size, 3 * size))
        ImageDraw.Draw(canvas).text((size, size), char, font=_open_font(file, index, size), fill=255)
        box = canvas.getbbox()
        if box is None:
            return None
        side = max(box[2] - box[0], box[3] - box[1])
        if abs(side - INK_PX) <= 2:
            break
        size = max(8, min(MAX_SIZE_PX, round(size * INK_PX / side)))
    if side > GLYPH_PX:
        return None
    ink = np.asarray(canvas.crop(box))
    glyph = np.full((GLYPH_PX, GLYPH_PX), 255, np.uint8)
    top, left = (GLYPH_PX - ink.shape[0]) // 2, (GLYPH_PX - ink.shape[1]) // 2
    glyph[top : top + ink.shape[0], left : left + ink.shape[1]] = 255 - ink
    return glyph if (glyph < 128).sum() >= INK_PX // 4 else None


@lru_cache(maxsize=256)
def _open_font(file: Path, index: int, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(file), size, index=index, layout_engine=ImageFont.Layout.BASIC)


def cache_file(font: Font, charset: Sequence[str]) -> Path:
    """Where a font's class numbers are kept; what belongs to them lies beside it."""
    drawn = (font.index, GLYPH_PX, INK_PX, RENDERING)
    key = "\n".join([*charset, *(str(f) for f in font.files), *map(str, drawn), *font.faulty])
    return CACHE / f"{font.name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.npy"


def _render_to_cache(font: Font, charset: Sequence[str], target: Path) -> None:
    found: dict[tuple[int, bytes], npt.NDArray[np.uint8]] = {}
    for number, glyph in render_font(font, charset):
        found[number, glyph.tobytes()] = glyph
    order = sorted(found)
    ids = np.array([number for number, _ in order], dtype=np.int64)
    images = np.stack([found[key] for key in order]) if order else np.zeros((0, GLYPH_PX, GLYPH_PX), np.uint8)
    save_cache(ids, images, target)


def save_cache(ids: npt.NDArray[np.int64], images: npt.NDArray[np.uint8], target: Path) -> None:
    """Keeps glyphs where cache_file says."""
    for array, file in ((images, target.with_suffix(".images.npy")), (ids, target)):  # ids last: they say it is whole
        temporary = file.with_suffix(".tmp")
        with temporary.open("wb") as out:
            np.save(out, array)
        temporary.replace(file)


def read_cache(font: Font, charset: Sequence[str]) -> Glyphs:
    """What save_cache wrote; OSError where there is nothing."""
    file = cache_file(font, charset)
    return Glyphs(font, np.load(file), np.load(file.with_suffix(".images.npy"), mmap_mode="r"))
