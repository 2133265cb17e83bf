"""The headers of gRPC calls, compressed by RFC 7541 without its tables and without Huffman's code.

A caller then need not keep what was sent before: a server that is told of a table of no size sends every header whole,
and gRPC's does so in plain letters.
"""

from functools import cache

import grpc

STATUS, MESSAGE = b"grpc-status", b"grpc-message"
CODES = {code.value[0]: code for code in grpc.StatusCode}
# Of the fixed table: whole headers, and names that a value follows.
POST, HTTP = b"\x83", b"\x86"
AUTHORITY, PATH, CONTENT_TYPE = b"\x01", b"\x04", b"\x0f\x10"


class CallError(Exception):
    """A call ended without success."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(f"{code.name}: {details}")
        self.code, self.details = code, details


@cache
def of_call(path: str, authority: str, timeout_s: float | None) -> bytes:
    """What a call begins with. path: "/tianzi.v1.OcrService/Recognize"."""
    block = POST + HTTP + _literal(PATH, path.encode()) + _literal(AUTHORITY, authority.encode())
    block += _named(b"te", b"trailers") + _literal(CONTENT_TYPE, b"application/grpc")
    return block if timeout_s is None else block + _named(b"grpc-timeout", b"%dm" % round(1000 * timeout_s))


def error_of(trailers: bytes) -> CallError | None:
    """What trailers say of a call: None where it succeeded."""
    status = _value(trailers, STATUS)
    if status is None or not status.isdigit():
        return CallError(grpc.StatusCode.UNKNOWN, "no status that can be read")
    code = CODES.get(int(status), grpc.StatusCode.UNKNOWN)
    return None if code is grpc.StatusCode.OK else CallError(code, (_value(trailers, MESSAGE) or b"").decode())


def _literal(name: bytes, value: bytes) -> bytes:
    """A header that no table is to keep; name: as an index of the fixed table."""
    assert len(value) < 127
    return name + bytes([len(value)]) + value


def _named(name: bytes, value: bytes) -> bytes:
    return b"\x00" + bytes([len(name)]) + name + _literal(b"", value)


def _value(block: bytes, name: bytes) -> bytes | None:
    """A literal header's value, if it is there and plain."""
    start = block.find(name) + len(name)
    if start < len(name):
        return None
    length = block[start]
    if length < 127:
        return block[start + 1 : start + 1 + length]
    # Longer ones go on in sevens of bits; one with Huffman's code has the highest bit set.
    if length > 127:
        return None
    shift, place = 0, start + 1
    while True:
        length += (block[place] & 127) << shift
        shift, place = shift + 7, place + 1
        if block[place - 1] < 128:
            return block[place : place + length]
