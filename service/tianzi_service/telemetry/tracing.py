"""Traces: an Observer that makes OpenTelemetry spans, where the standard OTEL_* variables ask for them.

A span for each call, under the caller's own where it sent a traceparent; below it preprocess, queue, inference and
postprocess of each row, for the first ROWS_TRACED rows of a call. No payload is in them.
"""

import logging
import os
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from tianzi import __version__
from tianzi_service.telemetry.logs import request_id
from tianzi_service.telemetry.observer import Metadata, Observer, Reason, Timing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

logger = logging.getLogger(__name__)

ROWS_TRACED = 32
"""A stream of a million rows must not become a trace of four million spans."""
STEPS = ("preprocess", "queue", "inference", "postprocess")
FAULTS = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""The codes that make a server's span an error, by OpenTelemetry's conventions: the others are the caller's."""


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the environment asks for traces, by an exporter's name or address."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if exporter := environ.get("OTEL_TRACES_EXPORTER"):
        return exporter != "none"
    return bool(environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def make_provider() -> "TracerProvider | None":
    """Sends spans where the environment says. None where that cannot be, with the reason in the log: a server that
    does not trace is better than none."""
    kind = os.environ.get("OTEL_TRACES_EXPORTER", "otlp")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if kind not in ("otlp", "console") or protocol not in (None, "", "grpc"):
        asked = f"OTEL_TRACES_EXPORTER={kind}, OTEL_EXPORTER_OTLP_PROTOCOL={protocol}"
        logger.warning("no traces: %s, must be otlp over grpc, console or none", asked)
        return None
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
    except ImportError as error:
        logger.warning("no traces: the extra otel is not installed (%s)", error)
        return None
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "tianzi"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter() if kind == "otlp" else ConsoleSpanExporter(out=sys.stdout)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


@dataclass(slots=True)
class _Call:
    """The call that a task answers, or a row of it."""

    span: "Span"
    rows: int = 0


_call: ContextVar[_Call | None] = ContextVar("call", default=None)


class Traces(Observer):
    """Spans of calls and of their rows."""

    def __init__(self, tracer: "Tracer") -> None:
        from opentelemetry import propagate, trace

        self._tracer = tracer
        self._trace = trace
        self._extract = propagate.extract

    def call_began(self, method: str, metadata: Metadata) -> None:
        carrier = {name: value for name, value in metadata if isinstance(value, str)}
        verb, _, path = method.partition(" ")
        if path:  # HTTP
            name, attributes = method, {"http.request.method": verb, "http.route": path}
        else:
            service, _, called = method.strip("/").rpartition("/")
            name = f"{service}/{called}"
            attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": called}
        span = self._tracer.start_span(
            name, context=self._extract(carrier), kind=self._trace.SpanKind.SERVER, attributes=attributes
        )
        _call.set(_Call(span))

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        call = _call.get()
        if call is None:
            return
        call.span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
        call.span.set_attribute("tianzi.request_id", request_id.get())
        call.span.set_attribute("tianzi.rows", call.rows)
        if code in FAULTS:
            call.span.set_status(self._trace.StatusCode.ERROR, code)
        call.span.end()

    def answered(self, model: str, version: int, timing: Timing) -> None:
        call = self._row()
        if call is None:
            return
        # What was measured as durations is laid end to end, back from now.
        end_ns = time.time_ns()
        seconds = (timing.preprocess_s, timing.queue_s, timing.inference_s, timing.postprocess_s)
        begin_ns = end_ns - round(1e9 * sum(seconds))
        parent = self._trace.set_span_in_context(call.span)
        attributes: dict[str, str | int] = {"tianzi.model": model, "tianzi.version": version}
        for step, duration_s in zip(STEPS, seconds, strict=True):
            span = self._tracer.start_span(step, context=parent, start_time=begin_ns, attributes=attributes)
            begin_ns += round(1e9 * duration_s)
            span.end(begin_ns)

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        call = self._row()
        if call is not None:
            call.span.add_event("row without answer", {"tianzi.model": model, "tianzi.reason": reason})

    def _row(self) -> _Call | None:
        """The running call, one row further; None where its rows are not, or no longer, traced."""
        call = _call.get()
        if call is None or not call.span.is_recording():
            return None
        call.rows += 1
        return call if call.rows <= ROWS_TRACED else None
