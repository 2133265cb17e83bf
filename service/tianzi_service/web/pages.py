"""The page to try the models on, and the one that documents the API: files of this package, sent with their headers."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from tianzi_service.web.call import Call
from tianzi_service.web.endpoint import Handler
from tianzi_service.web.errors import JSON_TYPE, Reply, json_reply

FOLDER = files(__package__) / "static"
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    b"form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
"""A page loads nothing from elsewhere, and runs and shows nothing that is not a file of ours."""
HEADERS = (
    (b"content-security-policy", POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
PATHS = {"index.html": "/", "docs.html": "/docs"}


def handlers() -> dict[str, Handler]:
    """Path → handler of each file; the files are read once."""
    return {PATHS.get(file.name, f"/static/{file.name}"): _page(file) for file in FOLDER.iterdir() if file.is_file()}


def _page(file: Traversable) -> Handler:
    body = file.read_bytes()
    tag = b'"' + hashlib.sha256(body).hexdigest()[:16].encode() + b'"'
    kind = TYPES[file.name[file.name.rindex(".") :]]
    headers = ((b"content-type", kind), (b"etag", tag), *HEADERS)

    async def answer(call: Call) -> Reply:
        if call.header(b"if-none-match").encode("latin-1") == tag:
            return Reply(304, b"", headers[1:])
        return Reply(200, body, headers)

    return answer


def document(data: Any) -> Handler:
    """A handler that answers with a JSON document."""
    body = json_reply(data).body

    async def answer(call: Call) -> Reply:
        return Reply(200, body, (JSON_TYPE, (b"cache-control", b"no-cache")))

    return answer
