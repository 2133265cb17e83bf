"""WebServer: the HTTP port, in the event loop of the gRPC server, started and drained with it."""

import asyncio
import socket
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from tianzi_service.settings import Settings, address
from tianzi_service.web import tls
from tianzi_service.web.endpoint import Shared
from tianzi_service.web.protocol import Protocol

IDLE_S = 75.0
"""How long a connection stays open between two requests: longer than load balancers keep theirs, 60 s as a rule, or
they would send a request into a connection that is just closing."""
POLL_S = 0.02
LAST_S = 1.0
"""What calls that the end of the grace has cancelled have, to say so."""


class WebServer:
    """Answers with an ASGI application."""

    def __init__(self, app: Any, shared: Shared, settings: Settings, shares_port: bool) -> None:
        """shares_port: with other servers, as one of several workers."""
        self._shared = shared
        self._settings = settings
        self._shares_port = shares_port
        self._config = Config(
            app,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=int(IDLE_S),
        )
        self._config.load()
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Starts answering; returns the port.

        Raises:
            OSError: the port cannot be listened on, or the TLS files are of no use.
        """
        host, port = self._settings.host, self._settings.http_port or 0
        context = tls.context(self._settings)
        listener = _bound(host, port, self._shares_port)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Protocol(self._config, self._state, {}), sock=listener, ssl=context, backlog=self._config.backlog
        )
        return int(listener.getsockname()[1])

    def retire(self) -> None:
        """From now on each answer ends its connection, so that clients look elsewhere."""
        self._shared.closing = True

    async def stop(self, grace_s: float) -> None:
        """Takes no more connections; calls under way have grace_s, then they end as UNAVAILABLE."""
        if self._server is None:
            return
        self._server.close()
        state, loop = self._state, asyncio.get_running_loop()
        for connection in [*state.connections]:
            connection.shutdown()
        end_s = loop.time() + grace_s
        while (state.tasks or state.connections) and loop.time() < end_s:
            await asyncio.sleep(POLL_S)
        if tasks := [*state.tasks]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=LAST_S)
        for connection in [*state.connections]:
            connection.transport.abort()


def _bound(host: str, port: int, shares_port: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(f"http: cannot listen on {address(host, port)}: {error.strerror}") from None
    return listener
