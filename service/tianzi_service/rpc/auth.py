"""Who may call: bearer tokens from a file that is read anew when it changes."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc

from tianzi_models.errors import TianziError
from tianzi_service.rpc.errors import PermissionDenied, Unauthenticated, abort, to_status
from tianzi_service.rpc.files import Followed
from tianzi_service.rpc.middleware import OUR_METHODS, Wrap

OPEN = "/grpc.health.v1."
"""Load balancers and probes have no token."""
MIN_CHARACTERS = 16
SCHEME = "bearer "


class Tokens:
    """The tokens of a file, one a line; empty lines and those that begin with # do not count.

    A file without a token, as when all are revoked, lets nobody in. One that is gone or malformed is logged, and the
    tokens read before stay in force.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be read, or is malformed."""
        self._file = Followed([path], lambda: _read(path))

    def check(self, authorization: str | None) -> None:
        """authorization: the metadata's value.

        Raises:
            Unauthenticated: it is no bearer token.
            PermissionDenied: it is none of ours.
        """
        self._file.renew()
        if authorization is None:
            raise Unauthenticated("authorization: missing, must be Bearer and a token")
        if not authorization[: len(SCHEME)].lower() == SCHEME:
            raise Unauthenticated("authorization: must be Bearer and a token")
        given = _digest(authorization[len(SCHEME) :].strip())
        # All are compared, each in constant time, so that the time taken tells nothing of how near a guess is.
        if not sum(hmac.compare_digest(given, known) for known in self._file.value):
            raise PermissionDenied("authorization: the token is not valid here")


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Ends calls without a valid token before they are read. Health checks stay open."""

    def __init__(self, tokens: Tokens, wrap: Wrap) -> None:
        """wrap: what the handlers of our own methods are wrapped in, and so their refusals."""
        self._tokens = tokens
        self._wrap = wrap

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(OPEN):
            return handler
        given = dict(handler_call_details.invocation_metadata or ()).get("authorization")
        try:
            self._tokens.check(given if isinstance(given, str) else None)
        except TianziError as error:
            return self._refusal(method, error)
        return handler

    def _refusal(self, method: str, error: TianziError) -> Any:
        ours = method.startswith(OUR_METHODS)

        async def answer(requests: Any, context: Any) -> None:
            if ours:
                raise error  # the StatusWrapper around us answers with it
            await abort(context, to_status(error))

        # A stream in both directions, whatever the method: the call ends without its request being read.
        handler: Any = grpc.stream_stream_rpc_method_handler(answer, request_deserializer=bytes)
        return self._wrap(method, handler) if ours else handler


def _read(path: Path) -> list[bytes]:
    """The digests of a file's tokens, which are of one length, as comparing in constant time needs it."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except UnicodeDecodeError as error:
        raise OSError(f"{path}: not ASCII: byte {error.start}") from None
    digests = []
    for number, line in enumerate(lines, start=1):
        token = line.strip()
        if not token or token.startswith("#"):
            continue
        if len(token) < MIN_CHARACTERS or " " in token:
            problem = f"{len(token)} characters, must be at least {MIN_CHARACTERS}, without spaces"
            raise OSError(f"{path}, line {number}: {problem}")
        digests.append(_digest(token))
    return digests


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
