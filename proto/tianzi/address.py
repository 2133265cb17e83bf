"""Where a server is: what a user writes → what gRPC is told, and whether it is this machine."""

import ipaddress
import re

from tianzi.errors import InvalidInput

DEFAULT_PORT = 50051
_PASSED_ON = ("unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:")
"""Kinds of address that gRPC reads itself and that name a port, or need none."""
_HOST_PORT = re.compile(r"(?P<host>\[[^\[\]/\s]+\]|[^\[\]:/\s]+)(?::(?P<port>\S*))?")


def target(address: str) -> str:
    """The address as gRPC takes it, with the default port where none is named.

    >>> target("ocr.example.org"), target("::1"), target("dns:///ocr:443")
    ('ocr.example.org:50051', '[::1]:50051', 'dns:///ocr:443')

    Raises:
        InvalidInput: it is no address.
    """
    if not isinstance(address, str) or not address.strip():
        raise _bad(address, "is empty")
    if address.startswith(_PASSED_ON):
        return address
    if address.startswith("dns:"):
        head, slash, endpoint = address.rpartition("/")
        return f"{head}/{_with_port(endpoint)}" if slash else f"dns:{_with_port(address.removeprefix('dns:'))}"
    if "://" in address:
        raise _bad(address, "has a scheme")
    return _with_port(address)


def is_loopback(address: str) -> bool:
    """Whether what target() gave is on this machine, where no proxy is between."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    endpoint = re.sub(r"^(dns|ipv4|ipv6):(//[^/]*/)?", "", address)
    host = endpoint.rpartition(":")[0].strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        number = ipaddress.ip_address(host)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def _with_port(endpoint: str) -> str:
    if endpoint.count(":") > 1 and not endpoint.startswith("["):
        return f"[{_ipv6(endpoint)}]:{DEFAULT_PORT}"
    match = _HOST_PORT.fullmatch(endpoint)
    if match is None:
        raise _bad(endpoint, "is none")
    host, port = match["host"], match["port"]
    if host.startswith("["):
        host = f"[{_ipv6(host[1:-1])}]"
    if port is None:
        return f"{host}:{DEFAULT_PORT}"
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise _bad(endpoint, f"has the port {port[:20]!r}, not a number from 1 to 65535")
    return f"{host}:{port}"


def _ipv6(text: str) -> str:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        raise _bad(text, "is no IPv6 address") from None
    return text


def _bad(address: object, problem: str) -> InvalidInput:
    shown = str(address)[:100]
    return InvalidInput(
        f"address: {shown!r} {problem}, must be HOST or HOST:PORT such as localhost:50051", field="address"
    )
