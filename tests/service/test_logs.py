"""Log lines: what JSON holds, and that both formats name the call."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from tianzi_service.telemetry import logs


@pytest.fixture
def call_id() -> Iterator[str]:
    token = logs.request_id.set("abc123")
    yield "abc123"
    logs.request_id.reset(token)


def record(message: str, error: BaseException | None = None) -> logging.LogRecord:
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord(
        "tianzi_service.lifecycle.server", logging.INFO, "server.py", 1, message, ("字",), exc_info
    )


def test_json_is_one_object_a_line(call_id: str) -> None:
    text = logs.JsonFormatter().format(record("ready %s", ValueError("two\nlines")))
    line = json.loads(text)
    assert "\n" not in text
    assert line["time"].endswith("Z")
    assert line["request_id"] == call_id
    assert (line["level"], line["logger"], line["message"]) == ("info", "tianzi_service.lifecycle.server", "ready 字")
    assert "two\nlines" in line["error"]


def test_json_outside_a_call_has_no_request_id() -> None:
    assert "request_id" not in json.loads(logs.JsonFormatter().format(record("ready %s")))


def test_console_names_the_call(call_id: str) -> None:
    assert (
        logs.ConsoleFormatter()
        .format(record("ready %s"))
        .endswith("INFO tianzi_service.lifecycle.server: ready 字 [abc123]")
    )


def test_the_level_is_for_our_own_loggers(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("json", "debug")
        root.handlers[0].setStream(sys.stderr)  # type: ignore[attr-defined]
        logging.getLogger("tianzi_service.rpc.errors").debug("ours")
        logging.getLogger("grpc").info("theirs")
        logging.getLogger("grpc").warning("alarm")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        for name in ("tianzi_models", "tianzi_service"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["ours", "alarm"]
