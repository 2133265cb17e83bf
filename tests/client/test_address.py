"""Addresses as people write them, and which of them are this machine."""

import subprocess
import sys

import pytest

from tianzi import AsyncClient, Client, InvalidInput
from tianzi.address import is_loopback, target


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("reader", "reader:50051"),
        ("reader.example.com:7", "reader.example.com:7"),
        ("10.1.2.3", "10.1.2.3:50051"),
        ("::1", "[::1]:50051"),
        ("[fe80::2]", "[fe80::2]:50051"),
        ("[fe80::2]:80", "[fe80::2]:80"),
        ("dns:///reader", "dns:///reader:50051"),
        ("dns://8.8.8.8/reader:443", "dns://8.8.8.8/reader:443"),
        ("dns:reader", "dns:reader:50051"),
        ("unix:/run/tianzi.sock", "unix:/run/tianzi.sock"),
        ("ipv4:10.0.0.1:5,10.0.0.2:5", "ipv4:10.0.0.1:5,10.0.0.2:5"),
    ],
)
def test_a_port_is_added_where_none_is_named(written: str, meant: str) -> None:
    assert target(written) == meant


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "'' is empty"),
        ("http://reader:50051", "'http://reader:50051' has a scheme"),
        ("grpc://reader", "has a scheme"),
        ("reader:many", "has the port 'many', not a number from 1 to 65535"),
        ("reader:", "has the port ''"),
        ("reader:0", "has the port '0'"),
        ("reader:70000", "has the port '70000'"),
        ("reader/path", "is none"),
        ("two words", "is none"),
        ("1:2:3", "is no IPv6 address"),
    ],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_is_refused_at_once(kind: type, written: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match="must be HOST or HOST:PORT such as localhost:50051") as error:
        kind(written)
    assert problem in str(error.value) and error.value.field == "address"


def test_what_is_this_machine() -> None:
    here = ["localhost", "LOCALHOST:1", "a.localhost", "127.0.0.1", "127.8.9.1:5", "::1", "0.0.0.0", "dns:///localhost"]
    assert all(is_loopback(target(address)) for address in [*here, "unix:/a"])
    assert not any(is_loopback(target(address)) for address in ("reader", "10.0.0.1", "fe80::2", "dns:///reader"))


ASK = """
import asyncio, sys
from tianzi import AsyncClient, Client
async def ask(address):
    async with AsyncClient(address) as client:
        return await client.health()
port = sys.argv[1].rpartition(":")[2]
for address in (sys.argv[1], f"localhost:{port}"):
    print(Client(address).health(), asyncio.run(ask(address)))
"""


def test_no_proxy_is_asked_for_this_machine(address: str) -> None:
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY"), "http://127.0.0.1:1")
    command = [sys.executable, "-c", ASK, address]
    done = subprocess.run(command, env=proxies, capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == ["True True"] * 2, done.stderr
