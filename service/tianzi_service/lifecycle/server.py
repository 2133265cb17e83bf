"""The server: load the models, serve, and on a signal drain.

SERVING … SIGTERM or SIGINT → NOT_SERVING → drain_s → no new calls → grace_s → what is left fails → the process ends.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tianzi.v1 import cloze_pb2, cloze_pb2_grpc, ocr_pb2, ocr_pb2_grpc, server_pb2, server_pb2_grpc
from tianzi_models.bundle import default_root
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.registry import MODELS, load_model
from tianzi_service.lifecycle.heartbeat import Teller
from tianzi_service.lifecycle.process import events_of_signals, prepare_process, require_port, tend_memory
from tianzi_service.lifecycle.reload import Reloader
from tianzi_service.rpc import tls
from tianzi_service.rpc.auth import AuthInterceptor, Tokens
from tianzi_service.rpc.errors import StatusWrapper
from tianzi_service.rpc.load_shedding import Handlers
from tianzi_service.rpc.middleware import WatchWrapper, in_turn
from tianzi_service.rpc.oip.servicer import InferenceServicer
from tianzi_service.rpc.oip.statistics import Statistics
from tianzi_service.rpc.oip.v2 import grpc_service_pb2, grpc_service_pb2_grpc
from tianzi_service.rpc.servicers import ClozeServicer, OcrServicer, ServerServicer
from tianzi_service.rpc.transport import grpc_server
from tianzi_service.scheduling.admission import Admission
from tianzi_service.scheduling.answer_room import AnswerSizes, cloze_answer_bytes
from tianzi_service.scheduling.model_versions import AnyModel, AnyPipeline, Served
from tianzi_service.scheduling.pipeline import Pipeline
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.scheduling.thread_priority import give_way
from tianzi_service.settings import Settings, address
from tianzi_service.telemetry import logs
from tianzi_service.telemetry.observer import NOBODY, Observer, Several
from tianzi_service.telemetry.watch import watching

if TYPE_CHECKING:
    from tianzi_service.web.server import WebServer

logger = logging.getLogger(__name__)

OCR = ocr_pb2.DESCRIPTOR.services_by_name["OcrService"].full_name
CLOZE = cloze_pb2.DESCRIPTOR.services_by_name["ClozeService"].full_name
SERVICES = {"ocr": OCR, "cloze": CLOZE}
"""The service of each model."""
INFERENCE = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
"""The Open Inference Protocol, for both models."""
SERVER = server_pb2.DESCRIPTOR.services_by_name["ServerService"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
REFUSE_S = 0.2
"""How long calls are refused yet when none is under way any more. What comes in while gRPC stops ends as CANCELLED,
which clients of others take for their own leaving, where UNAVAILABLE tells them to ask elsewhere."""
ANSWER_BYTES: Mapping[type, Callable[[Any], int]] = {ClozeModel: cloze_answer_bytes}
"""Model → how large the answer to an item may be at most; an image's has some hundred bytes."""
WHOLE = ""
"""The health protocol's name for the server as a whole."""


def run(settings: Settings, teller: Teller | None = None) -> None:
    """Serves in this process; see serve."""
    import uvloop

    prepare_process()
    # A single call costs a third less of the processor than in asyncio's own loop.
    uvloop.run(serve(settings, teller=teller))


async def serve(
    settings: Settings, on_ready: Callable[[int], None] | None = None, teller: Teller | None = None
) -> None:
    """Serves both models until SIGTERM or SIGINT, then drains. A second SIGINT does not wait.

    on_ready: called with the port once calls are answered. teller: of one of several servers, which share the port.

    Raises:
        BundleError, ModelNotFound: a bundle cannot be served.
        OSError: a port cannot be listened on; the message says why.
    """
    logs.configure(settings.log_format, settings.log_level)
    began = time.monotonic()
    stop, reload = events_of_signals()
    level = logging.DEBUG if teller else logging.INFO  # what several would say alike is said once for all
    if teller is None:
        require_port(settings.host, settings.port)
    with watching(settings, alone=teller is None) as observer:

        def load(name: str, version: int | None = None) -> AnyModel:
            give_way()  # a run's threads are as nice as the one that loads
            return load_model(
                name,
                settings.bundle_root,
                version,
                device=settings.device,
                threads=max(1, round(MODELS[name].run_share * settings.threads)),
                warm_rows=settings.batch_rows,
                gpu=settings.gpu,
            )

        models = {name: await asyncio.to_thread(load, name) for name in MODELS}
        if stop.is_set():
            return
        logger.log(level, "settings %s", settings.model_dump_json())
        server = Server(models, settings, observer, teller)
        root = settings.bundle_root or default_root()
        reloader = Reloader(root, server.served, load, settings.versions, server.update_health)
        if settings.versions > 1:
            await reloader.refresh()
        tasks = [asyncio.create_task(work) for work in (reloader.run(reload, settings.reload_s), tend_memory())]
        try:
            port = await server.start()
            loaded = ", ".join(f"{m.name} {m.bundle.version} on {m.session.provider}" for m in models.values())
            took_s = time.monotonic() - began
            where = address(settings.host, port)
            if server.http_port:
                where += f", HTTP on {address(settings.host, server.http_port)}"
            logger.log(level, "ready on %s after %.1f s: %s", where, took_s, loaded)
            if teller is not None:
                tasks.append(asyncio.create_task(teller.turn()))
            if on_ready is not None:
                on_ready(port)
            await stop.wait()
            logger.log(level, "stopping: calls under way have %.0f s", settings.drain_s + settings.grace_s)
        finally:
            for task in tasks:
                task.cancel()
            await server.stop()
    logger.log(level, "stopped")


def build_server(models: Mapping[str, AnyModel], settings: Settings, observer: Observer = NOBODY) -> "Server":
    """A server for loaded models, not started. Call it in a running event loop.

    models: by name, "ocr" and "cloze". observer: is told of every run and row.
    """
    return Server(models, settings, observer)


class Server:
    """The gRPC server with its pipelines and health."""

    def __init__(
        self, models: Mapping[str, AnyModel], settings: Settings, observer: Observer, teller: Teller | None = None
    ) -> None:
        self._settings = settings
        self._shares_port = teller is not None
        statistics = Statistics()
        self._observer = Several(statistics, observer, teller or NOBODY)
        self._threads = Threads(settings.threads)
        self._health = health.aio.HealthServicer()
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.served = {name: self._served(name) for name in SERVICES}
        for name, served in self.served.items():
            served.add(models[name])
        # Refusals, too, are watched and get a request id. What nobody looks at is not watched: a call costs less then.
        wrap = in_turn(StatusWrapper(), *([] if observer is NOBODY else [WatchWrapper(observer)]))
        tokens = Tokens(settings.token_file) if settings.token_file else None
        interceptors = [AuthInterceptor(tokens, wrap)] if tokens else []
        self._grpc = grpc_server(settings, self._shares_port, interceptors)
        gates = {f"/{OCR}/Recognize": self.served["ocr"], f"/{CLOZE}/Fill": self.served["cloze"]}
        ours = cast(grpc.aio.Server, handlers := Handlers(wrap, gates))
        self._grpc.add_generic_rpc_handlers((handlers,))
        ocr, cloze = OcrServicer(self.served["ocr"], settings), ClozeServicer(self.served["cloze"], settings)
        info = ServerServicer(self.served, settings)
        inference = InferenceServicer(self.served, settings, self._threads, statistics, self._is_ready)
        ocr_pb2_grpc.add_OcrServiceServicer_to_server(ocr, ours)
        cloze_pb2_grpc.add_ClozeServiceServicer_to_server(cloze, ours)
        server_pb2_grpc.add_ServerServiceServicer_to_server(info, ours)
        grpc_service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(inference, ours)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        if settings.reflection:
            names = (OCR, CLOZE, SERVER, INFERENCE, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._grpc)
        self.http_port = 0
        self._web: WebServer | None = None
        if settings.http_port is not None:
            # Imported where wanted: a server without HTTP starts sooner.
            from tianzi_service.web.app import Servicers, web_server

            servicers = Servicers(ocr, cloze, info, inference)
            self._web = web_server(
                servicers, self.served, self._threads, observer, tokens, settings, self._shares_port, self._is_serving
            )

    async def start(self) -> int:
        """Starts answering; returns the port.

        Raises:
            OSError: the port cannot be listened on, or the TLS files are of no use.
        """
        host, port = self._settings.host, self._settings.port
        credentials = tls.credentials(self._settings)
        try:
            if credentials is None:
                port = self._grpc.add_insecure_port(address(host, port))
            else:
                port = self._grpc.add_secure_port(address(host, port), credentials)
        except RuntimeError as error:
            if not self._shares_port:
                require_port(host, port)
            raise OSError(f"cannot listen on {address(host, port)}") from error
        if self._web is not None:
            self.http_port = await self._web.start()
        for service in (WHOLE, OCR, CLOZE, SERVER, INFERENCE):
            await self._health.set(service, SERVING)
        await self._grpc.start()
        self._observer.serving(True)
        return port

    async def stop(self) -> None:
        """Drains: calls under way go on for drain_s + grace_s at most, then fail."""
        self._stopping = True
        self._observer.serving(False)
        if self._web is not None:
            self._web.retire()
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._settings.drain_s)
        until_s = asyncio.get_running_loop().time() + self._settings.grace_s
        refusing = [asyncio.create_task(served.refuse()) for served in self.served.values()]
        await asyncio.wait(refusing, timeout=self._settings.grace_s)
        for task in refusing:
            task.cancel()
        await asyncio.sleep(min(REFUSE_S, self._settings.drain_s))
        left_s = max(0.0, until_s - asyncio.get_running_loop().time())
        http = [self._web.stop(left_s)] if self._web is not None else []
        await asyncio.gather(self._grpc.stop(left_s), *http)
        for served in self.served.values():
            await served.close()
        self._threads.shutdown()

    def _is_serving(self) -> bool:
        """Whether the server as a whole answers calls."""
        return not self._stopping and not any(served.lost for served in self.served.values())

    async def _is_ready(self, model: str) -> bool:
        """Whether health says so of the model's service."""
        request = health_pb2.HealthCheckRequest(service=SERVICES[model])
        response = await self._health.Check(request, None)  # type: ignore[arg-type] # it is for unknown services
        return bool(response.status == SERVING)

    async def update_health(self) -> None:
        """Says NOT_SERVING of a model one of whose engines is lost, and then of the whole; else SERVING."""
        lost = {service: self.served[name].lost for name, service in SERVICES.items()}
        if self._stopping:
            return
        self._observer.serving(not any(lost.values()))
        for service, is_lost in {**lost, WHOLE: any(lost.values())}.items():
            await self._health.set(service, NOT_SERVING if is_lost else SERVING)

    def _served(self, name: str) -> Served:
        settings = self._settings
        admission = Admission(name, settings.queue_rows, settings.queue_bytes, self._observer)

        def on_lost() -> None:
            task = asyncio.create_task(self.update_health())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def make(model: AnyModel) -> AnyPipeline:
            return Pipeline(
                model,
                admission,
                self._threads,
                max_rows=settings.batch_rows,
                max_cost=settings.batch_tokens if model.costs_tokens else settings.batch_rows,
                on_lost=on_lost,
                observer=self._observer,
                answer_sizes=AnswerSizes(ANSWER_BYTES.get(type(model)), settings.max_message_bytes),
            )

        return Served(name, admission, make, self._observer)
