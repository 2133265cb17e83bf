"""Pages with one character on them, drawn with Pillow, and what is needed to spoil them."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_models.ocr.colour import colours_to_gray

Rng = np.random.Generator
Floats = npt.NDArray[np.float64]
PAGE_PX, TYPE_PX = 54, 50


def page_of(glyph: npt.NDArray[np.uint8], type_px: int = TYPE_PX) -> Image.Image:
    """A glyph (S, S), black on white, in the middle of a page (PAGE_PX, PAGE_PX)."""
    page, rim = Image.new("L", (PAGE_PX, PAGE_PX), 255), (PAGE_PX - type_px) // 2
    page.paste(Image.fromarray(glyph).resize((type_px, type_px), Image.Resampling.LANCZOS), (rim, rim))
    return page


def gray_page(values: Floats) -> Image.Image:
    """(H, W) grey levels, cut to 0 to 255."""
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def page_of_colours(rgb: Floats) -> Image.Image:
    """(H, W, 3) → the grey that is recognised."""
    return Image.fromarray(colours_to_gray(gray_page(rgb)))


def as_jpeg(page: Image.Image, quality: int) -> Image.Image:
    """The page as JPEG leaves it."""
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def ink_of(page: Image.Image) -> Floats:
    """(H, W): 0 = paper, 1 = ink."""
    return 1 - np.asarray(page, np.float64) / 255


def clouds(rng: Rng, low: float, high: float) -> Floats:
    """(PAGE_PX, PAGE_PX): smooth values from low to high."""
    small = Image.fromarray(rng.random((4, 4)).astype(np.float32))
    field = np.asarray(small.resize((PAGE_PX, PAGE_PX), Image.Resampling.BICUBIC), np.float64)
    return np.asarray(low + (high - low) * (field - field.min()) / float(np.ptp(field)))


def axes() -> tuple[Floats, Floats]:
    """x and y of a page's pixels, -1 to 1."""
    axis = np.linspace(-1, 1, PAGE_PX)
    x, y = np.meshgrid(axis, axis)
    return x, y
