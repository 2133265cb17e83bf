"""Monitor: /metrics, /healthz and /readyz over HTTP, on a port and a thread of their own."""

import asyncio
import logging
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from tianzi_service.settings import Settings, address
from tianzi_service.telemetry.observer import Observer

logger = logging.getLogger(__name__)

ALIVE_S = 2.0
"""The event loop must turn within this time to count as alive; no callback of ours takes a tenth of it."""
SOCKET_S = 5.0
"""A client that sends or reads nothing for so long is dropped."""
TEXT = "text/plain; charset=utf-8"


class Life(Observer):
    """Whether this process's event loop turns, and whether calls are answered."""

    def __init__(self) -> None:
        """Belongs to the running event loop."""
        self._serving = False
        self._loop = asyncio.get_running_loop()

    def serving(self, yes: bool) -> None:
        self._serving = yes

    def silent(self) -> str:
        """What is wrong if the event loop does not turn, else empty. To be asked in another thread."""
        turned = threading.Event()
        try:
            self._loop.call_soon_threadsafe(turned.set)
        except RuntimeError:  # the loop is closed
            return "the event loop has ended"
        return "" if turned.wait(ALIVE_S) else f"the event loop has not turned for {ALIVE_S} s"

    def unready(self) -> str:
        """Why calls are not answered, else empty."""
        return "" if self._serving else "loading, draining, or an engine is lost"


class Monitor:
    """Answers GET /metrics, /healthz (the event loop turns) and /readyz (calls are answered)."""

    def __init__(self, registry: CollectorRegistry, silent: Callable[[], str], unready: Callable[[], str]) -> None:
        """silent, unready: see Life; they are called in the pages' threads."""
        self._registry = registry
        self._silent = silent
        self._unready = unready

    @contextmanager
    def listening(self, settings: Settings) -> Iterator[int]:
        """Answers meanwhile, on the metrics port of the settings. Gives the port; waits for nobody at the end.

        Raises:
            OSError: the port cannot be listened on.
        """
        host = settings.metrics_host
        kind = _Http6 if ":" in host else _Http
        pages = {"/metrics": self._metrics, "/healthz": self._health, "/readyz": self._readiness}
        try:
            http = kind((host, settings.metrics_port or 0), _Handler, pages)
        except OSError as error:
            where = address(host, settings.metrics_port or 0)
            raise OSError(f"metrics: cannot listen on {where}: {error.strerror}") from None
        threading.Thread(target=http.serve_forever, name="monitor", daemon=True).start()
        port = int(http.server_address[1])
        logger.info("metrics on http://%s/metrics", address(host, port))
        try:
            yield port
        finally:
            http.shutdown()
            http.server_close()

    def _metrics(self, accept: str) -> "Page":
        encode, kind = choose_encoder(accept)
        return HTTPStatus.OK, kind, encode(self._registry)

    def _health(self, accept: str) -> "Page":
        return _page(self._silent())

    def _readiness(self, accept: str) -> "Page":
        return _page(self._unready())


Page = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


def _page(problem: str) -> Page:
    if problem:
        return HTTPStatus.SERVICE_UNAVAILABLE, TEXT, f"{problem}\n".encode()
    return HTTPStatus.OK, TEXT, b"ok\n"


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
