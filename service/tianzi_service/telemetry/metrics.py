"""Metrics: an Observer that counts for Prometheus. docs/operations.md lists the names."""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)

from tianzi_service.telemetry.observer import Metadata, Observer, Reason, Timing

# 100 µs to 10 s, about three a decade: a crop's decoding is under 1 ms, a full batch of documents over 1 s.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class _Series(NamedTuple):
    """The time series of one version of a model: looking them up by label costs as much as counting."""

    answered: Counter
    queue: Histogram
    preprocess: Histogram
    inference: Histogram
    postprocess: Histogram
    run_rows: Histogram
    run_seconds: Histogram


class Metrics(Observer):
    """Counts what it is told of. A row is an image or a document, whatever call it came with."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        row = ["model", "version"]

        def seconds(name: str, help_text: str, labels: Iterable[str] = row) -> Histogram:
            return Histogram(f"tianzi_{name}_seconds", help_text, labels, buckets=SECONDS, registry=registry)

        def count(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"tianzi_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"tianzi_{name}", help_text, labels, registry=registry, multiprocess_mode="livesum")

        def fact(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"tianzi_{name}", help_text, labels, registry=registry, multiprocess_mode="livemax")

        self._requests = count("requests", "Calls that ended, by gRPC code.", "method", "code")
        self._request_seconds = seconds("request", "A call from its start to its end.", ["method"])
        self._requests_open = gauge("requests_in_flight", "Calls under way, streams among them.")
        self._rows_open = gauge("rows_in_flight", "Rows between admission and answer.", "model")
        self._bytes_open = gauge("bytes_in_flight", "Bytes of the requests that these rows came in.", "model")
        self._rows = count("rows", "Rows that ended: answered, or why not.", *row, "outcome")
        self._queue = seconds("queue", "A row's wait for the engine.")
        self._preprocess = seconds("preprocess", "Decoding, checking, segmenting a row.")
        self._inference = seconds("inference", "The network's run that a row was in.")
        self._postprocess = seconds("postprocess", "Making answers of the run that a row was in.")
        self._run_rows = Histogram("tianzi_run_rows", "Rows of a run.", row, buckets=ROWS, registry=registry)
        self._run_seconds = seconds("run", "One run of the network, well or not.")
        self._limit = fact("run_rows_limit", "Rows that a run may have.")
        self._model = fact("model_info", "1 for each version that answers; 0 for one that did.", *row, "provider")
        self._server = fact("server_info", "1; the software's version.", "version")
        self._ready = gauge("ready", "Servers that answer calls: SERVING, and not draining.")
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self._series = lru_cache(maxsize=64)(self._make_series)  # of the versions that came and went

    def describe(self, version: str, run_rows: int) -> None:
        """What does not change while the server runs."""
        self._server.labels(version).set(1)
        self._limit.set(run_rows)

    def loaded(self, model: str, version: int, provider: str) -> None:
        self._model.labels(model, str(version), provider).set(1)
        self._series(model, version)  # so that its series start at 0: a rate needs the first rise

    def unloaded(self, model: str, version: int, provider: str) -> None:
        self._model.labels(model, str(version), provider).set(0)

    def serving(self, yes: bool) -> None:
        self._ready.set(yes)

    def call_began(self, method: str, metadata: Metadata) -> None:
        self._requests_open.inc()

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        self._requests_open.dec()
        self._requests.labels(method, code).inc()
        self._request_seconds.labels(method).observe(seconds)

    def under_way(self, model: str, rows: int, size_bytes: int) -> None:
        self._rows_open.labels(model).set(rows)
        self._bytes_open.labels(model).set(size_bytes)

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        series = self._series(model, version)
        series.run_rows.observe(rows)
        series.run_seconds.observe(seconds)

    def answered(self, model: str, version: int, timing: Timing) -> None:
        series = self._series(model, version)
        series.answered.inc()
        series.queue.observe(timing.queue_s)
        series.preprocess.observe(timing.preprocess_s)
        series.inference.observe(timing.inference_s)
        series.postprocess.observe(timing.postprocess_s)

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        self._rows.labels(model, str(version), reason).inc()

    def _make_series(self, model: str, version: int) -> _Series:
        labels = (model, str(version))
        timed = (self._queue, self._preprocess, self._inference, self._postprocess, self._run_rows, self._run_seconds)
        return _Series(self._rows.labels(*labels, "answered"), *(metric.labels(*labels) for metric in timed))
