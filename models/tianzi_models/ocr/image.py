"""Image bytes → grey → crop. The one preprocessing function of training and serving."""

import io
import re
import struct
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.colour import colours_to_gray
from tianzi_models.ocr.dots import average, is_dotted
from tianzi_models.ocr.levels import GRAYS, find_levels, ink_box
from tianzi_models.ocr.light import flatten_light, is_lit_evenly
from tianzi_models.ocr.types import GrayArray

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
# Ink is looked for at this size at most.
WORK_SIDE_PX = 192
# What decodes at once: a text chunk in so few bytes cannot hold more than takes some ms to inflate.
SMALL_PX = 128 * 128
SMALL_BYTES = 8192
PNG_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"
# White rim that keeps strokes off the crop's edge.
RIM_PX = 2

# Sizes are checked from the header, before a pixel is decoded; Pillow's own limit stays as the second guard.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def decode_image(data: bytes, max_side_px: int) -> GrayArray:
    """Decodes the first frame to grey, EXIF rotation applied, transparency laid on a ground unlike the ink.

    Raises:
        InvalidInput: no image, a format outside FORMATS, damaged, or a side over max_side_px.
    """
    if not data:
        raise InvalidInput("image", "empty, must be an encoded image")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
        check_size(image.width, image.height, max_side_px)
        # A JPEG is decoded at the reduced size that is looked at anyway.
        image.draft(None, (2 * WORK_SIDE_PX, 2 * WORK_SIDE_PX))
        image.load()
        return _to_gray(ImageOps.exif_transpose(image))
    except InvalidInput:
        raise
    except UnidentifiedImageError:
        raise InvalidInput("image", f"not an image in one of the formats {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:  # raised before the size can be asked: its text holds the number
        pixels = re.search(r"\d+", str(error))
        seen = f"{pixels[0]} pixels" if pixels else "too many pixels"
        raise InvalidInput("image", f"{seen}, at most {max_side_px} × {max_side_px}") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, struct.error, … on damaged files
        raise InvalidInput("image", f"damaged, cannot be decoded ({type(error).__name__})") from error


def is_small(image: bytes | GrayArray) -> bool:
    """Whether an image is sure to be decoded and cut in some 0.2 ms: grey pixels or a PNG, few of them in few bytes.

    Of the formats PNG alone says in its first bytes how large it is; Pillow believes the last of several such chunks.
    """
    if not isinstance(image, bytes):
        return image.size <= SMALL_PX
    if len(image) > SMALL_BYTES or not image.startswith(PNG_START) or image.count(b"IHDR") > 1:
        return False
    width, height = struct.unpack(">II", image[16:24].ljust(8, b"\xff"))
    return bool(width * height <= SMALL_PX)


def check_size(width: int, height: int, max_side_px: int) -> None:
    """Raises InvalidInput unless both sides are 1 to max_side_px."""
    if not (1 <= width <= max_side_px and 1 <= height <= max_side_px):
        raise InvalidInput("image", f"{width} × {height} px, at most {max_side_px} × {max_side_px}")


def normalize_crop(gray: GrayArray, crop_px: int) -> GrayArray:
    """Grey picture → (crop_px, crop_px) uint8: dark ink on white, cut to the ink, centred, aspect kept.

    The margin around a character, its size, its polarity and its contrast do not change the crop. A picture
    without contrast gives a white crop.
    """
    # Blocks are averaged so that the longer side is at most WORK_SIDE_PX: a large picture only costs more.
    factor = -(-max(gray.shape) // WORK_SIDE_PX)
    small = gray if factor == 1 else np.asarray(Image.fromarray(gray).reduce(factor))
    histogram = np.bincount(small.ravel(), minlength=256)
    if not is_lit_evenly(histogram) and (flat := flatten_light(small)) is not small:
        small, histogram = flat, np.bincount(flat.ravel(), minlength=256)
    stretched = _stretch(small, histogram)
    crop = np.full((crop_px, crop_px), 255, np.uint8)
    if stretched is not None and is_dotted(stretched < 128):
        small = average(small)
        stretched = _stretch(small, np.bincount(small.ravel(), minlength=256))
    if stretched is None:
        return crop
    y0, x0, y1, x1 = ink_box(stretched < 128)
    if factor > 1 and (max(y1 - y0, x1 - x0) + 4) * factor <= 0.7 * max(gray.shape):
        # A small character on a large sheet: once more, on its part of the sheet at full resolution.
        top, left = max(0, (y0 - 2) * factor), max(0, (x0 - 2) * factor)
        return normalize_crop(gray[top : (y1 + 2) * factor, left : (x1 + 2) * factor], crop_px)
    height, width = y1 - y0, x1 - x0
    zoom = (crop_px - 2 * RIM_PX) / max(height, width)
    size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
    # Few pixels are drawn larger smoothly; many are averaged.
    kernel = Image.Resampling.BICUBIC if zoom > 1 else Image.Resampling.BILINEAR
    cut = Image.fromarray(stretched[y0:y1, x0:x1]).resize(size, kernel)
    top, left = (crop_px - size[1]) // 2, (crop_px - size[0]) // 2
    crop[top : top + size[1], left : left + size[0]] = np.asarray(cut)
    return crop


def _stretch(gray: GrayArray, histogram: npt.NDArray[np.intp]) -> GrayArray | None:
    """(H, W): ink 0 and ground 255. None without contrast."""
    levels = find_levels(gray, histogram)
    if levels is None:
        return None
    black, white = levels
    return np.clip((GRAYS - black) * (255.0 / (white - black)), 0, 255).astype(np.uint8).take(gray)


def _to_gray(image: Image.Image) -> GrayArray:
    if image.mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        # 16 bits a pixel: convert("L") would clip at 255 instead of scaling.
        return (np.clip(np.asarray(image).astype(np.int64), 0, 65535) >> 8).astype(np.uint8)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        span = float(np.ptp(values)) or 1.0
        return np.asarray((values - values.min()) * (255.0 / span), dtype=np.uint8)
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        alpha = np.asarray(rgba.getchannel("A"), dtype=np.float64) / 255.0
        if alpha.min() < 1.0:
            gray = np.asarray(rgba.convert("L"), dtype=np.float64)
            # White ink on a transparent ground would vanish on white.
            light_ink = alpha.sum() > 0 and float((gray * alpha).sum() / alpha.sum()) > 127
            see_through = float((alpha < 0.5).mean()) > 0.05
            ground = 0.0 if light_ink and see_through else 255.0
            return (gray * alpha + ground * (1.0 - alpha)).round().astype(np.uint8)
    return np.asarray(image.convert("L")) if image.mode in ("L", "1", "LA") else colours_to_gray(image.convert("RGB"))
