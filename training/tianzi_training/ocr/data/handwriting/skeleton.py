"""Glyphs taken apart into strokes: thinned to lines, the lines followed, and joined where they cross.

A font does not say what its strokes are. Whoever writes moves them one by one, and no smooth distortion does that.
"""

import sys
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_training.ocr.data.glyphs import Font, Glyphs, cache_file
from tianzi_training.ocr.data.handwriting.stroke_order import Floats, Stroke, in_order
from tianzi_training.ocr.data.handwriting.thinning import AROUND, thin_to_lines

Pixel = tuple[int, int]

FINE = 2  # a glyph is thinned at so many times its size
SPUR_PX, BRIDGE_PX = 7, 6  # lines up to these lengths are a stroke's ragged end, or a crossing of two thick strokes
REACH = 7  # a line's direction is that of so many of its pixels
STRAIGHT = -0.75  # cosine between the directions of two lines that are one stroke
SPACING_PX = 4  # between a stroke's points
TRACING = 2  # raised when the same glyph is taken apart otherwise: older caches are not read


def trace(lines: npt.NDArray[np.bool_]) -> list[Stroke]:
    """(H, W) of thin lines → strokes, in pixels of a picture FINE times smaller."""
    graph = _Graph(lines)
    dots = graph.dots()
    graph.prune()
    graph.bridge()
    return [even(stroke / FINE) for stroke in [*graph.strokes(), *dots]]


class _Graph:
    """Ends and crossings, and the lines between them."""

    def __init__(self, lines: npt.NDArray[np.bool_]) -> None:
        pixels: set[Pixel] = {(int(y), int(x)) for y, x in zip(*np.nonzero(lines), strict=True)}
        near = {pixel: _neighbours(pixel, pixels) for pixel in pixels}
        self.place: dict[int, Floats] = {}
        node_of: dict[Pixel, int] = {}
        for pixel in sorted(pixels):
            if len(near[pixel]) != 2 and pixel not in node_of:
                group = _group(pixel, near)
                node_of.update(dict.fromkeys(group, len(self.place)))
                self.place[len(self.place)] = np.mean(group, axis=0)
        self.edges: list[tuple[int, int, Floats]] = []
        walked: set[Pixel] = set()
        for start in sorted(node_of):
            for step in near[start]:
                if step in node_of:
                    if node_of[step] > node_of[start]:
                        self.edges.append((node_of[start], node_of[step], np.array([start, step], float)))
                elif step not in walked:
                    path = _walk(start, step, near, node_of)
                    walked.update(path[1:-1])
                    self.edges.append((node_of[start], node_of[path[-1]], np.array(path, float)))
        for pixel in sorted(pixels - node_of.keys()):  # rings, which have no end
            if pixel not in walked:
                path = _walk(pixel, near[pixel][0], near, {pixel: 0})
                walked.update(path)
                self.place[len(self.place)] = np.array(pixel, float)
                self.edges.append((len(self.place) - 1, len(self.place) - 1, np.array(path, float)))

    def _degrees(self) -> dict[int, int]:
        degrees: dict[int, int] = defaultdict(int)
        for a, b, _ in self.edges:
            degrees[a] += 1
            degrees[b] += 1
        return degrees

    def dots(self) -> list[Floats]:
        """What was thinned to a single pixel, as short strokes."""
        degrees = self._degrees()
        return [place[None, ::-1] + [[0.0, 0.0], [1.0, 0.0]] for node, place in self.place.items() if not degrees[node]]

    def prune(self) -> None:
        """Takes away ragged ends."""
        degrees = self._degrees()
        self.edges = [
            (a, b, path)
            for a, b, path in self.edges
            if len(path) > SPUR_PX or {min(degrees[a], 3), min(degrees[b], 3)} != {1, 3}
        ]

    def bridge(self) -> None:
        """Makes one crossing of two that thick strokes have torn apart."""
        degrees = self._degrees()
        for i, (a, b, path) in enumerate(self.edges):
            if a != b and len(path) <= BRIDGE_PX and degrees[a] == degrees[b] == 3:
                self.place[a] = (self.place[a] + self.place[b]) / 2
                others = self.edges[:i] + self.edges[i + 1 :]
                self.edges = [(a if c == b else c, a if d == b else d, line) for c, d, line in others]
                self.bridge()
                return

    def strokes(self) -> list[Floats]:
        """Lines joined where one goes on as another, (n, 2) of x and y."""
        ends: dict[int, list[tuple[int, int]]] = defaultdict(list)  # node → (edge, which end)
        for i, (a, b, _) in enumerate(self.edges):
            ends[a].append((i, 0))
            ends[b].append((i, 1))
        joined: dict[tuple[int, int], tuple[int, int]] = {}
        for node, here in ends.items():
            ways = {end: self._direction(node, *end) for end in here}
            pairs = sorted((float(ways[e] @ ways[f]), e, f) for k, e in enumerate(here) for f in here[k + 1 :])
            for cosine, e, f in pairs:
                if cosine < STRAIGHT and e not in joined and f not in joined and e[0] != f[0]:
                    joined[e], joined[f] = f, e
        strokes, used = [], set()
        # Open ends first: a stroke is followed from where it begins.
        for first in sorted(((i, k) for i in range(len(self.edges)) for k in (0, 1)), key=lambda end: end in joined):
            parts, end = [], first
            while end[0] not in used:
                used.add(end[0])
                parts.append(self._line(*end))
                end = joined.get((end[0], 1 - end[1]), end)
            if parts:
                strokes.append(np.concatenate(parts)[:, ::-1])
        return strokes

    def _line(self, i: int, end: int) -> Floats:
        a, b, path = self.edges[i]
        line = np.concatenate([self.place[a][None], path[1:-1], self.place[b][None]])
        return line[::-1] if end else line

    def _direction(self, node: int, i: int, end: int) -> Floats:
        line = self._line(i, end)
        way = line[min(REACH, len(line) - 1)] - line[0]
        return np.asarray(way / max(1e-6, float(np.hypot(*way))))


def _neighbours(pixel: Pixel, pixels: set[Pixel]) -> list[Pixel]:
    """Beside it, and over a corner where nothing lies beside both."""
    y, x = pixel
    found = [(y + dy, x + dx) for dy, dx in AROUND[::2] if (y + dy, x + dx) in pixels]
    for dy, dx in AROUND[1::2]:
        if (y + dy, x + dx) in pixels and (y, x + dx) not in pixels and (y + dy, x) not in pixels:
            found.append((y + dy, x + dx))
    return found


def _group(pixel: Pixel, near: dict[Pixel, list[Pixel]]) -> list[Pixel]:
    """The pixels of one crossing, or an end by itself."""
    group, todo = {pixel}, [pixel] if len(near[pixel]) > 2 else []
    while todo:
        for other in near[todo.pop()]:
            if len(near[other]) > 2 and other not in group:
                group.add(other)
                todo.append(other)
    return sorted(group)


def _walk(start: Pixel, step: Pixel, near: dict[Pixel, list[Pixel]], nodes: dict[Pixel, int]) -> list[Pixel]:
    path = [start, step]
    while path[-1] not in nodes:
        ahead = [pixel for pixel in near[path[-1]] if pixel != path[-2]]
        path.append(ahead[0])
    return path


def even(line: Stroke) -> Stroke:
    """The line by points SPACING_PX apart, or by its two ends."""
    steps = np.hypot(*np.diff(line, axis=0).T)
    along = np.concatenate([[0.0], steps.cumsum()])
    wanted = np.linspace(0, along[-1], max(2, round(float(along[-1]) / SPACING_PX) + 1))
    return np.stack([np.interp(wanted, along, line[:, k]) for k in (0, 1)], axis=1)


class Strokes:
    """The strokes of a font's glyphs, as one array of points.

    Of glyph i, strokes are [glyph_ends[i - 1], glyph_ends[i]); of stroke j, points are [stroke_ends[j - 1],
    stroke_ends[j]).
    """

    def __init__(self, lines: Sequence[Sequence[Stroke]]) -> None:
        self.glyph_ends = np.cumsum([len(strokes) for strokes in lines])
        flat = [stroke for strokes in lines for stroke in strokes]
        self.stroke_ends = np.cumsum([len(stroke) for stroke in flat])
        self.points = np.concatenate([np.zeros((0, 2)), *flat]).astype(np.float32)

    def __getitem__(self, i: int) -> list[Stroke]:
        first = int(self.glyph_ends[i - 1]) if i else 0
        ends = self.stroke_ends[first : self.glyph_ends[i]]
        starts = np.concatenate([[self.stroke_ends[first - 1] if first else 0], ends[:-1]])
        return [self.points[a:b].astype(np.float64) for a, b in zip(starts, ends, strict=True)]


def trace_all(images: npt.NDArray[np.uint8]) -> list[list[Stroke]]:
    """(N, S, S) glyphs, black on white → the strokes of each, in the order in which they may have been written."""
    found = []
    for start in range(0, len(images), 256):
        fine = [
            np.asarray(Image.fromarray(image).resize((FINE * image.shape[1], FINE * image.shape[0])))
            for image in images[start : start + 256]
        ]
        found += [in_order(trace(lines)) for lines in thin_to_lines(np.stack(fine) < 128)]
    return found


def load_strokes(glyphs: Sequence[Glyphs], charset: Sequence[str], workers: int = 2) -> list[Strokes]:
    """The strokes of each font, traced on first use (some minutes), then read from the cache."""
    targets = [strokes_file(g.font, charset) for g in glyphs]
    missing = [(g, target) for g, target in zip(glyphs, targets, strict=True) if not target.exists()]
    if missing:
        print(f"tracing the strokes of {len(missing)} fonts", file=sys.stderr)
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_trace_to_cache, *zip(*missing, strict=True)))
    return [read_strokes(target) for target in targets]


def strokes_file(font: Font, charset: Sequence[str]) -> Path:
    """Where the strokes of a font's glyphs are kept."""
    return cache_file(font, charset).with_suffix(f".strokes{TRACING}.npz")


def _trace_to_cache(glyphs: Glyphs, target: Path) -> None:
    save_strokes(Strokes(trace_all(glyphs.images)), target)


def save_strokes(strokes: Strokes, target: Path) -> None:
    """Atomic: the file is there as a whole or not at all."""
    temporary = target.with_suffix(".tmp")
    with temporary.open("wb") as out:
        np.savez(out, **vars(strokes))
    temporary.replace(target)


def read_strokes(file: Path) -> Strokes:
    """What save_strokes wrote."""
    strokes = Strokes([])
    with np.load(file) as arrays:
        vars(strokes).update(arrays)
    return strokes
