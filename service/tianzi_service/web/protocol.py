"""Protocol: uvicorn's HTTP/1.1 with bounds on a request's head, and word of callers that leave."""

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTION = "tianzi.connection"
"""In an ASGI scope: the Protocol that the request came by."""
HEAD_S = 10.0
"""How long the first line and the headers of a request may take to come; as long may a new connection say nothing."""
MAX_HEAD_BYTES = 64 * 1024


class Protocol(HttpToolsProtocol):
    """One connection. task: answers the request that is under way; it is cancelled when the caller leaves."""

    task: asyncio.Task[Any] | None = None
    is_lost = False
    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.is_lost = True
        super().connection_lost(exc)
        if self.task is not None:
            self.task.cancel()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_timer is not None and self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse(431, "Request Header Fields Too Large", f"headers: at most {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CONNECTION] = self  # type: ignore[literal-required]
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._stop_timer()
        self._refuse(400, "Bad Request", "not a request of HTTP/1.1")

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_S, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self._refuse(408, "Request Timeout", f"headers: not whole after {HEAD_S:g} s")

    def _refuse(self, status: int, phrase: str, message: str) -> None:
        """Answers what never became a request, and closes."""
        body = json.dumps({"error": {"code": "INVALID_ARGUMENT", "message": message}}).encode()
        head = f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.transport.write(head.encode() + b"connection: close\r\n\r\n" + body)
        self.transport.close()
