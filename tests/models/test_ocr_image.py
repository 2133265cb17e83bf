"""Decoding and cropping: every format, every bad input, and crops that do not depend on the margin."""

import io
import struct
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.image import FORMATS, SMALL_BYTES, decode_image, is_small, normalize_crop

MAX = 4096
CROP = 48


def drawing(size: tuple[int, int] = (60, 60), box: tuple[int, int, int, int] = (15, 10, 40, 50)) -> Image.Image:
    """Something without symmetry: an F in black on white."""
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    x0, y0, x1, y1 = box
    w = (x1 - x0) // 5
    draw.rectangle((x0, y0, x0 + w, y1), fill=0)
    draw.rectangle((x0, y0, x1, y0 + w), fill=0)
    draw.rectangle((x0, y0 + 3 * w, x0 + 3 * w, y0 + 4 * w), fill=0)
    return image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


REFERENCE = normalize_crop(np.asarray(drawing()), CROP)


def difference(crop: np.ndarray) -> float:
    """Mean difference from the drawing's own crop, in grey levels."""
    return float(np.abs(crop.astype(int) - REFERENCE.astype(int)).mean())


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_gives_the_same_crop(kind: str) -> None:
    gray = decode_image(encoded(drawing(), kind), MAX)
    assert gray.shape == (60, 60) and gray.dtype == np.uint8
    assert difference(normalize_crop(gray, CROP)) < 4


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_every_mode_gives_the_same_crop(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    gray = decode_image(encoded(drawing().convert("RGB" if mode == "P" else "L").convert(mode), kind), MAX)
    assert difference(normalize_crop(gray, CROP)) < 4


EQUALLY_BRIGHT = [((255, 0, 0), (0, 130, 0)), ((40, 90, 255), (230, 60, 20)), ((200, 100, 0), (90, 120, 200))]


@pytest.mark.parametrize(("ink", "ground"), EQUALLY_BRIGHT)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_ink_as_bright_as_its_ground_is_told_by_its_colour(kind: str, mode: str, ink: Any, ground: Any) -> None:
    bright = [Image.new("RGB", (1, 1), colour).convert("L").getpixel((0, 0)) for colour in (ink, ground)]
    assert abs(bright[0] - bright[1]) < 15
    large = drawing((240, 240), (60, 40, 160, 200))  # JPEG stores colours at half the resolution
    picture = Image.composite(Image.new("RGB", large.size, ground), Image.new("RGB", large.size, ink), large)
    gray = decode_image(encoded(picture.convert("RGB" if kind == "JPEG" else mode), kind), MAX)
    assert difference(normalize_crop(gray, CROP)) < 6


@pytest.mark.parametrize("mark", [(230, 40, 40), (40, 60, 220), (20, 160, 60)])
@pytest.mark.parametrize("paper", [(255, 255, 255), (250, 245, 225)])
def test_a_mark_of_a_colour_across_black_print_fades(mark: Any, paper: Any) -> None:
    print_ = drawing((240, 240), (60, 40, 160, 200))
    page = Image.composite(Image.new("RGB", print_.size, paper), Image.new("RGB", print_.size), print_)
    seal = Image.new("L", page.size)
    ImageDraw.Draw(seal).ellipse((-60, 20, 180, 260), outline=255, width=14)
    stamped = ImageChops.multiply(page, Image.composite(Image.new("RGB", page.size, mark), page, seal))
    assert difference(normalize_crop(decode_image(encoded(stamped, "PNG"), MAX), CROP)) < 8


def test_print_of_a_colour_is_no_mark() -> None:
    print_ = drawing((240, 240), (60, 40, 160, 200))
    red = Image.composite(Image.new("RGB", print_.size, "white"), Image.new("RGB", print_.size, (200, 0, 0)), print_)
    assert difference(normalize_crop(decode_image(encoded(red, "PNG"), MAX), CROP)) < 6


def test_fringes_of_a_screens_letters_are_no_mark() -> None:
    """Each colour of a pixel is a third of its width."""
    wide = np.asarray(drawing((110, 108), (27, 15, 78, 92)).crop((1, 0, 109, 108)).resize((108, 36)), np.float64)
    page = Image.fromarray((wide.reshape(36, 36, 3) * 0.9 + 10).astype(np.uint8))
    assert np.ptp(np.asarray(page, int), axis=2).max() > 100
    gray = decode_image(encoded(page, "PNG"), MAX)
    np.testing.assert_array_equal(gray, np.asarray(page.convert("L")))


def test_a_grey_picture_in_three_channels_keeps_its_brightness() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8)
    gray = decode_image(encoded(Image.fromarray(noise).convert("RGB"), "PNG"), MAX)
    np.testing.assert_array_equal(gray, noise)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    wide = np.asarray(drawing()).astype(np.uint16) * 100 + 20000  # grey levels 78 to 177 of 255
    gray = decode_image(encoded(Image.fromarray(wide), "PNG"), MAX)
    assert 75 < gray.min() < 80 and 175 < gray.max() < 180
    assert difference(normalize_crop(gray, CROP)) < 2


@pytest.mark.parametrize("ink", [0, 255])
def test_transparency_lies_on_a_ground_unlike_the_ink(ink: int) -> None:
    plain = drawing()
    image = Image.merge("LA", (Image.new("L", plain.size, ink), Image.eval(plain, lambda v: 255 - v)))
    assert difference(normalize_crop(decode_image(encoded(image, "PNG"), MAX), CROP)) < 2


def test_first_frame_of_an_animation() -> None:
    frames = [drawing(), Image.new("L", (60, 60), 255)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert difference(normalize_crop(decode_image(data, MAX), CROP)) < 4


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the picture is to be turned 90° clockwise to stand upright
    data = encoded(drawing().rotate(90, expand=True), "JPEG", exif=exif, quality=95)
    assert difference(normalize_crop(decode_image(data, MAX), CROP)) < 4


def huge_png() -> bytes:
    """A PNG whose header claims 20000 × 20000 pixels."""
    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d)) for t, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b"This is no picture.\n", "not an image in one of the formats PNG, JPEG"),
        (np.random.default_rng(0).bytes(5_000_000), "not an image"),
        (encoded(drawing(), "PNG")[:90], "damaged"),
        (encoded(drawing(), "JPEG")[:200], "damaged"),
        (encoded(drawing(), "PNG").replace(b"IDAT", b"IDAX"), "not an image"),
        (encoded(drawing((5000, 10)), "PNG"), "5000 × 10 px, at most 4096 × 4096"),
        (huge_png(), "400000000 pixels, at most 4096 × 4096"),
        (encoded(drawing(), "PPM"), "not an image in one of the formats"),
    ],
    ids=["empty", "text", "random", "cut-png", "cut-jpeg", "no-data", "wide", "bomb", "other-format"],
)
def test_bad_images_name_field_and_problem(data: bytes, problem: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_image(data, MAX)
    assert caught.value.field == "image"
    assert problem in caught.value.problem


def test_a_claimed_size_is_refused_before_memory_is_taken() -> None:
    tracemalloc.start()
    with pytest.raises(InvalidInput):
        decode_image(huge_png(), MAX)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("margins", [(0, 0, 0, 0), (40, 0, 0, 0), (3, 90, 60, 1), (200, 200, 200, 200)])
def test_the_margin_does_not_change_the_crop(margins: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = margins
    padded = np.pad(np.asarray(drawing()), ((top, bottom), (left, right)), constant_values=255)
    assert difference(normalize_crop(padded, CROP)) < 12


def test_scale_polarity_and_contrast_do_not_change_the_crop() -> None:
    plain = np.asarray(drawing())
    assert difference(normalize_crop(255 - plain, CROP)) == 0
    assert difference(normalize_crop((plain * 0.2 + 100).astype(np.uint8), CROP)) < 2
    assert difference(normalize_crop(np.asarray(drawing().resize((180, 180), Image.Resampling.NEAREST)), CROP)) < 6


def test_specks_do_not_stretch_the_crop() -> None:
    specked = np.asarray(drawing()).copy()
    specked[2, 2] = specked[57, 58] = 0
    assert difference(normalize_crop(specked, CROP)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 2), (50, 50)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_give_white_crops(shape: tuple[int, int], level: int) -> None:
    crop = normalize_crop(np.full(shape, level, np.uint8), CROP)
    assert crop.shape == (CROP, CROP) and (crop == 255).all()


def test_any_array_gives_a_crop() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        shape = rng.integers(1, 260, 2)
        crop = normalize_crop(rng.integers(0, 256, shape).astype(np.uint8), CROP)
        assert crop.shape == (CROP, CROP) and crop.dtype == np.uint8


def test_small_images_are_told_from_their_first_bytes() -> None:
    assert is_small(encoded(drawing(), "PNG"))
    assert is_small(np.zeros((128, 128), np.uint8))
    assert not is_small(np.zeros((128, 129), np.uint8))
    assert not is_small(encoded(drawing((129, 128)), "PNG"))
    assert not is_small(encoded(drawing(), "JPEG"))
    for data in (b"", b"\x89PNG", encoded(drawing(), "PNG")[:20], encoded(drawing(), "PNG") + bytes(SMALL_BYTES)):
        assert not is_small(data)


def test_a_second_header_does_not_make_a_large_png_small() -> None:
    small, large = encoded(drawing(), "PNG"), encoded(drawing((1000, 1000)), "PNG")
    header = 8 + 25  # the signature and the chunk IHDR
    both = small[:header] + large[8:]
    assert decode_image(both, MAX).shape == (1000, 1000)
    assert not is_small(both)
