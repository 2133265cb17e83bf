"""Who watches the server: metrics and traces, as the settings say."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tianzi import __version__
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
