"""Uneven light is taken out of a picture; whatever is lit evenly stays as it is."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from tianzi_models.ocr.image import normalize_crop
from tianzi_models.ocr.light import flatten_light
from tianzi_models.ocr.types import GrayArray

SIDE = 52


def character(ink: int = 20, ground: int = 250) -> GrayArray:
    """Something like 田 with a foot, well inside the picture."""
    image = Image.new("L", (SIDE, SIDE), ground)
    draw = ImageDraw.Draw(image)
    draw.rectangle((10, 8, 40, 34), outline=ink, width=4)
    draw.line((25, 8, 25, 46), fill=ink, width=4)
    draw.line((10, 21, 40, 21), fill=ink, width=4)
    draw.line((8, 45, 42, 45), fill=ink, width=4)
    return np.asarray(image)


def lamps() -> dict[str, np.ndarray]:
    y, x = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE), indexing="ij")
    return {
        "from the left": 0.6 - 0.35 * x,
        "from a corner": 0.6 + 0.2 * x + 0.2 * y,
        "a spot": 0.35 + 0.65 * np.exp(-((x - 0.4) ** 2 + (y + 0.6) ** 2) / 1.5),
        "a shadowed corner": 1 - 0.6 * np.exp(-((x - 1) ** 2 + (y - 1) ** 2) / 1.5),
    }


@pytest.mark.parametrize("lamp", lamps().values(), ids=lamps())
@pytest.mark.parametrize("inverse", [False, True], ids=["dark ink", "light ink"])
def test_a_lamp_at_one_side_does_not_change_the_crop(lamp: np.ndarray, inverse: bool) -> None:
    even = character(ink=235, ground=60) if inverse else character()
    lit = (even * lamp).astype(np.uint8)
    wanted, found = (normalize_crop(p, 48).astype(int) for p in (even, lit))
    assert np.abs(wanted - found).mean() < 12
    assert ((wanted < 128) != (found < 128)).mean() < 0.02


def test_without_it_the_shadow_is_read_as_ink() -> None:
    lit = (character() * lamps()["a spot"]).astype(np.uint8)
    shadow = lit[44:, :6]  # paper, darker than halfway between ink and the brightest paper
    assert shadow.mean() < 130 < flatten_light(lit)[44:, :6].mean()


@pytest.mark.parametrize(
    "picture",
    [
        character(),
        255 - character(),
        np.full((40, 40), 90, np.uint8),
        np.pad(character(), 60, constant_values=250),
        np.asarray(Image.fromarray(character()).filter(ImageFilter.GaussianBlur(2))),
        character()[8:47, 8:43],
        np.zeros((1, 1), np.uint8),
        character()[:2],
    ],
    ids=["clean", "inverse", "blank", "margin", "blurred", "tight", "one pixel", "two rows"],
)
def test_what_is_lit_evenly_is_left_alone(picture: GrayArray) -> None:
    assert flatten_light(picture) is picture


def test_noise_keeps_its_shape_and_type() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 200), (200, 3), (31, 77)):
        noise = rng.integers(0, 256, shape, np.uint8)
        flat = flatten_light(noise)
        assert flat.shape == shape
        assert flat.dtype == np.uint8
