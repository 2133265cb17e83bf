"""A slip of the hand on the command line is a message and an exit code, never an answer to another question."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from typer.testing import Result

from tests.service.calls import nth

Run = Callable[..., Result]


def failed(result: Result, code: int = 1) -> str:
    """What a command that failed has said, in one line."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    (line,) = result.stderr.splitlines()
    return line


def test_a_set_that_is_misspelt(ask: Run, images: list[Path]) -> None:
    said = failed(ask("recognize", images[0], "--allowed", "digit"))
    assert "allowed: 'digit' is none of the sets digits, uppercase" in said and "digits is meant?" in said
    assert failed(ask("read", images[0], "--allowed", "chinese")).startswith("error: requests[0].allowed: 'chinese' is")
    assert ask("recognize", images[0], "--allowed", "digits,abc,京").exit_code == 0


@pytest.mark.parametrize("words", ["风筝 气球", "风筝，气球", "风筝；气球", '["风筝", "气球"]'])
def test_candidates_are_several_whatever_is_between(ask: Run, words: str) -> None:
    assert "风筝 0.5000\t气球 0.5000" in ask("fill", "____飞走了", "--candidates", words).stdout


def test_one_candidate_is_none_to_choose_among(ask: Run) -> None:
    said = failed(ask("fill", "____飞走了", "--candidates", "风筝/气球"))
    assert said.startswith("error: candidates: 1 word, '风筝/气球', must be 2 at least")


def test_a_file_that_is_not_there_is_no_text(ask: Run, tmp_path: Path) -> None:
    for name in ("nosuch.txt", "./chapter_1.md", f"{tmp_path}/story.txt"):
        assert failed(ask("fill", name)) == f"error: {name}: there is no such file"
    assert "is a folder, must be a text or a file" in failed(ask("fill", tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe, must be a file" in failed(ask("fill", tmp_path / "pipe"))


@pytest.mark.parametrize("encoding", ["gbk", "utf-16"])
def test_a_text_in_another_encoding_is_named_and_read(ask: Run, tmp_path: Path, encoding: str) -> None:
    content = "_____飞走了，大家都很着急。".encode(encoding)
    (tmp_path / "a.txt").write_bytes(content)
    for place, given in ((tmp_path / "a.txt", None), ("-", content)):
        said = failed(ask("fill", place, input=given))
        shown = place if given is None else "standard input"
        assert said.startswith(f"error: {shown}: not UTF-8 at byte ")
        assert said.endswith(f"is it {encoding.upper()}? --encoding {encoding}")
        assert ask("fill", place, "--encoding", encoding, input=given).stdout.startswith("16飞走了")
    assert "encoding: 'utf-99' is not known" in failed(ask("fill", tmp_path / "a.txt", "--encoding", "utf-99"))


@pytest.mark.parametrize("name", ["out.txt", "out.csv", "out", "out.json"])
def test_an_output_of_no_known_kind(local: None, run: Run, images: list[Path], tmp_path: Path, name: str) -> None:
    said = failed(run("score", "ocr", images[0], tmp_path / name))
    assert "must be .jsonl or .parquet, or --format says which" in said
    assert run("score", "ocr", images[0], tmp_path / name, "--format", "jsonl").exit_code == 0
    assert (tmp_path / name).read_text().startswith('{"id": ')


@pytest.mark.usefixtures("local")
def test_a_run_in_which_nothing_could_be_answered_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"image": ""}\n{"image": "!"}\n')
    result = run("score", "ocr", tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: not one item could be answered"
    assert (tmp_path / "out.jsonl").read_text().count("error") == 2
    (tmp_path / "in.jsonl").write_text("\n")
    result = run("score", "ocr", tmp_path / "in.jsonl", tmp_path / "none.jsonl")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith("in.jsonl: holds no item")
    assert run("score", "ocr", tmp_path / "in.jsonl", tmp_path / "of.jsonl", "--shard", "2/2").exit_code == 0


@pytest.mark.usefixtures("local")
def test_a_folder_without_images(run: Run, tmp_path: Path) -> None:
    for name in ("a.heic", "b.heic", "c.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    said = failed(run("score", "ocr", tmp_path, "-"))
    assert f"{tmp_path}: holds no image but 2 .heic, 1 hidden, 1 .txt; images end in .bmp" in said


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://localhost:50051", "address: 'http://localhost:50051' has a scheme, must be HOST or HOST:PORT"),
        ("localhost:port", "has the port 'port', not a number from 1 to 65535"),
        ("nosuch.invalid", "no server at nosuch.invalid:50051: the name does not resolve; look at --address"),
    ],
)
def test_addresses(run: Run, address: str, problem: str) -> None:
    assert problem in failed(run("health", "--address", address))


def test_no_server_says_how_to_do_without(run: Run, images: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    said = failed(run("recognize", images[0], "--address", "localhost:1"))
    assert said.endswith("(Connection refused); start one with `tianzi serve`, or add --local to do without")
    assert "--local" not in failed(run("health", "--address", "localhost:1"))


def test_tls_where_there_is_none(ask: Run) -> None:
    assert "leave out --tls if the server speaks plain text" in failed(ask("health", "--tls"))


def test_several_files_of_which_one_is_a_pipe(ask: Run, images: list[Path], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "b.png")
    result = ask("recognize", images[0], tmp_path / "b.png", images[1])
    assert [line.split("\t")[1] for line in result.stdout.splitlines()] == [nth(1), nth(2)]
    assert result.stderr == f"error: image: {tmp_path}/b.png: is a pipe, must be a file\n"


@pytest.mark.parametrize(
    ("encoding", "text"), [("ascii", r"7\u597d\U0001f600"), ("gbk", r"7好\U0001f600"), ("", "7好😀")]
)
def test_what_an_output_cannot_hold_is_escaped(address: str, tmp_path: Path, encoding: str, text: str) -> None:
    (tmp_path / "a.txt").write_text("_____好😀", encoding="utf-8")
    environment = {**os.environ, "PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "tianzi_service", "fill", "a.txt", "--address", address]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode(encoding or "utf-8").splitlines()[0] == text


def test_a_server_that_speaks_something_else(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with suppress(OSError):
                while True:
                    listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        said = failed(run("health", "--address", address))
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert said.startswith(f"error: no server answers at {address} (")
