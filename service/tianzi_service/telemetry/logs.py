"""How the server logs: lines for people or JSON, each with the id of the call that it belongs to. Never a payload."""

import json
import logging
import time
from contextvars import ContextVar
from typing import Literal

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the call that the running task answers; empty outside a call."""


class ConsoleFormatter(logging.Formatter):
    """12:00:00 INFO tianzi_service.lifecycle.server: ready …"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 the library's name
        line = super().formatMessage(record)
        return f"{line} [{request_id.get()}]" if request_id.get() else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message and, where there are, request_id and error."""

    def __init__(self) -> None:
        super().__init__()
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            line["request_id"] = request_id.get()
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(kind: Literal["console", "json"], level: str) -> None:
    """Sends the log of this process to stderr, and the level to our own loggers; libraries speak from warning on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if kind == "json" else ConsoleFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for package in ("tianzi_models", "tianzi_service"):
        logging.getLogger(package).setLevel(level.upper())
