"""Who watches the server: metrics and traces, as the settings say; and the wrapper that tells them of calls."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import grpc

from tianzi import __version__
from tianzi_service.rpc.middleware import Context, Wrapper, rewrapped
from tianzi_service.settings import Settings
from tianzi_service.telemetry import tracing
from tianzi_service.telemetry.observer import NOBODY, Observer, Several


@contextmanager
def watching(settings: Settings, alone: bool = True) -> Iterator[Observer]:
    """Starts what watches; yields NOBODY where nothing does. Needs a running event loop.

    alone: not one of several servers, for which the process that started them answers on the metrics port.

    Raises:
        OSError: the metrics port cannot be listened on.
    """
    observers: list[Observer] = []
    with ExitStack() as started:
        # Imported where wanted: a server without them starts sooner.
        if tracing.wanted() and (provider := tracing.make_provider()):
            started.callback(provider.shutdown)
            observers.append(tracing.Traces(provider.get_tracer("tianzi", __version__)))
        if settings.metrics_port is not None:
            from tianzi_service.telemetry.metrics import Metrics

            metrics = Metrics()
            metrics.describe(__version__, settings.batch_rows)
            observers.append(metrics)
            if alone:
                from tianzi_service.telemetry.http import Life, Monitor

                life = Life()
                observers.append(life)
                started.enter_context(Monitor(metrics.registry, life.silent, life.unready).listening(settings))
        yield Several(*observers) if observers else NOBODY


class WatchWrapper(Wrapper):
    """Tells an observer of each call. Must be the outermost, to see also what the others refuse."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def wrap(self, method: str, handler: Any) -> Any:
        behaviour = handler.stream_stream or handler.unary_unary

        async def answer(request: Any, context: Context) -> Any:
            began = time.perf_counter()
            self._observer.call_began(method, context.invocation_metadata() or ())
            code = grpc.StatusCode.CANCELLED
            try:
                response = await behaviour(request, context)
                code = grpc.StatusCode.OK
                return response
            except grpc.aio.AbortError:
                code = context.code()
                raise
            finally:
                self._observer.call_ended(method, code.name, time.perf_counter() - began)

        return rewrapped(handler, answer, handler.request_deserializer)
