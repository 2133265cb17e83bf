"""Plain Python ↔ protobuf, once for both clients."""

import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tianzi.errors import InvalidInput
from tianzi.types import (
    Blank,
    Character,
    Filling,
    ImageSource,
    Limits,
    ModelInfo,
    Question,
    Reading,
    Recognition,
    ServerInfo,
    Word,
)
from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2

UINT32_MAX = 2**32 - 1


def recognize_request(image: ImageSource, top_k: int, allowed: str | Sequence[str] = ()) -> ocr_pb2.RecognizeRequest:
    """Reads or encodes an image. A grey array goes as it is, a PIL image or a colour array as PNG.

    Raises:
        InvalidInput: it is none of the kinds of image, or cannot be read.
    """
    request = ocr_pb2.RecognizeRequest(top_k=_top_k(top_k), allowed=[allowed] if isinstance(allowed, str) else allowed)
    if isinstance(image, bytes | bytearray):
        request.image = bytes(image)
    elif isinstance(image, str | os.PathLike):
        try:
            request.image = Path(image).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a null character in the path
            raise InvalidInput(f"image: {image}: {getattr(error, 'strerror', None) or error}", field="image") from error
    elif hasattr(image, "save") and hasattr(image, "getexif"):
        request.image = _png(image)
    else:
        _put_array(image, request)
    return request


def fill_request(question: Question) -> cloze_pb2.FillRequest:
    """Writes a question down.

    Raises:
        InvalidInput: it holds something other than text.
    """
    request = cloze_pb2.FillRequest(
        marker=_text("marker", question.marker),
        candidates=_words("candidates", question.candidates),
        top_k=_top_k(question.top_k),
    )
    if isinstance(question.document, str):
        request.text = _text("text", question.document)
    else:
        request.tokens.tokens.extend(_words("tokens", question.document))
    if isinstance(question.query, str):
        if question.query:  # set but empty would be a query without a blank
            request.query_text = _text("query_text", question.query)
    elif question.query:
        request.query_tokens.tokens.extend(_words("query_tokens", question.query))
    return request


def recognition(response: ocr_pb2.RecognizeResponse) -> Recognition:
    """Reads the answer for an image."""
    candidates = tuple(Character(c.text, c.confidence) for c in response.candidates)
    return Recognition(candidates, response.rejected, response.model_version)


def reading(response: ocr_pb2.RecognizeSequenceResponse) -> Reading:
    """Reads the answer for a row of images."""
    return Reading(response.text, tuple(map(recognition, response.characters)), response.model_version)


def filling(response: cloze_pb2.FillResponse, question: Question) -> Filling:
    """Reads the answer for a question."""
    blanks = tuple(
        Blank(
            tuple(
                Word(c.text, c.confidence, tuple((span.start, span.end) for span in c.positions))
                for c in blank.candidates
            ),
            (blank.position.start, blank.position.end),
            blank.in_query,
        )
        for blank in response.blanks
    )
    return Filling(blanks, response.model_version, question)


def server_info(response: server_pb2.GetInfoResponse) -> ServerInfo:
    """Reads what a server says of itself."""
    models = tuple(
        ModelInfo(m.name, m.version, m.provider, m.max_top_k, m.vocabulary_size, m.graph_bytes) for m in response.models
    )
    limits = response.limits
    return ServerInfo(
        response.version,
        models,
        Limits(
            limits.max_message_bytes,
            limits.max_batch_items,
            limits.max_image_side_px,
            limits.max_characters,
            limits.max_blanks,
            limits.max_candidates,
        ),
    )


def _png(image: Any) -> bytes:
    """A PIL image as PNG, its EXIF rotation kept for the server to apply."""
    buffer = io.BytesIO()
    try:
        if image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            image = image.convert("RGB")
        # Level 1: the server is near, and encoding takes longer than sending.
        image.save(buffer, "PNG", exif=image.getexif(), compress_level=1)
    except Exception as error:  # an opened file is decoded only now; decoders raise OSError, SyntaxError, ValueError, …
        raise InvalidInput(f"image: cannot be encoded: {error}", field="image") from error
    return buffer.getvalue()


def _put_array(array: Any, request: ocr_pb2.RecognizeRequest) -> None:
    try:
        # What lacks the buffer protocol (a torch tensor) makes itself into what has it.
        view = memoryview(array.__array__() if hasattr(array, "__array__") else array)
    except (TypeError, ValueError) as error:
        kind = type(array).__name__
        problem = f"image: {kind} is neither path, bytes, PIL image nor uint8 array"
        raise InvalidInput(problem, field="image") from error
    height, width, *channels = (view.shape or ()) if view.ndim in (2, 3) else (0, 0)
    if view.format != "B" or not height or not width or channels not in ([], [3], [4]):
        seen = f"array of shape {view.shape} and format {view.format}"
        raise InvalidInput(f"image: {seen}, must be (H, W) or (H, W, 3 or 4) uint8", field="image")
    if not channels:
        request.gray.width, request.gray.height, request.gray.pixels = width, height, view.tobytes()
        return
    try:
        from PIL import Image
    except ImportError as error:
        raise InvalidInput("image: a colour array needs Pillow to encode it", field="image") from error
    request.image = _png(Image.frombytes("RGB" if channels == [3] else "RGBA", (width, height), view.tobytes()))


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: {type(value).__name__}, must be text", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{field}: character {error.start} is a lone surrogate", field=field) from error
    return value


def _words(field: str, values: Any) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{field}: {type(values).__name__}, must be a sequence of words", field=field)
    return [_text(field, value) for value in values]


def model_version(value: int) -> int:
    """Raises InvalidInput unless it can be a version's number, or 0 for the newest."""
    return _whole("model_version", value, 0)


def _top_k(value: int) -> int:
    return _whole("top_k", value, 1)


def _whole(field: str, value: int, least: int) -> int:
    if not isinstance(value, int) or not least <= value <= UINT32_MAX:
        raise InvalidInput(f"{field}: {value}, must be a whole number from {least}", field=field)
    return value
