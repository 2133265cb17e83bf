"""What /metrics counts, and what /healthz and /readyz say, over HTTP from a running server."""

import asyncio
import re
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes import WAIT_S
from tests.service.calls import code, image, until
from tianzi.v1 import ocr_pb2
from tianzi_service.settings import Settings
from tianzi_service.telemetry.http import Life, Monitor
from tianzi_service.telemetry.metrics import Metrics
from tianzi_service.telemetry.observer import NOBODY, Several
from tianzi_service.telemetry.watch import watching

OPERATIONS = Path(__file__).resolve().parents[2] / "docs/operations.md"
RECOGNIZE = "/tianzi.v1.OcrService/Recognize"


@contextmanager
def monitored() -> Iterator[tuple[Several, str]]:
    """An observer to give to a server, and where its pages are."""
    metrics = Metrics()
    metrics.describe("1.2.3", run_rows=64)
    life = Life()
    with Monitor(metrics.registry, life.silent, life.unready).listening(Settings(metrics_port=0)) as port:
        yield Several(metrics, life), f"http://127.0.0.1:{port}"


def read(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    """Status, content type and text of a page."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


async def get(url: str, accept: str = "*/*") -> tuple[int, str, str]:
    """The same, while the event loop goes on."""
    return await asyncio.to_thread(read, url, accept)


async def samples(url: str) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, in the labels' alphabetic order."""
    _, _, text = await get(f"{url}/metrics")
    families = text_string_to_metric_families(text)
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def test_calls_rows_and_runs_are_counted(serving: Any) -> None:
    with monitored() as (observer, url):
        async with serving(observer) as running:
            await running.ocr.Recognize(image(b"a"))
            batch = ocr_pb2.BatchRecognizeRequest(requests=[image(b"ab"), image(b""), image(b"poison")])
            await running.ocr.BatchRecognize(batch)
            await code(running.ocr.Recognize(image(b"")))
            seen = await samples(url)
    assert seen["tianzi_requests_total", "OK", RECOGNIZE] == 1
    assert seen["tianzi_requests_total", "INVALID_ARGUMENT", RECOGNIZE] == 1
    assert seen["tianzi_request_seconds_count", RECOGNIZE] == 2
    assert seen[("tianzi_requests_in_flight",)] == 0
    outcomes = {key[2]: value for key, value in seen.items() if key[0] == "tianzi_rows_total" and key[1] == "ocr"}
    assert outcomes == {"answered": 2, "invalid": 2, "failed": 1}
    for step in ("queue", "preprocess", "inference", "postprocess"):
        assert seen[f"tianzi_{step}_seconds_count", "ocr", "7"] == 2
        assert seen[f"tianzi_{step}_seconds_sum", "ocr", "7"] > 0
    # The poisoned row is run again with each of its halves.
    assert seen["tianzi_run_rows_sum", "ocr", "7"] >= 3
    assert seen["tianzi_run_seconds_count", "ocr", "7"] == seen["tianzi_run_rows_count", "ocr", "7"] >= 3
    assert seen["tianzi_model_info", "cloze", "FakeProvider", "7"] == 1
    assert seen["tianzi_server_info", "1.2.3"] == 1
    assert seen[("tianzi_run_rows_limit",)] == 64
    assert seen[("process_resident_memory_bytes",)] > 0


async def test_series_of_a_served_model_start_at_zero(serving: Any) -> None:
    with monitored() as (observer, url):
        async with serving(observer):
            seen = await samples(url)
    assert seen["tianzi_rows_total", "ocr", "answered", "7"] == 0
    assert seen["tianzi_queue_seconds_count", "cloze", "7"] == 0


async def test_a_call_under_way_is_in_flight_and_a_cancelled_one_ends(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    with monitored() as (observer, url):
        async with serving(observer) as running:
            call = running.ocr.Recognize(image(b"a"))
            await until(lambda: fake_ocr.runs)
            seen = await samples(url)
            assert seen[("tianzi_requests_in_flight",)] == 1
            assert seen["tianzi_rows_in_flight", "ocr"] == 1
            assert seen["tianzi_bytes_in_flight", "ocr"] > 0
            call.cancel()
            for _ in range(1000):
                seen = await samples(url)
                if seen.get(("tianzi_requests_total", "CANCELLED", RECOGNIZE)):
                    break
    assert seen["tianzi_requests_total", "CANCELLED", RECOGNIZE] == 1
    assert seen[("tianzi_requests_in_flight",)] == 0
    assert seen["tianzi_rows_total", "ocr", "cancelled", "7"] == 1
    assert seen["tianzi_rows_in_flight", "ocr"] == seen["tianzi_bytes_in_flight", "ocr"] == 0


async def test_ready_follows_the_server(serving: Any) -> None:
    with monitored() as (observer, url):
        assert (await get(f"{url}/readyz"))[0] == 503
        async with serving(observer) as running:
            assert (await get(f"{url}/readyz"))[0] == 200
            await code(running.ocr.Recognize(image(b"killed")))
            assert (await get(f"{url}/readyz"))[0] == 503
            assert (await samples(url))[("tianzi_ready",)] == 0
            assert (await get(f"{url}/healthz"))[0] == 200
        assert (await get(f"{url}/readyz"))[0] == 503


async def test_health_notices_a_loop_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_service.telemetry.http.ALIVE_S", 0.05)
    with monitored() as (_, url):
        assert read(f"{url}/healthz")[0] == 503  # in the loop's own thread, which cannot turn meanwhile
        assert (await get(f"{url}/healthz"))[0] == 200


async def test_pages_are_what_they_say(serving: Any) -> None:
    with monitored() as (_, url):
        status, kind, text = await get(f"{url}/metrics?x=1", accept="application/openmetrics-text; version=1.0.0")
        assert (status, kind.partition(";")[0]) == (200, "application/openmetrics-text")
        assert text.endswith("# EOF\n")
        status, _, text = await get(f"{url}/secrets")
        assert status == 404
        assert "/metrics" in text


async def test_settings_choose_whether_there_is_a_port(caplog: pytest.LogCaptureFixture) -> None:
    with watching(Settings()) as observer:
        assert observer is NOBODY
    with caplog.at_level("INFO"), watching(Settings(metrics_port=0)):
        (address,) = re.findall(r"http://(\S+)/metrics", caplog.text)
        seen = await samples(f"http://{address}")
    assert seen[("tianzi_ready",)] == 0
    with pytest.raises(URLError):
        await get(f"http://{address}/healthz")


async def test_a_taken_port_ends_the_start_with_its_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=rf"metrics: cannot listen on 127.0.0.1:{port}: Address"),
            watching(Settings(metrics_port=port)),
        ):
            pass


def test_operations_lists_every_metric() -> None:
    table = re.search(r"<!-- metrics: .*?-->(.*)<!-- end of metrics", OPERATIONS.read_text(encoding="utf-8"), re.DOTALL)
    assert table
    listed = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", table[1], re.MULTILINE)
    families = (family for family in Metrics().registry.collect() if family.name.startswith("tianzi_"))
    kinds = {"counter": "_total"}
    assert [(name, meaning) for name, _, meaning in listed] == [
        (family.name + kinds.get(family.type, ""), family.documentation) for family in families
    ]
