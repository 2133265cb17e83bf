"""Characters as they are written: KanjiVG's strokes, in the order and direction in which a hand makes them.

KanjiVG (kanjivg.tagaini.net, © Ulrich Apel, CC BY-SA 3.0) draws some 6,700 hanzi, letters and digits by the middle
lines of their strokes. Its package is a zip archive of SVG files named by code point, such as 04eac.svg and, for
another way to write the same character, 04eac-Kaisho.svg.
"""

import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from fontTools.pens.recordingPen import RecordingPen
from fontTools.svgLib.path import parse_path

from tianzi_training.ocr.data.glyphs import (
    CACHE,
    GLYPH_PX,
    INK_PX,
    Font,
    Glyphs,
    cache_file,
    read_cache,
    save_cache,
)
from tianzi_training.ocr.data.handwriting.skeleton import Strokes, even, read_strokes, save_strokes, strokes_file
from tianzi_training.ocr.data.handwriting.stroke_order import Stroke
from tianzi_training.ocr.data.handwriting.writer import write

FOLDER = Path(".cache/fonts")
WEIGHT = 2.5  # beside the fonts whose strokes are written anew, which have 1 at most
HELD_OUT = 10  # every tenth class is never trained on as its drawings have it
CURVE_POINTS = 8  # of a Bézier curve, before its points are spaced evenly
_FILE = re.compile(r"kanji/([0-9a-f]{5})(-\w+)?\.svg")
_PATH = re.compile(r'<path id="kvg:[^"]*-s\d+"[^>]* d="([^"]+)"')


def find_archive() -> Path | None:
    """The newest of those that are there."""
    return max(FOLDER.glob("kanjivg-*.whl"), default=None)


def load_stroke_order(charset: Sequence[str], held_out: bool = False) -> tuple[Glyphs, Strokes] | None:
    """The drawings of the classes in plain lines, and their strokes; None where the archive is not there.

    held_out: those of the classes that are not for training, else the others. Read from the archive on first use, then
    from the cache.
    """
    archive = find_archive()
    if archive is None:
        return None
    font = Font("kanjivg", (archive,), 0, "hand", WEIGHT, held_out=False)
    target, strokes_target = cache_file(font, charset), strokes_file(font, charset)
    if not (target.exists() and strokes_target.exists()):
        ids, strokes = _of_classes(archive, charset)
        rng = np.random.default_rng(0)
        CACHE.mkdir(parents=True, exist_ok=True)
        save_strokes(Strokes(strokes), strokes_target)
        save_cache(ids, np.stack([write(lines, rng, 0.0) for lines in strokes]), target)
    glyphs, all_strokes = read_cache(font, charset), read_strokes(strokes_target)
    chosen = np.flatnonzero((glyphs.ids % HELD_OUT == 0) == held_out)
    part = Glyphs(font, glyphs.ids[chosen], glyphs.images[chosen])
    return part, Strokes([all_strokes[int(i)] for i in chosen])


def _of_classes(archive: Path, charset: Sequence[str]) -> tuple[npt.NDArray[np.int64], list[list[Stroke]]]:
    number_of = {form: number for number, forms in enumerate(charset) for form in forms}
    found = [(number_of[char], strokes) for char, strokes in read_archive(archive) if char in number_of]
    found.sort(key=lambda drawing: drawing[0])
    return np.array([number for number, _ in found], np.int64), [strokes for _, strokes in found]


def read_archive(archive: Path) -> Iterator[tuple[str, list[Stroke]]]:
    """Each drawing's character and strokes, in pixels of a glyph that its ink fills as a font's does."""
    with zipfile.ZipFile(archive) as files:
        for name in sorted(files.namelist()):
            if file := _FILE.fullmatch(name):
                paths = _PATH.findall(files.read(name).decode())
                if paths:
                    yield chr(int(file[1], 16)), _placed([_follow(path) for path in paths])


def _follow(path: str) -> Stroke:
    """An SVG path of one line → (n, 2) points."""
    pen = RecordingPen()
    parse_path(path, pen)
    points: list[tuple[float, float]] = []
    t = np.linspace(0, 1, CURVE_POINTS + 1)[1:, None]
    for step, ends in pen.value:
        if step == "curveTo":
            a, b, c, d = (np.array(point) for point in (points[-1], *ends))
            curve = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
            points += [(float(x), float(y)) for x, y in curve]
        else:
            points += [point for point in ends if point is not None]
    return np.array(points)


def _placed(lines: list[Stroke]) -> list[Stroke]:
    points = np.concatenate(lines)
    low, high = points.min(axis=0), points.max(axis=0)
    zoom = INK_PX / max(1.0, float((high - low).max()))
    return [even((line - (low + high) / 2) * zoom + GLYPH_PX / 2) for line in lines]
