"""Print spoiled in one way at a time, for measuring alone: written apart from data.augment, with Pillow.

What training sees it learns; whether it has learnt more than that, pictures made in another way tell.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from tianzi_models.ocr.types import GrayArray
from tianzi_training.ocr.evaluation.corruptions.page import (
    PAGE_PX,
    Rng,
    as_jpeg,
    axes,
    clouds,
    gray_page,
    ink_of,
    page_of,
    page_of_colours,
)
from tianzi_training.ocr.evaluation.corruptions.worn import WORN


def spoil(kind: str, glyphs: npt.NDArray[np.uint8], rng: Rng) -> list[GrayArray]:
    """(N, S, S) glyphs, black on white → N grey pictures, spoiled in one of KINDS."""
    pages = [page_of(glyph) for glyph in glyphs]
    return [np.asarray(KINDS[kind](page, rng)) for page in pages]


def _blur(page: Image.Image, rng: Rng) -> Image.Image:
    return page.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 2.2)))


def _shake(page: Image.Image, rng: Rng) -> Image.Image:
    taps = np.zeros((5, 5))
    along, line = np.arange(5), np.full(5, 2)
    rows, columns = ((line, along), (along, line), (along, along), (along, 4 - along))[rng.integers(4)]
    taps[rows, columns] = 0.2
    return page.filter(ImageFilter.Kernel((5, 5), taps.ravel().tolist(), scale=1))


def _jpeg(page: Image.Image, rng: Rng) -> Image.Image:
    return as_jpeg(page, int(rng.integers(5, 25)))


def _grain(page: Image.Image, rng: Rng) -> Image.Image:
    return gray_page(np.asarray(page) + rng.normal(0, rng.uniform(20, 50), (PAGE_PX, PAGE_PX)))


def _specks(page: Image.Image, rng: Rng) -> Image.Image:
    values, dice, share = np.array(page, np.float64), rng.random((PAGE_PX, PAGE_PX)), rng.uniform(0.03, 0.1)
    return gray_page(np.where(dice < share, 0, np.where(dice > 1 - share, 255, values)))


def _faint(page: Image.Image, rng: Rng) -> Image.Image:
    return gray_page(rng.uniform(90, 170) + np.asarray(page) / 255 * rng.uniform(15, 50))


def _turned(page: Image.Image, rng: Rng) -> Image.Image:
    return page.rotate(rng.uniform(6, 15) * rng.choice([-1, 1]), Image.Resampling.BICUBIC, fillcolor=255)


def _perspective(page: Image.Image, rng: Rng) -> Image.Image:
    out = rng.uniform(0, 0.18, (4, 2)) * PAGE_PX
    corners = np.array([[0, 0], [0, PAGE_PX], [PAGE_PX, PAGE_PX], [PAGE_PX, 0]])
    quad = corners + out * np.sign(corners - 1)
    return page.transform(
        page.size, Image.Transform.QUAD, quad.ravel().tolist(), Image.Resampling.BICUBIC, fillcolor=255
    )


def _lamp(page: Image.Image, rng: Rng) -> Image.Image:
    (x, y), turn = axes(), rng.uniform(0, 2 * math.pi)
    fall = 1 - rng.uniform(0.25, 0.45) * (1 + x * math.cos(turn) + y * math.sin(turn))
    return gray_page(np.asarray(page) * fall.clip(0.1))


def _spot(page: Image.Image, rng: Rng) -> Image.Image:
    (x, y), (cx, cy) = axes(), rng.uniform(-1, 1, 2)
    return gray_page(np.asarray(page) * (0.35 + 0.65 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / rng.uniform(0.8, 2))))


def _underline(page: Image.Image, rng: Rng) -> Image.Image:
    y = int(rng.uniform(0.9, 0.97) * PAGE_PX)
    ImageDraw.Draw(page).line((0, y, PAGE_PX, y), fill=int(rng.integers(0, 90)), width=int(rng.integers(1, 4)))
    return page


def _small(page: Image.Image, rng: Rng) -> Image.Image:
    """The whole picture is 14 to 18 px wide, the character 11 to 15."""
    side = int(rng.integers(14, 19))
    return page.resize((side, side), Image.Resampling.BOX if rng.random() < 0.5 else Image.Resampling.LANCZOS)


def _texture(page: Image.Image, rng: Rng) -> Image.Image:
    paper = 200 + (clouds(rng, -1, 1) + rng.normal(0, 0.5, (PAGE_PX, PAGE_PX))) * rng.uniform(12, 30)
    ink = ink_of(page)
    return gray_page(paper * (1 - ink) + ink * rng.uniform(10, 70))


def _patches(page: Image.Image, rng: Rng) -> Image.Image:
    ground = Image.new("L", page.size, int(rng.integers(90, 200)))
    for x, y, width, height in np.concatenate(
        [rng.integers(-10, PAGE_PX, (6, 2)), rng.integers(8, 40, (6, 2))], axis=1
    ):
        box = (int(x), int(y), int(x + width), int(y + height))
        ImageDraw.Draw(ground).rectangle(box, fill=int(rng.integers(90, 220)))
    ink = ink_of(page)
    return gray_page(np.asarray(ground) * (1 - ink) + ink * 5)


def _frame(page: Image.Image, rng: Rng) -> Image.Image:
    rim, width = int(rng.integers(2, 10)), int(rng.integers(1, 4))
    cell = Image.new("L", (PAGE_PX + 2 * rim,) * 2, 255)
    cell.paste(page, (rim, rim))
    ImageDraw.Draw(cell).rectangle((0, 0, cell.width - 1, cell.height - 1), outline=0, width=width)
    return cell


def _outlined(page: Image.Image, rng: Rng) -> Image.Image:
    """White with a black rim on clouds, as over a picture."""
    rim, ink = ink_of(page.filter(ImageFilter.MinFilter(5))), ink_of(page)
    return gray_page(clouds(rng, 60, 200) * (1 - rim) * (1 - ink) + ink * 255)


def _shadowed(page: Image.Image, rng: Rng) -> Image.Image:
    ink = ink_of(page)
    shadow = 0.7 * np.roll(ink, (2, 2), (0, 1))
    ground = rng.uniform(120, 220) * (1 - shadow) + shadow * rng.uniform(40, 90)
    return gray_page(ground * (1 - ink) + ink * (255 if rng.random() < 0.5 else rng.uniform(0, 40)))


def _stamped(page: Image.Image, rng: Rng) -> Image.Image:
    """A red seal's rim across black print on cream."""
    seal, radius, (x, y) = (
        Image.new("L", page.size),
        rng.uniform(0.4, 1.2) * PAGE_PX,
        rng.uniform(-0.5, 1.5, 2) * PAGE_PX,
    )
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(seal).ellipse(box, outline=204, width=int(rng.integers(3, 7)))
    rgb = np.asarray(page.convert("RGB"), np.float64) * 0.85 + 30
    red = np.asarray(seal, np.float64)[..., None] / 255 * (1 - np.array([230, 40, 40]) / 255)
    return page_of_colours(rgb * (1 - red))


def _coloured(page: Image.Image, rng: Rng) -> Image.Image:
    """Ink and ground of any two colours that an eye tells apart."""
    ink, ground = rng.integers(0, 256, (2, 3))
    while math.dist(ink, ground) < 130:
        ink, ground = rng.integers(0, 256, (2, 3))
    share = ink_of(page)[..., None]
    rgb = ground * (1 - share) + ink * share + rng.normal(0, 4, (PAGE_PX, PAGE_PX, 3))
    return page_of_colours(rgb)


def _photographed(page: Image.Image, rng: Rng) -> Image.Image:
    """A little of everything: turned, out of focus, on textured paper, few pixels, grain, JPEG."""
    page = _texture(_blur(_turned(page, rng), rng) if rng.random() < 0.5 else _perspective(page, rng), rng)
    side = int(rng.integers(24, 40))
    page = page.resize((side, side), Image.Resampling.BOX)
    noisy = gray_page(np.asarray(page) + rng.normal(0, rng.uniform(5, 15), (side, side)))
    return as_jpeg(noisy, int(rng.integers(30, 70)))


KINDS: dict[str, Callable[[Image.Image, Rng], Image.Image]] = {
    change.__name__.removeprefix("_"): change
    for change in (
        _blur, _shake, _jpeg, _grain, _specks, _faint, _turned, _perspective,
        _lamp, _spot, _underline, _small, _texture, _patches, _frame, _outlined,
        _shadowed, _stamped, _coloured, _photographed, *WORN,
    )
}  # fmt: skip
"""Name → how a page (PAGE_PX, PAGE_PX), black on white, is spoiled; it may be drawn on."""
