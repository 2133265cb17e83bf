"""How a client and a server make sure of each other."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import grpc

PathLike: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True)
class TLS:
    """TLS as a certain server asks for it. All files are PEM."""

    ca: PathLike | None = None
    """The authorities that may have signed the server's certificate; None for the public ones."""
    certificate: PathLike | None = None
    """The client's own, with its chain, for a server that asks for one; needs its key."""
    key: PathLike | None = None
    server_name: str | None = None
    """The name in the server's certificate, where it is not that of its address."""


def credentials(tls: TLS | bool) -> grpc.ChannelCredentials | None:
    """gRPC's form of it; None for plain text. Raises OSError where a file cannot be read."""
    if not tls:
        return None
    chosen = tls if isinstance(tls, TLS) else TLS()
    if (chosen.certificate is None) != (chosen.key is None):
        raise ValueError("certificate and key: one is of no use without the other")
    return grpc.ssl_channel_credentials(*(_read(path) for path in (chosen.ca, chosen.key, chosen.certificate)))


def options(tls: TLS | bool) -> list[tuple[str, Any]]:
    """The channel options that go with it."""
    if isinstance(tls, TLS) and tls.server_name:
        return [("grpc.ssl_target_name_override", tls.server_name)]
    return []


def _read(path: PathLike | None) -> bytes | None:
    return None if path is None else Path(path).read_bytes()
