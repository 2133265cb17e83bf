"""Monitor: /metrics, /healthz and /readyz over HTTP, on a port and a thread of their own."""

import asyncio
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from service.observer import Observer
from service.settings import address

logger = logging.getLogger(__name__)

ALIVE_S = 2.0
"""The event loop must turn within this time to count as alive; no callback of ours takes a tenth of it."""
SOCKET_S = 5.0
"""A client that sends or reads nothing for so long is dropped."""
TEXT = "text/plain; charset=utf-8"


class Monitor(Observer):
    """Answers GET /metrics, /healthz (the event loop turns) and /readyz (calls are answered)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Belongs to the running event loop, whose life /healthz tells."""
        self._ready = False
        self._registry = registry
        self._loop = asyncio.get_running_loop()
        self._http: _Http | None = None

    def start(self, host: str, port: int) -> int:
        """Starts answering; returns the port.

        Raises:
            OSError: the port cannot be listened on.
        """
        kind = _Http6 if ":" in host else _Http
        pages = {"/metrics": self._metrics, "/healthz": self._health, "/readyz": self._readiness}
        try:
            self._http = kind((host, port), _Handler, pages)
        except OSError as error:
            raise OSError(f"metrics: cannot listen on {address(host, port)}: {error.strerror}") from None
        threading.Thread(target=self._http.serve_forever, name="monitor", daemon=True).start()
        return int(self._http.server_address[1])

    def stop(self) -> None:
        """Stops answering; waits for nobody."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def serving(self, yes: bool) -> None:
        self._ready = yes

    def _metrics(self, accept: str) -> "Page":
        encode, kind = choose_encoder(accept)
        return HTTPStatus.OK, kind, encode(self._registry)

    def _health(self, accept: str) -> "Page":
        turned = threading.Event()
        try:
            self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # the loop is closed
            return _unavailable("the event loop has ended")
        return _ok() if turned.wait(ALIVE_S) else _unavailable(f"the event loop has not turned for {ALIVE_S} s")

    def _readiness(self, accept: str) -> "Page":
        return _ok() if self._ready else _unavailable("loading, draining, or an engine is lost")


Page = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


def _ok() -> Page:
    return HTTPStatus.OK, TEXT, b"ok\n"


def _unavailable(why: str) -> Page:
    return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{why}\n".encode()


class _Http(ThreadingHTTPServer):
    """Pages by path; each is called with the request's Accept header."""

    daemon_threads = True

    def __init__(self, where: tuple[str, int], handler: type[Any], pages: Mapping[str, Callable[[str], Page]]) -> None:
        self.pages = pages
        super().__init__(where, handler)

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the name service who we are

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("monitor: a request failed", exc_info=True)  # its client has left, mostly


class _Http6(_Http):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    server: _Http
    server_version = "tianzi"
    sys_version = ""
    timeout = SOCKET_S

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain=f"there are {', '.join(self.server.pages)}")
            return
        status, kind, body = page(self.headers.get("Accept", ""))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A probe every few seconds is no news."""
