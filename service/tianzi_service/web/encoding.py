"""Bytes as JSON carries them: base64 in its common forms, and data URIs."""

import base64
import binascii
import re

from tianzi_models.errors import InvalidInput

DATA_URI = re.compile(r"\s*data:[^,]{0,200}?(;base64)?,", re.IGNORECASE)
_SPACE = str.maketrans("", "", " \t\r\n")
_URL_SAFE = str.maketrans("-_", "+/")
_ALIEN = re.compile(r"[^A-Za-z0-9+/]")


def decode_bytes(field: str, text: str) -> bytes:
    """Base64 in either alphabet, with or without padding, spaces and line breaks in it, or a data URI.

    Raises:
        InvalidInput: it is none of these; the message tells the place, never the text.
    """
    if head := DATA_URI.match(text):
        if not head[1]:
            raise InvalidInput(field, "a data URI without ;base64")
        text = text[head.end() :]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # not the plain form, or not ASCII
        return _decode_loosely(field, text)


def _decode_loosely(field: str, text: str) -> bytes:
    digits = text.translate(_SPACE).rstrip("=").translate(_URL_SAFE)
    if alien := _ALIEN.search(digits):
        raise InvalidInput(field, f"not base64: character {alien.start()} is none of its digits")
    if len(digits) % 4 == 1:
        raise InvalidInput(field, f"not base64: {len(digits)} digits, one too many or three too few")
    return base64.b64decode(digits + "=" * (-len(digits) % 4))
