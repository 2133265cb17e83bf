"""The ASGI application: which path is answered by what."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route, Router

from tianzi_service.rpc.auth import Tokens
from tianzi_service.rpc.load_shedding import Gate
from tianzi_service.rpc.oip.servicer import InferenceServicer
from tianzi_service.rpc.servicers import ClozeServicer, OcrServicer, ServerServicer
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.settings import Settings
from tianzi_service.telemetry.observer import Observer
from tianzi_service.web import api, openapi, pages
from tianzi_service.web.call import Call, Limits
from tianzi_service.web.endpoint import Endpoint, Handler, Nowhere, Shared
from tianzi_service.web.errors import Reply, json_reply, open_inference
from tianzi_service.web.oip import rest
from tianzi_service.web.server import WebServer

EXPOSED = ("x-request-id", "retry-after", "inference-header-content-length")
"""Headers that a page of another origin may read."""


class Servicers(NamedTuple):
    """gRPC's own, which answer HTTP's calls, too."""

    ocr: OcrServicer
    cloze: ClozeServicer
    info: ServerServicer
    inference: InferenceServicer


def web_server(
    servicers: Servicers,
    gates: Mapping[str, Gate],
    threads: Threads,
    observer: Observer,
    tokens: Tokens | None,
    settings: Settings,
    shares_port: bool,
    is_serving: Callable[[], bool],
) -> WebServer:
    """The HTTP port, not started.

    gates: of each model, which refuse calls before they are read. shares_port: with other servers. is_serving: whether
    the server as a whole answers calls.
    """
    shared = Shared(Limits(settings.max_message_bytes, settings.http_body_s), tokens, observer)
    app = build_app(servicers, gates, threads, shared, settings, is_serving)
    return WebServer(app, shared, settings, shares_port)


def build_app(
    servicers: Servicers,
    gates: Mapping[str, Gate],
    threads: Threads,
    shared: Shared,
    settings: Settings,
    is_serving: Callable[[], bool],
) -> Any:
    """The ASGI application; see web_server."""
    ocr, cloze, info, inference = servicers
    operations = api.operations(ocr, cloze, info, gates, threads)
    routes = [
        Route(each.path, Endpoint(each.path, shared, {each.method: each.handler}), name=each.path)
        for each in operations
    ]
    for path, by_method in rest.handlers(inference, threads).items():
        endpoint = Endpoint(path, shared, by_method, is_open=path in rest.OPEN, form=open_inference)
        routes.append(Route(path, endpoint, name=path))
    opened: dict[str, Handler] = {
        "/healthz": _alive,
        "/readyz": _ready(is_serving),
        "/openapi.json": pages.document(openapi.document(operations, settings)),
    }
    if settings.http_page:
        opened |= pages.handlers()
    for path, handler in opened.items():
        routes.append(Route(path, Endpoint(path, shared, {"GET": handler}, is_open=True), name=path))
    app: Any = Router(routes, redirect_slashes=False, default=_nowhere(shared))
    if settings.http_cors:
        origins = [origin.strip() for origin in settings.http_cors.split(",")]
        app = CORSMiddleware(app, origins, allow_methods=("GET", "POST"), allow_headers=("*",), expose_headers=EXPOSED)
    return app


async def _alive(call: Call) -> Reply:
    return json_reply({"status": "ok"})


def _ready(is_serving: Callable[[], bool]) -> Handler:
    async def answer(call: Call) -> Reply:
        ready = is_serving()
        return json_reply({"status": "ready" if ready else "not ready"}, 200 if ready else 503)

    return answer


def _nowhere(shared: Shared) -> Any:
    """Answers for unknown paths, below /v2 in the protocol's form."""
    ours, theirs = Nowhere(shared), Nowhere(shared, open_inference)

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await (theirs if scope["path"].startswith("/v2") else ours)(scope, receive, send)

    return answer
