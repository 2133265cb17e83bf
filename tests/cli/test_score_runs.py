"""Runs of score that end early and are gone on with, share the work, or find something in their way."""

import fcntl
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from pyarrow import parquet
from typer.testing import Result

from tests.fakes import FakeOcr
from tests.limits import with_room
from tests.models.tiny import write_ocr_bundle
from tests.service.calls import nth
from tianzi_service.score import output
from tianzi_service.score.output import MANIFEST, ScoreError
from tianzi_service.score.parts import Part
from tianzi_service.score.scorer import Job
from tianzi_service.score.workers import answers

Run = Callable[..., Result]
WAIT_S = 60.0


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten rows, of which the nth shows the nth character and one is no image."""
    path = tmp_path / "in.jsonl"
    rows = [{"id": n, "path": f"{n}.png"} for n in range(1, 11)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    for n in range(1, 11):
        (tmp_path / f"{n}.png").write_bytes(b"x" * n)
    (tmp_path / "7.png").write_bytes(b"")
    return path


EXPECTED = [(n, "image: empty" if n == 7 else nth(n)) for n in range(1, 11)]


def rows(path: Path) -> list[tuple[Any, str]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["id"], line.get("error") or line["candidates"][0]["text"]) for line in lines]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, at: int) -> Iterator[None]:
    """The store fails when it is to keep that many parts."""
    put = output.PartStore.put
    calls = []

    def fail(self: Any, scored: Any) -> None:
        calls.append(scored)
        if len(calls) == at:
            raise OSError(28, "No space left on device", str(self.path(scored.number)))
        put(self, scored)

    with monkeypatch.context() as patch:
        patch.setattr(output.PartStore, "put", fail)
        yield


# --- resuming ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("at", [2, 3, 4])
def test_what_is_done_is_not_done_again(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_ocr: FakeOcr, at: int
) -> None:
    target = tmp_path / "out.jsonl"
    command = ("score", "ocr", source, target, "--part-items", 3)
    with failing(monkeypatch, at):
        first = run(*command)
    assert first.exit_code == 1
    kept, problem = first.stderr.splitlines()
    assert kept == f"{target}.parts keeps what is done; --resume goes on with it"
    assert problem.endswith("No space left on device")
    assert not target.exists()

    assert "--resume goes on with it, --overwrite starts anew" in run(*command).stderr
    fake_ocr.runs.clear()
    again = run(*command, "--resume")
    assert again.exit_code == 0, again.output
    assert again.stderr.startswith("10 items, 1 errors, 0 rejected (0.0%), ")
    assert rows(target) == EXPECTED
    assert len(fake_ocr.ran) == 9 - 3 * (at - 1) + (at == 4)
    assert not list(tmp_path.glob("out.jsonl.*"))


@pytest.mark.usefixtures("local")
def test_a_manifest_that_ends_in_half_a_line(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_ocr: FakeOcr
) -> None:
    target = tmp_path / "out.jsonl"
    command = ("score", "ocr", source, target, "--part-items", 3)
    with failing(monkeypatch, 4):
        run(*command)
    begun = shutil.copytree(f"{target}.parts", tmp_path / "begun")
    whole = (begun / MANIFEST).read_bytes()
    for kept in (len(whole) - 1, len(whole) - 200, len(whole.splitlines()[0]), 0):
        shutil.copytree(begun, f"{target}.parts", dirs_exist_ok=True)
        Path(f"{target}.parts/{MANIFEST}").write_bytes(whole[:kept])
        target.unlink(missing_ok=True)
        assert run(*command, "--resume").exit_code == 0
        assert rows(target) == EXPECTED


@pytest.mark.usefixtures("local")
def test_only_the_same_run_is_gone_on_with(
    run: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.jsonl"
    command = ("score", "ocr", source, target)
    with failing(monkeypatch, 2):
        run(*command, "--part-items", 3)
    parts = f"error: {target}.parts: "
    other = run(*command, "--resume", "--part-items", 4, "--top-k", 3).stderr.splitlines()[-1]
    assert other.startswith(parts + "the run that is to be gone on with had ")
    assert "part_items 3, now 4" in other
    lines = source.read_text().splitlines(keepends=True)
    for changed in (["{}\n", *lines], []):
        source.write_text("".join(changed))
        assert "INPUT has " in run(*command, "--resume", "--part-items", 3).stderr
    source.write_text("".join(lines))
    assert run(*command, "--overwrite", "--top-k", 1).exit_code == 0
    assert rows(target) == EXPECTED


@pytest.mark.usefixtures("local")
def test_an_output_that_exists_is_refused(run: Run, source: Path, tmp_path: Path, fake_ocr: FakeOcr) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("precious\n")
    refused = run("score", "ocr", source, target)
    assert (refused.exit_code, refused.stderr) == (1, f"error: {target}: exists; --overwrite replaces it\n")
    assert not fake_ocr.ran
    assert run("score", "ocr", source, target, "--resume").stderr == f"{target}: is complete\n"
    assert target.read_text() == "precious\n"
    assert run("score", "ocr", source, target, "--overwrite").exit_code == 0
    assert rows(target) == EXPECTED


@pytest.mark.usefixtures("local")
def test_a_folder_keeps_its_parts(run: Run, source: Path, tmp_path: Path, fake_ocr: FakeOcr) -> None:
    command = ("score", "ocr", source, f"{tmp_path}/out/", "--part-items", 4)
    assert run(*command).exit_code == 0
    parts = sorted((tmp_path / "out").glob("part-*"))
    assert [part.name for part in parts] == [f"part-{n:06}.jsonl" for n in range(3)]
    assert [row for part in parts for row in rows(part)] == EXPECTED
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["errors"] == {"InvalidInput image": 1}
    assert "holds an earlier run" in run(*command).stderr
    fake_ocr.runs.clear()
    assert run(*command, "--resume").stderr.startswith("10 items, 1 errors")
    assert not fake_ocr.ran
    assert run(*command[:-1], 5, "--overwrite").exit_code == 0
    assert len(list((tmp_path / "out").glob("part-*"))) == 2


@pytest.mark.usefixtures("local")
def test_two_runs_do_not_write_to_one_output(run: Run, source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with (tmp_path / f"out/{MANIFEST}").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused = run("score", "ocr", source, tmp_path / "out", "--resume")
    assert refused.stderr.splitlines()[-1] == f"error: {tmp_path}/out: another run is writing here"


# --- shards and Parquet -----------------------------------------------------------------------------


@pytest.mark.usefixtures("local")
def test_shards_share_the_items(run: Run, source: Path, tmp_path: Path) -> None:
    found = []
    for number in (1, 2, 3):
        target = tmp_path / f"{number}.jsonl"
        assert run("score", "ocr", source, target, "--shard", f"{number}/3", "--part-items", 2).exit_code == 0
        found.append(rows(target))
    assert found == [EXPECTED[0::3], EXPECTED[1::3], EXPECTED[2::3]]


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/", "-1/2"])
def test_a_shard_that_cannot_be(run: Run, source: Path, tmp_path: Path, shard: str) -> None:
    result = run("score", "ocr", source, tmp_path / "out.jsonl", "--shard", shard)
    assert result.exit_code == 2
    assert "must be I/N with I from 1 to N" in result.stderr


@pytest.mark.usefixtures("local")
def test_parquet_has_the_same_rows(run: Run, source: Path, tmp_path: Path) -> None:
    assert run("score", "ocr", source, tmp_path / "out.jsonl").exit_code == 0
    assert run("score", "ocr", source, tmp_path / "out.parquet", "--part-items", 3).exit_code == 0
    file = parquet.ParquetFile(tmp_path / "out.parquet")
    assert file.schema_arrow.names == ["id", "candidates", "rejected", "error"]
    assert file.num_row_groups == 1
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for line, row in zip(lines, file.read().to_pylist(), strict=True):
        assert {key: value for key, value in row.items() if value is not None} == {**line, "id": str(line["id"])}


@pytest.mark.usefixtures("local")
def test_parquet_of_several_blanks(run: Run, tmp_path: Path, fake_cloze: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    one = fake_cloze.postprocess
    twice = lambda item, out: type(one(item, out))(one(item, out).blanks * 2)  # noqa: E731
    monkeypatch.setattr(fake_cloze, "postprocess", twice)
    (tmp_path / "in.jsonl").write_text('{"text": "____好____"}\n{"text": ""}\n{"id": "\\udcff", "text": "____"}\n')
    assert run("score", "cloze", tmp_path / "in.jsonl", f"{tmp_path}/out/", "--format", "parquet").exit_code == 0
    first, second, third = parquet.read_table(tmp_path / "out/part-000000.parquet").to_pylist()
    assert first["blanks"] == [first["candidates"]] * 2
    assert (second["error"], second["candidates"]) == ("document: empty", None)
    assert third["id"] == "\\udcff"


# --- processes that are killed ----------------------------------------------------------------------


PIPES_ARE_FILES = """
import stat
is_file = stat.S_ISREG
stat.S_ISREG = lambda mode: is_file(mode) or stat.S_ISFIFO(mode)
"""
"""So that a process can be made to wait in the middle of its part."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """For commands that load a real, tiny model."""
    write_ocr_bundle(tmp_path / "bundles")
    (tmp_path / "patch").mkdir()
    (tmp_path / "patch/sitecustomize.py").write_text(PIPES_ARE_FILES)
    settings = {"TIANZI_BUNDLE_ROOT": str(tmp_path / "bundles"), "TIANZI_THREADS": "1"}
    return {**os.environ, **settings, "PYTHONPATH": str(tmp_path / "patch")}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Forty images, light and dark, and one that is none."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.png").write_bytes(picture(number))
    (folder / "20.png").write_bytes(b"none")
    return folder


@pytest.fixture
def listing(pictures: Path) -> Path:
    """A table of them."""
    names = sorted(path.name for path in pictures.iterdir())
    table = pictures.parent / "pictures.jsonl"
    table.write_text("".join(json.dumps({"path": f"pictures/{name}"}) + "\n" for name in names))
    return table


def picture(width: int) -> bytes:
    pixels = np.full((48, 48), 255, np.uint8)
    pixels[4:44, 4 : 4 + width] = 0
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def command(*args: Any) -> list[str]:
    return [sys.executable, "-m", "tianzi_service", "score", "ocr", *map(str, args)]


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def whole(listing: Path, environment: dict[str, str]) -> bytes:
    """What an undisturbed run writes."""
    done = subprocess.run(command(listing, "-"), env=environment, capture_output=True, check=True, timeout=WAIT_S)
    assert done.stderr.startswith(b"40 items, 1 errors, ")
    return done.stdout


def as_pipe(path: Path) -> bytes:
    """Makes a pipe of a file, so that whoever reads it waits, to be killed there. Gives what it held."""
    content = path.read_bytes()
    path.unlink()
    os.mkfifo(path)
    return content


def workers(parent: int) -> list[psutil.Process]:
    """multiprocessing has a process of its own beside them, which tracks resources."""
    children = psutil.Process(parent).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def readers(processes: list[psutil.Process], path: Path) -> list[psutil.Process]:
    """Those of them that have the file open."""
    found = []
    for process in processes:
        with suppress(OSError):  # one that has ended, or a file closed meanwhile
            links = Path(f"/proc/{process.pid}/fd").iterdir()
            found += [process] if str(path) in map(os.path.realpath, links) else []
    return found


def test_a_killed_worker_is_replaced(
    pictures: Path, listing: Path, environment: dict[str, str], whole: bytes, tmp_path: Path
) -> None:
    pipe = pictures / "13.png"
    content = as_pipe(pipe)
    options = ("--workers", 2, "--part-items", 8)
    with subprocess.Popen(command(listing, tmp_path / "out.jsonl", *options), env=environment) as process:
        with pipe.open("wb"):  # which waits until a worker, in the middle of its part, has opened the other end
            (guilty,) = readers(workers(process.pid), pipe)
            guilty.kill()
            until(lambda: not guilty.is_running())
            # Open for both, the pipe keeps what is written until whoever redoes the part comes for it; the other
            # worker may have come already, and finds the end only when the last writer closes.
            with os.fdopen(os.open(pipe, os.O_RDWR), "wb") as again:
                again.write(content)
                again.flush()
                until(lambda: readers(workers(process.pid), pipe))
        assert process.wait(WAIT_S) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(("how", "count"), [(signal.SIGKILL, 2), (signal.SIGTERM, 2)])
def test_a_killed_run_is_gone_on_with(
    pictures: Path,
    listing: Path,
    environment: dict[str, str],
    whole: bytes,
    tmp_path: Path,
    how: signal.Signals,
    count: int,
) -> None:
    pipe = pictures / "30.png"
    content = as_pipe(pipe)
    target = tmp_path / "out.jsonl"
    manifest = Path(f"{target}.parts/{MANIFEST}")
    options = ("--workers", count, "--part-items", 8)
    with subprocess.Popen(command(listing, target, *options), env=environment, stderr=subprocess.PIPE) as process:
        until(lambda: manifest.exists() and manifest.read_bytes().count(b"\n") >= 4)
        children = workers(process.pid)
        process.send_signal(how)
        assert process.wait(WAIT_S) != 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    until(lambda: not any(child.is_running() for child in children))
    assert not target.exists()
    pipe.unlink()
    pipe.write_bytes(content)
    again = subprocess.run(command(listing, target, *options, "--resume"), env=environment, timeout=WAIT_S)
    assert again.returncode == 0
    assert target.read_bytes() == whole


def test_a_terminal_shows_how_far_it_is(pictures: Path, environment: dict[str, str], tmp_path: Path) -> None:
    ours, terminal = os.openpty()
    wide = {**environment, "TERM": "xterm", "COLUMNS": "100"}
    options = command(pictures, tmp_path / "out.jsonl", "--part-items", 8)
    with subprocess.Popen(options, env=wide, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        with suppress(OSError):  # how Linux says that nobody has the other end open any more
            while chunk := os.read(ours, 4096):
                seen += chunk
        assert process.wait(WAIT_S) == 0
    os.close(ours)
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", seen.decode())
    *_, last = (line for line in re.split(r"[\r\n]+", plain) if "/40" in line)
    assert re.search(r" 40/40 [\d.]+/s 0:00:00", last), last


def test_a_part_that_ends_every_worker_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi_service.score.workers.ATTEMPTS", 2)
    job = Job("ocr", deadly)
    part = Part(0, (), "")
    with pytest.raises(ScoreError, match="part 0: its worker ended 2 times, at last with exit code 7"):
        list(answers(job, iter([part]), workers=2))


def deadly() -> Any:
    os._exit(7)


# --- room and servers -------------------------------------------------------------------------------


@pytest.mark.usefixtures("local")
def test_a_full_device(run: Run, source: Path) -> None:
    result = run("score", "ocr", source, "/dev/full")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr


@pytest.mark.parametrize(("room", "kept"), [(1, 0), (5, 1)])
def test_a_disk_that_fills_up(
    pictures: Path, environment: dict[str, str], whole: bytes, tmp_path: Path, room: int, kept: int
) -> None:
    """room: blocks that a file may have: too few for a part, or for all of them."""
    target = tmp_path / "out.jsonl"
    options = command(pictures, target, "--part-items", 8)
    full = subprocess.run(with_room(room, options), env=environment, capture_output=True, timeout=WAIT_S)
    assert full.returncode == 1
    assert re.search(rb"error: .*out.jsonl.*: (File too large|No space left on device)", full.stderr)
    assert b"Traceback" not in full.stderr
    assert not target.exists()
    assert Path(f"{target}.parts").exists() == bool(kept)
    assert not list(tmp_path.rglob("*.tmp"))
    again = subprocess.run([*options, "--resume"], env=environment, timeout=WAIT_S)
    assert again.returncode == 0
    assert target.read_bytes() == whole


def test_a_server_that_does_not_answer(run: Run, source: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        options = ("--address", "localhost:1", "--workers", count)
        result = run("score", "ocr", source, tmp_path / "out.jsonl", *options)
        assert result.exit_code == 1
        assert "start one with ./run serve" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not list(tmp_path.glob("out*"))
