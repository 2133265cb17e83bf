"""Commands against a server that asks for TLS and a token."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import Result

from tests.certificates import Authority
from tests.service.calls import nth

TOKEN = "correct-horse-battery"


async def test_options_say_how_to_reach_it(serving: Any, run: Callable[..., Result], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server, mine = authority.issue("server", "ocr.example.org"), authority.issue("mine", "me@example.org")
    tokens, empty, image = tmp_path / "tokens", tmp_path / "empty", tmp_path / "a.png"
    tokens.write_text(f"{TOKEN}\n")
    empty.write_text("\n")
    image.write_bytes(b"abc")
    secured = {"tls_certificate": server.certificate, "tls_key": server.key, "tls_client_ca": authority.ca}
    async with serving(**secured, token_file=tokens) as running:

        async def ask(*arguments: Any) -> Result:
            return await asyncio.to_thread(run, *arguments, "--address", f"127.0.0.1:{running.port}")

        tls = ["--tls-ca", authority.ca, "--tls-server-name", "ocr.example.org"]
        me = ["--tls-certificate", mine.certificate, "--tls-key", mine.key]
        token = ["--token-file", tokens]
        assert (await ask("health", *tls, *me)).stdout == "SERVING\n"
        assert nth(3) in (await ask("recognize", image, *tls, *me, *token)).stdout
        assert (await ask("info", *tls, *me, *token)).exit_code == 0
        refused = await ask("recognize", image, *tls, *me)
        assert (refused.exit_code, refused.stderr) == (
            1,
            "error: authorization: missing, must be Bearer and a token\n",
        )
        half = await ask("health", *tls, *me[:2])
        assert "certificate and key: one is of no use without the other" in half.stderr
        gone = await ask("health", "--tls-ca", tmp_path / "gone.pem")
        assert gone.stderr == f"error: {tmp_path / 'gone.pem'}: No such file or directory\n"
        nothing = await ask("info", *tls, *me, "--token-file", empty)
        assert nothing.stderr == f"error: {empty}: holds no token\n"


async def test_tls_on_one_side_only_is_named(serving: Any, run: Callable[..., Result], tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", "localhost")
    async with serving(tls_certificate=server.certificate, tls_key=server.key) as running:
        address = f"localhost:{running.port}"
        plain = await asyncio.to_thread(run, "health", "--address", address)
        assert plain.exit_code == 1
        assert plain.stderr == f"error: {address}: the server speaks TLS; add --tls\n"
        unknown = await asyncio.to_thread(run, "health", "--address", address, "--tls")
        assert unknown.exit_code == 1
        assert unknown.stderr.startswith(f"error: {address}: TLS fails (")
        assert unknown.stderr.endswith("--tls-ca names who may have signed the certificate\n")
