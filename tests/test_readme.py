"""What README.md tells a reader to type works: its commands and snippets meet a server with the shipped bundles."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SNIPPETS = [body for language, body in BLOCKS if language == "python"]
COMMANDS = [line for language, body in BLOCKS if language == "sh" for line in body.splitlines() if line]
TIANZI = ".venv/bin/tianzi "
DEFAULT_ADDRESS = "localhost:50051"
COMMAND_S = 60.0


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_snippet_runs(
    snippet: str, shipped: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert DEFAULT_ADDRESS in snippet or "Local" in snippet
    exec(compile(snippet.replace(DEFAULT_ADDRESS, shipped), "README.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith(TIANZI)])
def test_tianzi_command_succeeds(command: str, shipped: str) -> None:
    line = command.split(" #")[0].replace(TIANZI, f"{shlex.quote(sys.executable)} -m tianzi_service ", 1)
    if " score " not in command:
        line += f" --address {shipped}"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_S)
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
