"""TLS: who is let in, what happens when certificates expire and are renewed, and what is refused at the start."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

import tianzi
from tests.certificates import Authority, Pair
from tests.service.calls import nth
from tianzi import TLS, AsyncClient, Client, Unavailable
from tianzi_service.settings import Settings

NO_RETRIES = [("grpc.enable_retries", 0)]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def secured(pair: Pair, **settings: Any) -> dict[str, Any]:
    return {"tls_certificate": pair.certificate, "tls_key": pair.key, **settings}


async def ask(port: int, tls: TLS | bool) -> str:
    """What a new connection gets."""
    async with AsyncClient(f"127.0.0.1:{port}", tls=tls, options=NO_RETRIES) as client:
        return (await client.recognize(b"abc")).text


async def test_a_client_that_knows_the_authority_is_served(serving: Any, authority: Authority) -> None:
    async with serving(**secured(authority.issue("server"))) as running:
        assert await ask(running.port, TLS(ca=authority.ca)) == nth(3)
        with pytest.raises(Unavailable):
            await ask(running.port, False)
        with pytest.raises(Unavailable, match="(?i)certificate"):
            await ask(running.port, True)


async def test_the_name_in_the_certificate_must_be_the_servers(serving: Any, authority: Authority) -> None:
    async with serving(**secured(authority.issue("server", "ocr.example.org"))) as running:
        with pytest.raises(Unavailable):
            await ask(running.port, TLS(ca=authority.ca))
        assert await ask(running.port, TLS(ca=authority.ca, server_name="ocr.example.org")) == nth(3)


async def test_a_client_must_show_a_certificate_where_an_authority_is_set(
    serving: Any, authority: Authority, tmp_path: Path
) -> None:
    mine = authority.issue("client", "me@example.org")
    stranger = Authority(tmp_path, "other").issue("stranger", "me@example.org")
    expired = authority.issue("expired", "me@example.org", expired=True)
    async with serving(**secured(authority.issue("server"), tls_client_ca=authority.ca)) as running:
        for wrong in (None, stranger, expired):
            shown = {"certificate": wrong.certificate, "key": wrong.key} if wrong else {}
            with pytest.raises(Unavailable):
                await ask(running.port, TLS(ca=authority.ca, **shown))
        assert await ask(running.port, TLS(authority.ca, mine.certificate, mine.key)) == nth(3)


async def test_an_expired_certificate_is_mended_by_writing_a_new_one(serving: Any, authority: Authority) -> None:
    tls = TLS(ca=authority.ca)
    async with serving(**secured(authority.issue("server", expired=True))) as running:
        with pytest.raises(Unavailable, match="(?i)certificate"):
            await ask(running.port, tls)
        authority.issue("server")
        assert await ask(running.port, tls) == nth(3)


async def test_a_half_written_renewal_leaves_the_old_certificate_in_force(
    serving: Any, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    tls = TLS(ca=authority.ca)
    pair = authority.issue("server")
    old_key = pair.key.read_bytes()
    async with serving(**secured(pair)) as running, AsyncClient(f"127.0.0.1:{running.port}", tls=tls) as connected:
        assert (await connected.recognize(b"a")).text == nth(1)
        authority.issue("server")
        pair.key.write_bytes(old_key)  # of another pair than the certificate
        assert await ask(running.port, tls) == nth(3)
        assert "no PEM certificate with its unencrypted key" in caplog.text
        pair.certificate.unlink()
        assert await ask(running.port, tls) == nth(3)
        authority.issue("server")
        assert await ask(running.port, tls) == nth(3)
        assert (await connected.recognize(b"bb")).text == nth(2), "the connection has lived through it all"


async def test_files_of_no_use_end_the_start_with_their_names(
    serving: Any, authority: Authority, tmp_path: Path
) -> None:
    pair = authority.issue("server")
    other = authority.issue("other")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("nothing")
    cases: list[tuple[dict[str, Any], str]] = [
        (secured(Pair(tmp_path / "gone.pem", pair.key)), r"gone\.pem"),
        (secured(Pair(pair.certificate, other.key)), r"server\.pem and .*other\.key: no PEM certificate"),
        (secured(Pair(garbage, pair.key)), r"garbage\.pem"),
        (secured(pair, tls_client_ca=garbage), r"garbage\.pem: no PEM certificates"),
    ]
    for settings, complaint in cases:
        with pytest.raises(OSError, match=complaint):
            async with serving(**settings):
                pass


async def test_two_servers_do_not_share_a_port(serving: Any, authority: Authority) -> None:
    settings = secured(authority.issue("server"))
    async with serving(**settings) as running:
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{running.port}: Address already in use"):
            async with serving(**settings, port=running.port):
                pass


def test_half_of_a_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="tls_certificate and tls_key: one is of no use without the other"):
        Settings(tls_key=tmp_path)
    with pytest.raises(ValidationError, match="tls_client_ca: needs tls_certificate"):
        Settings(tls_client_ca=tmp_path)
    with pytest.raises(ValueError, match="certificate and key: one is of no use without the other"):
        Client(tls=TLS(key=tmp_path))
    with pytest.raises(FileNotFoundError):
        Client(tls=tianzi.TLS(ca=tmp_path / "gone.pem"))
