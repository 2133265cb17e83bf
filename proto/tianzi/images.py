"""What a caller may give as an image → the message's image: files, bytes, base64, PIL images, arrays."""

import base64
import io
import os
import re
import stat
import urllib.parse
from pathlib import Path
from typing import Any

from tianzi.errors import InvalidInput
from tianzi.types import ImageSource
from tianzi.v1 import ocr_pb2

_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
"""Names of what a process was given open: a pipe among them is meant."""


def put_image(image: ImageSource, request: ocr_pb2.RecognizeRequest) -> None:
    """Reads or encodes an image into a request. A grey array goes as it is, a PIL image or a colour array as PNG.

    Raises:
        InvalidInput: it is none of the kinds of image, or cannot be read.
    """
    if isinstance(image, bytes | bytearray):
        request.image = bytes(image)
    elif isinstance(image, str) and image.startswith("data:"):
        request.image = from_base64(image)
    elif isinstance(image, str | os.PathLike):
        request.image = _file(image)
    elif hasattr(image, "read"):
        request.image = _read(image)
    elif hasattr(image, "save") and hasattr(image, "getexif"):
        request.image = _png(image)
    else:
        _put_array(image, request)


def from_base64(text: str) -> bytes:
    """Decodes base64 in any form: a data URL, with line breaks, in the URL alphabet, without padding.

    Raises:
        InvalidInput: it is no base64; the message says where.
    """
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma:
            raise _bad("a data URL without a comma before its content")
        if not head.lower().endswith(";base64"):
            return urllib.parse.unquote_to_bytes(text)
        text = urllib.parse.unquote(text)
    digits = re.sub(r"\s+", "", text).translate(str.maketrans("-_", "+/")).rstrip("=")
    wrong = re.search(r"[^A-Za-z0-9+/]", digits)
    if wrong:
        raise _bad(f"no base64: character {wrong.start()} is {wrong[0]!r}")
    if len(digits) % 4 == 1:
        raise _bad(f"no base64: {len(digits)} characters; is it cut short?")
    return base64.b64decode(digits + "=" * (-len(digits) % 4))


def require_regular(path: str | os.PathLike[str], field: str = "image") -> None:
    """Raises InvalidInput for a pipe, socket or device, which might never end; no error where there is nothing."""
    name = os.fspath(path)
    if name.startswith(_DESCRIPTORS):
        return
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return  # opening it says why
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}
        seen = kinds.get(stat.S_IFMT(mode), "no file")
        raise InvalidInput(f"{field}: {name}: is {seen}, must be a file", field=field)


def _file(path: str | os.PathLike[str]) -> bytes:
    if isinstance(path, str) and re.match(r"[a-z]{2,10}://", path):
        raise _bad(f"{path[:100]}: is a URL, which is not fetched; give its bytes or a file")
    require_regular(path)
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise _bad(f"{path!s}: {getattr(error, 'strerror', None) or error}") from error


def _read(file: Any) -> bytes:
    try:
        content = file.read()
    except (OSError, ValueError) as error:  # ValueError: closed, or text that cannot be decoded
        raise _bad(f"cannot be read: {error}") from error
    if not isinstance(content, bytes):
        raise _bad("a file that gives text, must be opened as bytes ('rb')")
    return content


def _png(image: Any) -> bytes:
    """A PIL image as PNG, its EXIF rotation kept for the server to apply."""
    buffer = io.BytesIO()
    try:
        if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            image = image.convert("RGB")
        # Level 1: the server is near, and encoding takes longer than sending.
        image.save(buffer, "PNG", exif=image.getexif(), compress_level=1)
    except Exception as error:  # an opened file is decoded only now; decoders raise OSError, SyntaxError, ValueError, …
        raise _bad(f"cannot be encoded: {error}") from error
    return buffer.getvalue()


def _put_array(array: Any, request: ocr_pb2.RecognizeRequest) -> None:
    try:
        # What lacks the buffer protocol (a torch tensor) makes itself into what has it.
        view = memoryview(array.__array__() if hasattr(array, "__array__") else array)
    except (TypeError, ValueError) as error:
        raise _bad(f"{type(array).__name__} is neither path, bytes, file, PIL image nor uint8 array") from error
    if isinstance(array, memoryview) and view.ndim == 1:
        request.image = view.tobytes()
        return
    height, width, *channels = (view.shape or ()) if view.ndim in (2, 3) else (0, 0)
    if view.format != "B" or not height or not width or channels not in ([], [3], [4]):
        seen = f"array of shape {view.shape} and format {view.format}"
        raise _bad(f"{seen}, must be (H, W) or (H, W, 3 or 4) uint8")
    if not channels:
        request.gray.width, request.gray.height, request.gray.pixels = width, height, view.tobytes()
        return
    try:
        from PIL import Image
    except ImportError as error:
        raise _bad("a colour array needs Pillow to encode it") from error
    request.image = _png(Image.frombytes("RGB" if channels == [3] else "RGBA", (width, height), view.tobytes()))


def _bad(problem: str) -> InvalidInput:
    return InvalidInput(f"image: {problem}", field="image")
