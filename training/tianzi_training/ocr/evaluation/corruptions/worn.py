"""Print as cheap printers, fax and wear leave it, for measuring alone: written apart from data.augment.degradation."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tianzi_training.ocr.evaluation.corruptions.page import PAGE_PX, Rng, gray_page, ink_of

DOT_PX = 10


def dotted(page: Image.Image, rng: Rng) -> Image.Image:
    """By a printer's needles, 24 to 32 dots across."""
    count = int(rng.integers(24, 33))
    dots = np.asarray(page.resize((count, count), Image.Resampling.BOX)) < 150
    drawn = Image.new("L", (count * DOT_PX,) * 2, 255)
    pen = ImageDraw.Draw(drawn)
    for y, x in DOT_PX * np.argwhere(dots):
        pen.ellipse((int(x) + 1, int(y) + 1, int(x) + DOT_PX - 1, int(y) + DOT_PX - 1), fill=20)
    return drawn.resize(page.size, Image.Resampling.BOX)


def scattered(page: Image.Image, rng: Rng) -> Image.Image:
    """Grey as scattered black dots, as in newspapers: Floyd's and Steinberg's."""
    gray = rng.uniform(60, 130) + np.asarray(page) * rng.uniform(0.42, 0.48)
    return gray_page(gray).convert("1").convert("L")


def faxed(page: Image.Image, rng: Rng) -> Image.Image:
    """20 to 30 px, black or white."""
    side = int(rng.integers(20, 31))
    small = np.asarray(page.resize((side, side), Image.Resampling.BOX))
    return Image.fromarray(np.where(small < 150, 0, 255).astype(np.uint8))


def ringed(page: Image.Image, rng: Rng) -> Image.Image:
    """In a circle, as a number or a button."""
    side = int(rng.integers(34, 39))
    rim = (PAGE_PX - side) // 2
    whole = Image.new("L", page.size, 255)
    whole.paste(page.resize((side, side), Image.Resampling.LANCZOS), (rim, rim))
    ImageDraw.Draw(whole).ellipse((0, 0, PAGE_PX - 1, PAGE_PX - 1), outline=0, width=int(rng.integers(1, 4)))
    return whole


def embossed(page: Image.Image, rng: Rng) -> Image.Image:
    """Pressed into the paper: only its edges are lit or in the shade."""
    turned = page if rng.random() < 0.5 else Image.fromarray(255 - np.asarray(page))
    return turned.filter(ImageFilter.EMBOSS).crop((1, 1, PAGE_PX - 1, PAGE_PX - 1))


def gapped(page: Image.Image, rng: Rng) -> Image.Image:
    """Four rows or columns left out, one or two pixels each."""
    values = np.array(page)
    lines = values if rng.random() < 0.5 else values.T
    for at in rng.integers(4, PAGE_PX - 4, 4):
        lines[at : at + rng.integers(1, 3)] = 255
    return Image.fromarray(values)


def flaked(page: Image.Image, rng: Rng) -> Image.Image:
    """Ink come off in patches."""
    noise = Image.fromarray((rng.random((14, 14)) * 255).astype(np.uint8))
    flakes = np.asarray(noise.resize(page.size, Image.Resampling.BICUBIC)) > 190
    return Image.fromarray(np.where(flakes, 255, np.asarray(page)).astype(np.uint8))


def struck(page: Image.Image, rng: Rng) -> Image.Image:
    """A line through the middle, one or two pixels."""
    y = int(rng.uniform(0.4, 0.6) * PAGE_PX)
    ImageDraw.Draw(page).line((0, y, PAGE_PX, y), fill=int(rng.integers(0, 60)), width=int(rng.integers(1, 3)))
    return page


def halved(page: Image.Image, rng: Rng) -> Image.Image:
    """Partly on a light, partly on a darker ground."""
    ground = np.full((PAGE_PX, PAGE_PX), 230.0)
    lines = ground if rng.random() < 0.5 else ground.T
    lines[: int(rng.uniform(0.3, 0.7) * PAGE_PX)] = rng.uniform(100, 160)
    ink = ink_of(page)
    return gray_page(ground * (1 - ink) + ink * 10)


WORN = (dotted, scattered, faxed, ringed, embossed, gapped, flaked, struck, halved)
