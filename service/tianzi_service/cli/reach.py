"""What commands ask: a server, or the models in this process; and what is said where no server answers."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from tianzi_service.cli.options import TIMEOUT_S, CommandError, Connection, read_settings

if TYPE_CHECKING:
    from tianzi import Client, Interface

PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
"""Variables that gRPC reads, the first that is set."""
PROBE_S = 2.0


@contextmanager
def server(connection: Connection, timeout_s: float = TIMEOUT_S, *, or_local: bool = False) -> Iterator["Client"]:
    """A client of a server. or_local: whether the command could do without.

    Raises:
        CommandError: none answers; the message says why, and what to do.
    """
    from tianzi import Unavailable

    with connection.client(timeout_s) as client:
        try:
            yield client
        except Unavailable as error:
            raise CommandError(_unreachable(connection, str(error), or_local)) from error


@contextmanager
def engine(connection: Connection, local: bool) -> Iterator["Interface"]:
    """What answers: the models in this process where local, else the server."""
    if local:
        from tianzi_service.score import local as here

        with here.local(read_settings()) as models:
            yield models
    else:
        with server(connection, or_local=True) as client:
            yield client


def _unreachable(connection: Connection, seen: str, or_local: bool) -> str:
    """One line from gRPC's words."""
    from tianzi.address import is_loopback, target

    where = target(connection.address)
    local = ", or add --local to do without" if or_local else ""
    speaks = _spoken_at(where)
    if speaks == "no name":
        return f"no server at {where}: the name does not resolve; look at --address{local}"
    if connection.wants_tls and speaks == "plain":
        return f"{where}: no TLS there; leave out --tls if the server speaks plain text"
    if connection.wants_tls and speaks == "tls":
        return f"{where}: TLS fails ({_reason(seen)}); --tls-ca names who may have signed the certificate"
    if speaks == "tls":
        return f"{where}: the server speaks TLS; add --tls"
    proxy = next((name for name in PROXIES if os.environ.get(name)), "")
    by_proxy = f"; {proxy} is set: name the host in no_proxy to go there directly" if proxy else ""
    if by_proxy and not is_loopback(where):
        return f"no server answers at {where} ({_reason(seen)}){by_proxy}{local}"
    return f"no server answers at {where} ({_reason(seen)}); start one with `tianzi serve`{local}"


def _spoken_at(where: str) -> Literal["tls", "plain", "no name", ""]:
    """What answers at an address when it is asked without gRPC, which tells of one of a name's addresses only."""
    host, _, port = where.rpartition("/")[2].removeprefix("dns:").rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with socket.create_connection((host.strip("[]"), int(port)), PROBE_S) as connected:
            try:
                context.wrap_socket(connected, server_hostname=host.strip("[]")).close()
            except OSError as error:
                alert = isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason).upper()
                return "tls" if alert else "plain"
    except socket.gaierror:
        return "no name"
    except (OSError, ValueError):
        return ""
    return "tls"


def _reason(seen: str) -> str:
    """The end of gRPC's words, where the cause stands."""
    return seen.rpartition(": ")[2]
