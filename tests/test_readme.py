"""What README.md tells a reader to type works: its commands and snippets meet a server with the shipped bundles."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from tianzi import Client

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SNIPPETS = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines() if line]
TIANZI = ".venv/bin/tianzi "
DEFAULT_ADDRESS = "localhost:50051"
START_S = 60.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """host:port of `tianzi serve` with the shipped bundles, in a process of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIANZI_")}
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--device", "cpu"]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_serving(f"127.0.0.1:{port}", server)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.communicate(timeout=START_S)
    assert server.returncode == 0


def wait_until_serving(address: str, server: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + START_S
    with Client(address, timeout=1.0) as client:
        while time.monotonic() < end and server.poll() is None:
            try:
                if client.health():
                    return
            except Exception:
                time.sleep(0.1)
    server.kill()
    pytest.fail(f"the server did not start: {server.communicate()[1]}")


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippet_runs(
    snippet: str, address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert DEFAULT_ADDRESS in snippet
    exec(compile(snippet.replace(DEFAULT_ADDRESS, address), "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith(TIANZI)])
def test_tianzi_command_succeeds(command: str, address: str) -> None:
    line = command.split(" #")[0].replace(TIANZI, f"{shlex.quote(sys.executable)} -m service ", 1)
    if " score " not in command:
        line += f" --address {address}"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=START_S)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("command", [line for line in COMMANDS if " -d " in line and "grpcurl" in line])
def test_grpcurl_command_fits_the_contract(command: str) -> None:
    *_, body, target, method = shlex.split(command)
    service, name = method.split("/")
    assert target == DEFAULT_ADDRESS
    input_type = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name].input_type
    json_format.Parse(body, message_factory.GetMessageClass(input_type)())


def test_readme_is_read_as_meant() -> None:
    assert len(SNIPPETS) >= 3
    assert {"./run serve", "./run test"} <= {line.split("#")[0].strip() for line in COMMANDS}
