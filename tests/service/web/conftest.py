"""A server of the fake models that speaks HTTP, and a client for it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.conftest import Running


class Web(httpx.AsyncClient):
    """A client of one server. running: the server."""

    running: Running


@pytest.fixture
def web(serving: Any) -> Callable[..., AbstractAsyncContextManager[Web]]:
    """async with web(max_message_bytes=…) as client: … answers over HTTP."""

    @asynccontextmanager
    async def start(verify: Any = True, **settings: Any) -> AsyncIterator[Web]:
        async with serving(http_port=0, **settings) as running:
            scheme = "https" if "tls_key" in settings else "http"
            base = f"{scheme}://127.0.0.1:{running.server.http_port}"
            async with Web(base_url=base, trust_env=False, timeout=20.0, verify=verify) as client:
                client.running = running
                yield client

    return start


def error(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The error that a response must be."""
    assert response.status_code == status, response.text
    told: dict[str, Any] = response.json()["error"]
    assert told["code"] == code, told
    assert told["request_id"] == response.headers["x-request-id"]
    return told
