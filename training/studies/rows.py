"""Rows of rendered characters from documents that nothing was trained on, as the recogniser reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tianzi_models.base import Model
from tianzi_models.ocr.lattice import CANDIDATES, Place
from tianzi_models.ocr.types import GrayArray, OcrRequest
from tianzi_training.config import ConfigError
from tianzi_training.ocr.data.charset import build_charset
from tianzi_training.ocr.data.glyphs import Glyphs, load_glyphs, read_catalogue
from tianzi_training.ocr.evaluation.test_sets import degrade, ink_noise

BATCH = 64
LENGTH = 20  # characters of a row
ROWS = 6  # of a page at most, all of one document
SHARED = 13  # characters that a page must not have in common with a text that was trained on


@dataclass(frozen=True)
class Page:
    """Consecutive rows of one document. rows: what they say. fonts: the number of each row's font."""

    rows: list[str]
    fonts: list[int]


@dataclass(frozen=True)
class Reading:
    """A page as the recogniser saw it. rows: candidates of each place. truth: the forms that are right there."""

    rows: list[list[Place]]
    truth: list[list[str]]


def unseen(documents: Sequence[str], known: Sequence[str]) -> list[str]:
    """The documents that share no run of SHARED characters with a known text."""
    runs = {document[i : i + SHARED] for document in documents for i in range(len(document) - SHARED + 1)}
    heads = {run[:4] for run in runs}  # few places of a text come through this
    met = {
        text[i : i + SHARED]
        for text in known
        for i in range(len(text) - SHARED + 1)
        if text[i : i + 4] in heads and text[i : i + SHARED] in runs
    }
    return [d for d in documents if not any(d[i : i + SHARED] in met for i in range(len(d) - SHARED + 1))]


class Printer:
    """Prints pages in the held-out fonts."""

    def __init__(self) -> None:
        """Raises: ConfigError: no held-out font is installed."""
        self.charset = build_charset()
        self.number = {char: number for number, forms in enumerate(self.charset) for char in forms}
        fonts = [font for font in read_catalogue() if font.held_out and font.style in ("print", "kai")]
        self.glyphs: list[Glyphs] = load_glyphs(fonts, self.charset)
        if not self.glyphs:
            raise ConfigError("no held-out fonts are installed: run `./run fonts` first")
        self.drawn = [set(glyphs.ids.tolist()) for glyphs in self.glyphs]

    def pages(self, documents: Sequence[str], rng: np.random.Generator, characters: int) -> list[Page]:
        """A page of each document until there are so many characters; rows that no font can print are left out."""
        pages: list[Page] = []
        for document in documents:
            rows, fonts = [], []
            for start in range(0, min(len(document), ROWS * LENGTH), LENGTH):
                row = document[start : start + LENGTH]
                able = [i for i, drawn in enumerate(self.drawn) if all(self.number.get(c, -1) in drawn for c in row)]
                if able and len(row) > 1:
                    rows.append(row)
                    fonts.append(int(rng.choice(able)))
            if rows:
                pages.append(Page(rows, fonts))
            if sum(len(row) for page in pages for row in page.rows) >= characters:
                break
        return pages

    def pictures(self, row: str, font: int, level: str, rng: np.random.Generator) -> list[GrayArray]:
        """level: "clean", "15 % ink noise", or a share of the training's distortion such as "75 %"."""
        glyphs = self.glyphs[font]
        places = np.searchsorted(glyphs.ids, [self.number[char] for char in row])
        images = np.stack([glyphs.images[place] for place in places])
        if level == "clean":
            return list(images)
        percent = int(level.split()[0])
        return ink_noise(images, percent, rng) if "noise" in level else degrade(images, percent / 100)


def read_page(model: Model[Any, Any, Any, Any], printer: Printer, page: Page, level: str, seed: int) -> Reading:
    """Prints a page at a level and has it recognised, CANDIDATES a place."""
    rng = np.random.default_rng(seed)
    rows = [printer.pictures(row, font, level, rng) for row, font in zip(page.rows, page.fonts, strict=True)]
    requests = (OcrRequest(picture, top_k=CANDIDATES) for row in rows for picture in row)
    answers = model.answer_all(requests, BATCH)
    found = ({c.text: c.confidence for c in answer.candidates} for answer in answers)
    truth = [[printer.charset[printer.number[char]] for char in row] for row in page.rows]
    return Reading([[next(found) for _ in row] for row in rows], truth)
