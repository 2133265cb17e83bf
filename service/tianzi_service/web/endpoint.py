"""Endpoint: what every path does around its handlers: request id, token, deadline, errors, counting."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tianzi_models.errors import DeadlineExceeded, ModelNotReady
from tianzi_service.rpc.auth import Tokens
from tianzi_service.rpc.errors import REQUEST_ID, MethodNotAllowed, PathNotFound, sane_id
from tianzi_service.rpc.oip.tensors import shown
from tianzi_service.telemetry.logs import request_id
from tianzi_service.telemetry.observer import NOBODY, Metadata, Observer
from tianzi_service.web.call import Call, Limits
from tianzi_service.web.errors import ErrorForm, Reply, error_reply, ours
from tianzi_service.web.protocol import CONNECTION

logger = logging.getLogger(__name__)

Handler = Callable[[Call], Awaitable[Reply]]


@dataclass
class Shared:
    """What all endpoints have in common. closing: connections end with their next answer: the server drains."""

    limits: Limits
    tokens: Tokens | None = None
    observer: Observer = NOBODY
    closing: bool = field(default=False, init=False)


class Endpoint:
    """An ASGI application for one path.

    handlers: by HTTP method; GET answers HEAD, too. is_open: whether it needs no token, and is not counted: health and
    pages. form: of its errors.
    """

    def __init__(
        self,
        path: str,
        shared: Shared,
        handlers: Mapping[str, Handler],
        *,
        is_open: bool = False,
        form: ErrorForm = ours,
    ) -> None:
        self.path = path
        self._shared = shared
        self._handlers = {**handlers, **({"HEAD": handlers["GET"]} if "GET" in handlers else {})}
        self._labels = {method: f"{method} {path}" for method in self._handlers}
        self._is_open = is_open
        self._is_watched = shared.observer is not NOBODY and not is_open
        self._tokens = None if is_open else shared.tokens
        self._form = form

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers, or ends quietly where the caller has left."""
        began = time.perf_counter()
        connection = scope.get(CONNECTION)
        if connection is not None:
            connection.task = asyncio.current_task()
        call = Call(scope, receive, self._shared.limits)
        request_id.set(sane_id(call.header(REQUEST_ID.encode())))
        label = self._labels.get(call.method, f"* {self.path}")
        if self._is_watched:
            self._shared.observer.call_began(label, _metadata(call))
        code = "CANCELLED"
        try:
            reply = await self._answer(call)
            is_over = await call.discard()
            code = reply.code
            await self._send(send, reply, closes=self._shared.closing or not is_over)
        except asyncio.CancelledError:
            if connection is None or not connection.is_lost:  # the server ends, and has waited long enough
                await self._send(send, error_reply(ModelNotReady("shutting down"), self._form), closes=True)
        finally:
            if connection is not None:
                connection.task = None
            seconds = time.perf_counter() - began
            if self._is_watched:
                self._shared.observer.call_ended(label, code, seconds)
            logger.debug("%s %s %.1f ms", label, code, 1000 * seconds)

    async def _answer(self, call: Call) -> Reply:
        try:
            handler = self._handlers.get(call.method)
            if handler is None:
                raise MethodNotAllowed(f"method: {call.method[:20]}, must be {self._allowed}")
            if self._tokens is not None:
                self._tokens.check(call.header(b"authorization") or None)
            call.start_clock()
            if call.deadline_s is None:
                return await handler(call)
            async with asyncio.timeout_at(call.deadline_s):
                return await handler(call)
        except TimeoutError:
            return error_reply(DeadlineExceeded("the deadline has passed"), self._form)
        except MethodNotAllowed as error:
            reply = error_reply(error, self._form)
            return reply._replace(headers=(*reply.headers, (b"allow", self._allowed.encode())))
        except Exception as error:
            return error_reply(error, self._form)

    @property
    def _allowed(self) -> str:
        return ", ".join(self._handlers)

    async def _send(self, send: Any, reply: Reply, closes: bool) -> None:
        headers = [
            *reply.headers,
            (b"content-length", str(len(reply.body)).encode()),
            (REQUEST_ID.encode(), request_id.get().encode()),
        ]
        if closes:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})


class Nowhere(Endpoint):
    """Any path that is not served."""

    def __init__(self, shared: Shared, form: ErrorForm = ours) -> None:
        super().__init__("*", shared, {}, form=form)
        self._tokens = None

    async def _answer(self, call: Call) -> Reply:
        return error_reply(PathNotFound(f"path: nothing is served under {shown(call.path)}"), self._form)


def _metadata(call: Call) -> Metadata:
    """Headers as gRPC gives them, for traces."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in call.raw_headers]
