"""Call: one HTTP request as the handlers see it. Its body is bounded in bytes and in time."""

import asyncio
import re
from typing import Any, NamedTuple

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.errors import BodyTooLarge, BodyTooSlow, UnsupportedBody

TIMEOUT = b"tianzi-timeout-ms"
GRPC_TIMEOUT = b"grpc-timeout"
UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
"""Of grpc-timeout."""
DISCARD_S = 1.0
"""How long the rest of a refused body is read. A connection that is closed before takes the answer with it."""


class Limits(NamedTuple):
    """Of every body."""

    max_bytes: int
    body_s: float


class Call:
    """One request. It stands in for gRPC's context, of which our services ask the remaining time only."""

    def __init__(self, scope: Any, receive: Any, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._whole = False
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope["query_string"]
        self.parameters: dict[str, str] = scope.get("path_params", {})
        self.raw_headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._headers: dict[bytes, bytes] = dict(reversed(self.raw_headers))  # the first of a name counts
        self.deadline_s: float | None = None

    def header(self, name: bytes) -> str:
        """The first value of a header, empty where there is none."""
        return self._headers.get(name, b"").decode("latin-1")

    def start_clock(self) -> None:
        """Reads the deadline that the caller sets. Raises InvalidInput where it is none."""
        left_s = _timeout_s(self.header(TIMEOUT), self.header(GRPC_TIMEOUT))
        if left_s is not None:
            self.deadline_s = self._began_s + left_s

    def time_remaining(self) -> float | None:
        """Seconds, as gRPC's context tells them; None without a deadline."""
        return None if self.deadline_s is None else self.deadline_s - self._loop.time()

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            BodyTooLarge, BodyTooSlow, UnsupportedBody: it is over a limit, or compressed.
        """
        most = self._limits.max_bytes
        if (coding := self.header(b"content-encoding")) not in ("", "identity"):
            raise UnsupportedBody(f"content-encoding: {coding[:40]!r}, must be identity")
        announced = self.header(b"content-length")
        if announced.isdigit() and int(announced[:20]) > most:
            raise BodyTooLarge(f"body: {announced[:20]} bytes, at most {most}")
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout_at(self._began_s + self._limits.body_s):
                while not self._whole:
                    part = await self._next()
                    size += len(part)
                    if size > most:
                        raise BodyTooLarge(f"body: more than {most} bytes, at most {most}")
                    parts.append(part)
        except TimeoutError:
            told = f"{size} bytes in {self._limits.body_s:g} s"
            raise BodyTooSlow(f"body: {told}, must be whole by then") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def discard(self) -> bool:
        """Reads on for a moment what nobody wants; whether the body has come to its end."""
        if not self._whole and (self.header(b"content-length") or self.header(b"transfer-encoding")):
            try:
                async with asyncio.timeout(DISCARD_S):
                    while not self._whole:
                        await self._next()
            except TimeoutError:
                return False
        return True

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise asyncio.CancelledError
        self._whole = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


def _timeout_s(milliseconds: str, grpc_timeout: str) -> float | None:
    if milliseconds:
        if not re.fullmatch(r"[0-9]{1,9}", milliseconds):
            raise InvalidInput(TIMEOUT.decode(), "must be a whole number of milliseconds")
        return int(milliseconds) / 1000
    if grpc_timeout:
        if not re.fullmatch(r"[0-9]{1,8}[HMSmun]", grpc_timeout):
            raise InvalidInput(GRPC_TIMEOUT.decode(), "must be a whole number and a unit, H, M, S, m, u or n")
        return int(grpc_timeout[:-1]) * UNITS_S[grpc_timeout[-1]]
    return None
