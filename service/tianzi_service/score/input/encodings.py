"""Texts in other encodings than UTF-8: told early and once, and read where the encoding is named."""

import codecs
import io
from collections.abc import Iterator
from typing import BinaryIO

from tianzi import InvalidInput

UTF8, UTF16 = "utf-8", "utf-16"
SNIFFED_BYTES = 1 << 16
"""Of a file, looked at before its first item is asked for."""
BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def find_encoding(name: str) -> str:
    """The encoding's name as Python knows it; utf-8 for none. Raises: InvalidInput."""
    try:
        found = codecs.lookup(name or UTF8)
        b"".decode(found.name)
    except (LookupError, ValueError):
        raise InvalidInput(
            f"encoding: {name[:40]!r} is not known, must be one of Python's such as gbk, gb18030, big5 or utf-16",
            field="encoding",
        ) from None
    return found.name


def decode(content: bytes, encoding: str, where: str) -> str:
    """A whole text, without the mark that it may begin with.

    Raises:
        InvalidInput: it is in another encoding; the message says in which, most likely.
    """
    try:
        return content.decode("utf-8-sig" if encoding == UTF8 else encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise not_in(encoding, where, error.start, content) from None


def check_beginning(content: bytes, encoding: str, where: str) -> None:
    """Raises InvalidInput where a file that begins so is in another encoding."""
    check_wide(content, encoding, where)
    try:
        codecs.getincrementaldecoder(encoding)().decode(content)
    except UnicodeDecodeError as error:
        raise not_in(encoding, where, error.start, content) from None


def check_wide(content: bytes, encoding: str, where: str) -> None:
    """The same for UTF-16 alone, whose lines do not end where others' do."""
    if encoding == UTF8 and _guess(content) == UTF16:
        raise not_in(encoding, where, 0, content)


def not_in(encoding: str, where: str, byte: int, content: bytes) -> InvalidInput:
    """What a text is answered with that is not in the encoding it should be in."""
    guess = _guess(content)
    hint = f"; is it {guess.upper()}? --encoding {guess}" if guess and guess != encoding else ""
    return InvalidInput(f"{where}: not {encoding.upper()} at byte {byte}{hint}", field="encoding")


def lines_as_utf8(file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """A file's lines, in UTF-8."""
    if encoding == UTF8:
        yield from file
        return
    text = io.TextIOWrapper(file, encoding, newline="\n")
    try:
        for line in text:
            yield line.removeprefix("\ufeff").encode(errors="surrogatepass")
    finally:
        text.detach()  # the file is its opener's to close


def _guess(content: bytes) -> str:
    """utf-16, gbk, or nothing."""
    if content.startswith(BOMS) or content.count(0) * 4 > len(content) > 0:
        return UTF16
    try:
        codecs.getincrementaldecoder("gb18030")().decode(content)
    except UnicodeDecodeError:
        return ""
    return "gbk"
