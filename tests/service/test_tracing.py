"""Spans of calls and rows, as an exporter gets them."""

import asyncio
import subprocess
import sys
from itertools import pairwise
from typing import Any

import grpc
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.service.calls import code, image, until
from tianzi.v1 import ocr_pb2
from tianzi_service.settings import Settings
from tianzi_service.telemetry import tracing
from tianzi_service.telemetry.observer import NOBODY
from tianzi_service.telemetry.watch import watching

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Exported:
    """Traces, and what came of them."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = tracing.Traces(provider.get_tracer("test"))

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    async def call(self) -> ReadableSpan:
        """The span of the one call, once it has ended."""
        await until(lambda: any(span.kind is SpanKind.SERVER for span in self.spans))
        (span,) = (span for span in self.spans if span.kind is SpanKind.SERVER)
        return span


async def test_a_call_has_a_span_with_its_steps_below_it(serving: Any) -> None:
    exported = Exported()
    async with serving(exported.traces) as running:
        metadata = (("traceparent", f"00-{TRACE}-{PARENT}-01"), ("x-request-id", "abc-123"))
        await running.ocr.Recognize(image(b"secret"), metadata=metadata)
        call = await exported.call()
    assert call.name == "tianzi.v1.OcrService/Recognize"
    assert f"{call.context.trace_id:x}" == TRACE.lstrip("0")
    assert call.parent is not None and f"{call.parent.span_id:x}" == PARENT
    assert call.attributes is not None
    assert call.attributes["rpc.grpc.status_code"] == 0
    assert call.attributes["tianzi.request_id"] == "abc-123"
    assert call.attributes["tianzi.rows"] == 1
    steps = [span for span in exported.spans if span is not call]
    assert [span.name for span in steps] == list(tracing.STEPS)
    assert all(span.parent is not None and span.parent.span_id == call.context.span_id for span in steps)
    for before, after in pairwise(steps):
        assert before.start_time < before.end_time == after.start_time
    assert call.start_time <= steps[0].start_time
    assert steps[-1].end_time <= call.end_time
    assert not any("secret" in span.to_json() for span in exported.spans)


async def test_errors_are_told_by_whose_fault_they_are(serving: Any) -> None:
    for data, status, reason in ((b"", StatusCode.UNSET, "invalid"), (b"poison", StatusCode.ERROR, "failed")):
        exported = Exported()
        async with serving(exported.traces) as running:
            assert await code(running.ocr.Recognize(image(data))) is not grpc.StatusCode.OK
            call = await exported.call()
        assert call.status.status_code is status
        (event,) = call.events
        assert event.attributes == {"tianzi.model": "ocr", "tianzi.reason": reason}


async def test_rows_of_a_long_call_are_traced_up_to_a_bound(serving: Any) -> None:
    exported = Exported()
    requests = [image(b"a")] * (tracing.ROWS_TRACED + 8)
    async with serving(exported.traces) as running:
        await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=requests))
        call = await exported.call()
    assert call.attributes is not None and call.attributes["tianzi.rows"] == len(requests)
    assert len(exported.spans) == 1 + len(tracing.STEPS) * tracing.ROWS_TRACED


async def test_an_unsampled_caller_gets_no_spans(serving: Any) -> None:
    exported = Exported()
    async with serving(exported.traces) as running:
        await running.ocr.Recognize(image(b"a"), metadata=(("traceparent", f"00-{TRACE}-{PARENT}-00"),))
        await asyncio.sleep(0.05)
    assert not exported.spans


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
    ],
)
def test_the_environment_chooses(environ: dict[str, str], expected: bool) -> None:
    assert tracing.wanted(environ) is expected


async def test_spans_go_to_the_exporter_that_the_environment_names(
    serving: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with watching(Settings()) as observer:
        async with serving(observer) as running:
            await running.ocr.Recognize(image(b"a"))
    out = capsys.readouterr().out
    assert '"name": "tianzi.v1.OcrService/Recognize"' in out
    assert '"service.name": "tianzi"' in out


async def test_what_cannot_be_traced_is_served_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with watching(Settings()) as observer:
        assert observer is NOBODY
    assert "OTEL_TRACES_EXPORTER=zipkin" in caplog.text


def test_nothing_of_opentelemetry_is_loaded_when_off() -> None:
    loaded = "print(*(name for name in sys.modules if name.startswith('opentelemetry')))"
    check = f"import tianzi_service.lifecycle.server, sys; {loaded}"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
