"""What holds for every path: ids, tokens, deadlines, limits of bodies, counting, logs, other origins, the end."""

import asyncio
import contextlib
import logging
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.certificates import Authority
from tests.fakes import FakeOcr
from tests.service.calls import nth, until
from tests.service.web.conftest import error
from tianzi_service.settings import Settings
from tianzi_service.telemetry.metrics import Metrics
from tianzi_service.web import call as call_module
from tianzi_service.web import protocol

PNG = {"content-type": "image/png"}
TOKEN = "a-token-of-this-test"


async def raw(port: int, *parts: bytes, pause_s: float = 0.0) -> bytes:
    """What comes back for bytes on a socket, until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause_s)
    answer = await reader.read()
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return answer


async def test_request_ids_come_back(web: Any) -> None:
    async with web() as client:
        given = await client.post("/v1/recognize", content=b"a", headers={"x-request-id": "mine-1"})
        made = await client.post("/v1/recognize", content=b"a", headers={"x-request-id": "two words"})
        assert given.headers["x-request-id"] == "mine-1"
        assert len(made.headers["x-request-id"]) == 32


async def test_unknown_paths_and_methods(web: Any) -> None:
    async with web() as client:
        assert "'/nope'" in error(await client.get("/nope"), 404, "UNIMPLEMENTED")["message"]
        wrong = await client.get("/v1/fill")
        error(wrong, 405, "UNIMPLEMENTED")
        assert wrong.headers["allow"] == "POST"
        assert (await client.get("/v2/nope")).json().keys() == {"error"}
        assert (await client.head("/v1/info")).status_code == 200


async def test_domain_errors_have_their_statuses(web: Any, fake_ocr: FakeOcr) -> None:
    async with web(queue_rows=1) as client:
        absent = await client.post("/v1/recognize", content=b"a", params={"model_version": "3"})
        error(absent, 404, "NOT_FOUND")
        for poison in (b"poison", b"nan"):
            told = error(await client.post("/v1/recognize", content=poison), 500, "INTERNAL")
            assert "secret" not in told["message"]
        fake_ocr.gate.clear()
        first = asyncio.create_task(client.post("/v1/recognize", content=b"a"))
        await until(lambda: fake_ocr.runs[-1:] == [["a"]])
        full = await client.post("/v1/recognize", content=b"b")
        error(full, 429, "RESOURCE_EXHAUSTED")
        assert full.headers["retry-after"] == "1"
        fake_ocr.gate.set()
        assert (await first).status_code == 200
        assert (await client.post("/v1/recognize", content=b"lost")).status_code == 503
        await until(lambda: client.running.server.served["ocr"].lost)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/v2/health/ready")).status_code == 503
        assert (await client.get("/v2/models/ocr/ready")).json() == {"name": "ocr", "ready": False}
        assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize("header", [{"tianzi-timeout-ms": "60"}, {"grpc-timeout": "60m"}])
async def test_a_deadline_ends_the_call_and_its_row(web: Any, fake_ocr: FakeOcr, header: dict[str, str]) -> None:
    async with web() as client:
        fake_ocr.gate.clear()
        first = asyncio.create_task(client.post("/v1/recognize", content=b"a"))
        await until(lambda: fake_ocr.runs)
        late = await client.post("/v1/recognize", content=b"late", headers=header)
        error(late, 504, "DEADLINE_EXCEEDED")
        fake_ocr.gate.set()
        await first
        assert "late" not in fake_ocr.ran


@pytest.mark.parametrize("header", [{"tianzi-timeout-ms": "soon"}, {"grpc-timeout": "5"}])
async def test_a_deadline_that_is_none_is_told(web: Any, header: dict[str, str]) -> None:
    async with web() as client:
        told = error(await client.post("/v1/recognize", content=b"a", headers=header), 400, "INVALID_ARGUMENT")
        assert told["field"] == next(iter(header))


async def test_a_caller_that_leaves_takes_its_row_along(web: Any, fake_ocr: FakeOcr) -> None:
    async with web() as client:
        fake_ocr.gate.clear()
        first = asyncio.create_task(client.post("/v1/recognize", content=b"a"))
        await until(lambda: fake_ocr.runs)
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/recognize", content=b"gone", timeout=0.1)
        await until(lambda: client.running.server.served["ocr"].admission.rows == 1)
        fake_ocr.gate.set()
        assert (await first).status_code == 200
        assert "gone" not in fake_ocr.ran


async def test_bodies_over_the_limit_are_refused(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "DISCARD_S", 0.1)

    async def chunks() -> Any:
        for _ in range(3):
            yield b"x" * 600

    async with web(max_message_bytes=1000) as client:
        announced = await client.post("/v1/recognize", content=b"x" * 1001)
        assert "1001 bytes, at most 1000" in error(announced, 413, "RESOURCE_EXHAUSTED")["message"]
        error(await client.post("/v1/recognize", content=chunks(), headers=PNG), 413, "RESOURCE_EXHAUSTED")
        assert (await client.post("/v1/recognize", content=b"x" * 1000)).status_code == 200
        head = b"POST /v1/recognize HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n"
        never = await raw(client.running.server.http_port, head)
        assert b" 413 " in never
        assert b"connection: close" in never


async def test_slow_bodies_and_heads_are_given_up(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_S", 0.1)
    monkeypatch.setattr(call_module, "DISCARD_S", 0.05)
    async with web(http_body_s=0.1) as client:
        port = client.running.server.http_port
        slow = await raw(port, b"POST /v1/recognize HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nab")
        assert b" 408 " in slow
        assert b"2 bytes in 0.1 s" in slow
        assert b" 408 " in await raw(port, b"POST /v1/recognize HTTP/1.1\r\nhost")
        assert b" 408 " in await raw(port)


async def test_what_is_no_http_ends_its_connection_only(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_HEAD_BYTES", 1000)
    async with web() as client:
        port = client.running.server.http_port
        assert b" 400 " in await raw(port, b"\x16\x03\x01\x02\x00garbage\r\n\r\n")
        assert b" 431 " in await raw(port, b"GET / HTTP/1.1\r\nx: " + b"y" * 2000)
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_tokens_open_all_but_health_and_pages(web: Any, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(f"{TOKEN}\n")
    async with web(token_file=tmp_path / "tokens") as client:
        none = await client.post("/v1/recognize", content=b"abc")
        error(none, 401, "UNAUTHENTICATED")
        assert none.headers["www-authenticate"] == "Bearer"
        wrong = {"authorization": "Bearer another-token-than-that"}
        error(await client.post("/v1/recognize", content=b"abc", headers=wrong), 403, "PERMISSION_DENIED")
        assert (await client.get("/v2/models/ocr")).status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert (await client.post("/v1/recognize", content=b"abc", headers=right)).status_code == 200
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("/openapi.json")).json()["security"] == [{"token": []}]


async def test_tls_with_a_renewed_certificate_and_clients_that_show_one(web: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair, mine = authority.issue("server"), authority.issue("client", "me@example.org")
    trusting = ssl.create_default_context(cafile=str(authority.ca))
    settings = {"tls_certificate": pair.certificate, "tls_key": pair.key}
    async with web(verify=trusting, **settings) as client:
        port = client.running.server.http_port

        async def serial() -> Any:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
            seen = writer.get_extra_info("ssl_object").getpeercert()["serialNumber"]
            writer.close()
            return seen

        assert (await client.post("/v1/recognize", content=b"abc")).json()["candidates"][0]["text"] == nth(3)
        before = await serial()
        authority.issue("server")
        assert await serial() != before
    known = ssl.create_default_context(cafile=str(authority.ca))
    known.load_cert_chain(mine.certificate, mine.key)
    for verify, served in ((known, True), (trusting, False)):
        async with web(verify=verify, tls_client_ca=authority.ca, **settings) as client:
            if served:
                assert (await client.get("/v1/info")).status_code == 200
            else:
                with pytest.raises(httpx.HTTPError):
                    await client.get("/v1/info")


async def test_other_origins_are_allowed_where_set(web: Any) -> None:
    theirs = {"origin": "https://a.example", "access-control-request-method": "POST"}
    asked = {**theirs, "access-control-request-headers": "content-type, tianzi-timeout-ms"}
    async with web(http_cors="https://a.example, https://b.example") as client:
        allowed = await client.options("/v1/fill", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        failed = await client.post("/v1/fill", json={}, headers=theirs)
        assert failed.headers["access-control-allow-origin"] == "https://a.example"
        assert failed.headers["access-control-expose-headers"]
        other = await client.post("/v1/fill", json={}, headers={"origin": "https://c.example"})
        assert "access-control-allow-origin" not in other.headers
    async with web() as client:
        assert (await client.options("/v1/fill", headers=asked)).status_code == 405


async def test_calls_are_counted_by_path_and_code(web: Any) -> None:
    metrics = Metrics()
    async with web(observer=metrics) as client:
        await client.post("/v1/recognize", content=b"abc")
        await client.post("/v1/recognize", content=b"")
        await client.get("/secret-path")
        await client.get("/healthz")

    def count(method: str, code: str) -> float | None:
        return metrics.registry.get_sample_value("tianzi_requests_total", {"method": method, "code": code})

    assert count("POST /v1/recognize", "OK") == 1
    assert count("POST /v1/recognize", "INVALID_ARGUMENT") == 1
    assert count("* *", "UNIMPLEMENTED") == 1
    assert count("GET /healthz", "OK") is None
    assert metrics.registry.get_sample_value("tianzi_requests_in_flight") == 0


async def test_no_payload_is_logged(web: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with web() as client:
        for body in ('{"text": "秘密____"}', '{"text": 秘密', '{"text": "秘密", "秘密": 1}'):
            await client.post("/v1/fill", content=body.encode(), headers={"content-type": "application/json"})
        await client.post("/v1/recognize", content=b"poison")
    ours = [record for record in caplog.records if record.name.startswith(("tianzi", "uvicorn"))]
    assert any("POST /v1/fill INVALID_ARGUMENT" in record.getMessage() for record in ours)
    assert not [record for record in ours if "秘密" in record.getMessage()]


async def test_the_end_waits_for_calls_and_refuses_others(web: Any, fake_ocr: FakeOcr) -> None:
    async with web(drain_s=0.3, grace_s=5) as client:
        fake_ocr.gate.clear()
        first = asyncio.create_task(client.post("/v1/recognize", content=b"a"))
        await until(lambda: fake_ocr.runs)
        ending = asyncio.create_task(client.running.server.stop())
        await asyncio.sleep(0.1)
        draining = await client.get("/readyz")
        assert draining.status_code == 503
        assert draining.headers["connection"] == "close"
        await asyncio.sleep(0.3)
        late = await client.post("/v1/recognize", content=b"b")
        error(late, 503, "UNAVAILABLE")
        fake_ocr.gate.set()
        assert (await first).status_code == 200
        await ending
        with pytest.raises(httpx.ConnectError):
            await client.get("/healthz")


async def test_calls_that_outlast_the_grace_end_unavailable(web: Any, fake_ocr: FakeOcr) -> None:
    async with web(grace_s=0.1) as client:
        fake_ocr.gate.clear()
        first = asyncio.create_task(client.post("/v1/recognize", content=b"a"))
        await until(lambda: fake_ocr.runs)
        ending = asyncio.create_task(client.running.server.stop())
        error(await first, 503, "UNAVAILABLE")
        fake_ocr.gate.set()
        await ending


def test_ports_must_differ() -> None:
    for names in (("port", "http_port"), ("port", "metrics_port"), ("http_port", "metrics_port")):
        with pytest.raises(ValidationError, match=f"{names[0]} and {names[1]}: 9999 in both"):
            Settings(**dict.fromkeys(names, 9999))
    assert Settings(port=0, http_port=0).http_port == 0


async def test_a_taken_port_is_named(web: Any, serving: Any) -> None:
    async with web() as client:
        with pytest.raises(OSError, match=f"http: cannot listen on 127.0.0.1:{client.running.server.http_port}"):
            async with serving(http_port=client.running.server.http_port):
                pass
