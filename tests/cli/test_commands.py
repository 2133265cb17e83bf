"""Commands against a server of the fake models: what they print, where, and how they exit."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.service.calls import nth
from tianzi.calls import DEFAULT_ADDRESS

Run = Callable[..., Result]
COMMANDS = [
    [],
    ["serve"],
    ["recognize"],
    ["read"],
    ["fill"],
    ["health"],
    ["info"],
    ["models"],
    ["models", "verify"],
    ["score"],
    ["score", "ocr"],
    ["score", "cloze"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help(run: Run, command: list[str]) -> None:
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: {' '.join(['tianzi', *command])}")


def test_help_shows_defaults(run: Run) -> None:
    assert f"[default: {DEFAULT_ADDRESS}]" in run("recognize", "--help").stdout
    serve = " ".join(run("serve", "--help").stdout.split())
    assert "--port NUMBER TCP port; 0 takes a free one. [default: 50051]" in serve


def test_version(run: Run) -> None:
    from tianzi import __version__

    assert run("--version").stdout == f"{__version__}\n"


def test_recognize_prints_a_line_an_image(ask: Run, images: list[Path]) -> None:
    result = ask("recognize", *images, "--top-k", 2)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == f"{images[0]}\t{nth(1)}\t{nth(1)} 0.5000\t{nth(2)} 0.2500"
    assert second.startswith(f"{images[1]}\t{nth(2)}\t")


def test_recognize_says_what_is_allowed(ask: Run, images: list[Path]) -> None:
    result = ask("recognize", images[0], "--allowed", "digits,京津")
    assert result.stdout == f"{images[0]}\tdigits\tdigits 0.5000\t京津 0.2500\n"


def test_recognize_reads_standard_input(ask: Run) -> None:
    assert ask("recognize", "-", input=b"12345").stdout.startswith(f"-\t{nth(5)}\t")


def test_recognize_json_says_all(ask: Run, images: list[Path]) -> None:
    result = ask("recognize", images[0], "--json", "--top-k", 1)
    assert json.loads(result.stdout) == {
        "id": str(images[0]),
        "text": nth(1),
        "candidates": [{"text": nth(1), "confidence": 0.5}],
        "rejected": False,
        "model_version": 7,
    }


def test_read_prints_the_text_of_a_row(ask: Run, images: list[Path]) -> None:
    assert ask("read", *images).stdout == f"{nth(5)}{nth(6)}\n"
    answer = json.loads(ask("read", *images, "--json", "--top-k", 1).stdout)
    assert (answer["text"], answer["model_version"]) == (nth(5) + nth(6), 7)
    assert answer["characters"][1] == {
        "text": nth(2),
        "candidates": [{"text": nth(2), "confidence": 0.5}],
        "rejected": False,
        "model_version": 7,
    }
    failed = ask("read", images[0], "nowhere.png")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr == "error: requests[1].image: nowhere.png: No such file or directory\n"


def test_one_bad_image_does_not_keep_the_others(ask: Run, images: list[Path], tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    files = [images[0], tmp_path / "empty.png", tmp_path / "nowhere.png", images[1]]
    result = ask("recognize", *files)
    assert result.exit_code == 1
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == [nth(1), nth(2)]
    assert result.stderr.splitlines() == [
        f"error: {files[1]}: image: empty",
        f"error: image: {files[2]}: No such file or directory",
    ]
    as_json = ask("recognize", *files, "--json")
    assert as_json.exit_code == 1
    assert [sorted(json.loads(line)) for line in as_json.stdout.splitlines()] == [
        ["candidates", "id", "model_version", "rejected", "text"],
        ["error", "id"],
        ["error", "id"],
        ["candidates", "id", "model_version", "rejected", "text"],
    ]


def test_fill_prints_the_text_then_the_candidates(ask: Run) -> None:
    result = ask("fill", "_____好", "--candidates", "猫, 狗、鸡", "--marker", "@")
    assert result.stdout.splitlines() == [
        "6好",
        "\t".join(f"{word} 0.5000" for word in ["6", "0", "@", "猫", "狗", "鸡", "5"]),
    ]


def test_fill_reads_files_and_standard_input(ask: Run, tmp_path: Path) -> None:
    file = tmp_path / "story.txt"
    file.write_text("\ufeff_____好吗", encoding="utf-8")
    assert ask("fill", file).stdout.startswith("7好吗\n")
    assert ask("fill", "-", input="_____好").stdout.startswith("6好\n")
    assert ask("fill", "_____" + "长" * 5000).stdout.startswith("5005长长")
    file.write_bytes("好".encode("gbk"))
    result = ask("fill", file)
    assert (result.exit_code, result.stderr) == (1, f"error: {file}: not UTF-8 at byte 0; is it GBK? --encoding gbk\n")


def test_fill_json_says_all(ask: Run) -> None:
    answer = json.loads(ask("fill", "小猫", "--query", "_____大", "--json").stdout)
    assert (answer["text"], answer["query"], answer["model_version"]) == ("小猫", "2大", 7)
    (blank,) = answer["blanks"]
    assert (blank["position"], blank["in_query"], blank["rejected"]) == ([0, 5], True, False)
    assert blank["candidates"][0] == {
        "text": "2",
        "confidence": 0.5,
        "positions": [[2, 3]],
        "source": "text",
        "label": "",
    }


def test_bad_input_is_one_line(ask: Run) -> None:
    result = ask("fill", "")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "error: document: empty\n")


def test_health(ask: Run) -> None:
    assert (ask("health").stdout, ask("health").exit_code) == ("SERVING\n", 0)
    assert json.loads(ask("health", "--service", "tianzi.v1.ClozeService", "--json").stdout) == {"status": "SERVING"}
    unknown = ask("health", "--service", "nothing")
    assert (unknown.exit_code, unknown.stdout) == (1, "")


def test_info(ask: Run) -> None:
    assert "FakeProvider" in ask("info").stdout
    answer = json.loads(ask("info", "--json").stdout)
    assert [model["name"] for model in answer["models"]] == ["ocr", "cloze"]
    assert answer["limits"]["max_batch_items"] == 256


@pytest.mark.parametrize("command", [["health"], ["info"], ["fill", "____"], ["recognize", __file__]])
def test_no_server_says_how_to_start_one(run: Run, command: list[str]) -> None:
    result = run(*command, "--address", "localhost:1")
    assert (result.exit_code, result.stdout) == (1, "")
    local = "" if command[0] in ("health", "info") else ", or add --local to do without"
    assert result.stderr == (
        f"error: no server answers at localhost:1 (Connection refused); start one with `tianzi serve`{local}\n"
    )


@pytest.mark.usefixtures("local")
def test_local_needs_no_server(run: Run, images: list[Path], ask: Run) -> None:
    assert run("recognize", *images, "--local").stdout == ask("recognize", *images).stdout
    assert run("fill", "_____好", "--local", "--json").stdout == ask("fill", "_____好", "--json").stdout
    bad = run("fill", "", "--local")
    assert (bad.exit_code, bad.stderr) == (1, "error: document: empty\n")


@pytest.mark.parametrize(
    "command",
    [["nothing"], ["recognize"], ["recognize", "a", "--top-k", "0"], ["serve", "--port", "x"], ["serve", "--nothing"]],
    ids=" ".join,
)
def test_usage_errors_exit_with_two(run: Run, command: list[str]) -> None:
    result = run(*command)
    assert result.exit_code == 2
    assert "Error: " in result.stderr
    assert "Traceback" not in result.output


def test_serve_takes_options_over_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    async def serve(settings: Any, **_: Any) -> None:
        seen.append(settings)

    monkeypatch.setattr("tianzi_service.lifecycle.server.serve", serve)
    monkeypatch.setenv("TIANZI_PORT", "1")
    monkeypatch.setenv("TIANZI_HOST", "::1")
    options = ["--port", "0", "--device", "cpu", "--no-reflection", "--bundle-root", "/here", "--grace-s", "0.5"]
    assert run("serve", *options).exit_code == 0
    (settings,) = seen
    assert (settings.port, settings.host, settings.device) == (0, "::1", "cpu")
    assert (settings.reflection, settings.bundle_root, settings.grace_s) == (False, Path("/here"), 0.5)


def test_wrong_environment_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANZI_BATCH_ROWS", "many")
    result = run("serve")
    assert result.exit_code == 2
    assert "--batch-rows or TIANZI_BATCH_ROWS: " in result.stderr


def test_serve_without_bundles_is_one_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "tianzi_service", "serve", "--port", "0", "--bundle-root", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"error: no bundle of model ocr under {tmp_path}"
    assert "Traceback" not in result.stderr


def test_a_closed_pipe_ends_quietly(address: str, images: list[Path]) -> None:
    command = [sys.executable, "-m", "tianzi_service", "recognize", *map(str, images * 50), "--address", address]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 1


def test_serve_starts_as_many_servers_as_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr("tianzi_service.lifecycle.server.run", lambda settings: seen.append(("one", settings.workers)))
    monkeypatch.setattr(
        "tianzi_service.lifecycle.supervisor.run", lambda settings: seen.append(("several", settings.workers))
    )
    for count in ("1", "3"):
        assert run("serve", "--workers", count).exit_code == 0
    assert seen == [("one", 1), ("several", 3)]
    assert run("serve", "--workers", "0").exit_code != 0


def test_importing_the_command_line_is_cheap() -> None:
    heavy = "{'grpc', 'numpy', 'pydantic', 'onnxruntime', 'PIL', 'jieba', 'pyarrow', 'asyncio'}"
    code = f"import sys, tianzi_service.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
