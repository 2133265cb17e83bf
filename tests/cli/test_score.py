"""score: every kind of input, bad items among good ones, and what is left of a run that ends early."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import Result

from tests.fakes import FakeOcr
from tests.service.calls import nth
from tianzi_service.score.input import formats
from tianzi_service.score.input.entries import Row

Run = Callable[..., Result]


@pytest.fixture(params=["local", "server"])
def score(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """score("ocr", INPUT) gives the lines written, by the models in this process and by a server."""
    if request.param == "local":
        request.getfixturevalue("local")
    command: Run = request.getfixturevalue("run" if request.param == "local" else "ask")

    def lines(task: str, source: Path | str, *options: Any) -> list[dict[str, Any]]:
        output = tmp_path / "scores.jsonl"
        output.unlink(missing_ok=True)
        result = command("score", task, source, output, *options)
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        written = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        errors = sum("error" in line for line in written)
        assert result.stderr.startswith(f"{len(written)} items, {errors} errors, ")
        assert not [*tmp_path.glob("*.tmp"), *tmp_path.glob("*.parts")]
        return written

    return lines


def best(lines: list[dict[str, Any]]) -> list[tuple[Any, str]]:
    """(id, first candidate or error) of each line."""
    return [(line["id"], line["error"] if "error" in line else line["candidates"][0]["text"]) for line in lines]


def write_jsonl(path: Path, *rows: Any) -> Path:
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def write_parquet(file: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), file)
    return file


# --- ocr --------------------------------------------------------------------------------------------


def test_folder(score: Any, tmp_path: Path) -> None:
    folder = tmp_path / "图片"
    good = ["b.png", "a/2.JPG", "a/10.webp", "字.bmp", "z/y/x.tif"]
    names = [*good, "empty.png", "notes.txt", ".hidden.png", ".git/c.png"]
    for size, name in enumerate(names, start=1):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"" if name == "empty.png" else b"x" * size)
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "loop").symlink_to(folder)
    (folder / "folder.png").mkdir()
    assert best(score("ocr", folder)) == [
        ("a/10.webp", nth(3)),
        ("a/2.JPG", nth(2)),
        ("b.png", nth(1)),
        ("empty.png", "image: empty"),
        ("gone.png", f"image: {folder}/gone.png: No such file or directory"),
        ("z/y/x.tif", nth(5)),
        ("字.bmp", nth(4)),
    ]


def test_line_format(score: Any, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    (line,) = score("ocr", folder, "--top-k", 2)
    candidates = [{"text": nth(1), "confidence": 0.5}, {"text": nth(2), "confidence": 0.25}]
    assert line == {"id": "a.png", "candidates": candidates, "rejected": False}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_name_that_is_no_text(score: Any, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/\xff.png")).write_bytes(b"x")
    assert best(score("ocr", tmp_path / "in")) == [("\udcff.png", nth(1))]


def test_jsonl_of_images(score: Any, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures/a.png").write_bytes(b"xxx")
    source = write_jsonl(
        tmp_path / "in.jsonl",
        {"path": "pictures/a.png"},
        {"id": "mine", "path": str(tmp_path / "pictures/a.png"), "label": "ignored"},
        b'{"broken": ',
        b"",
        {"id": 7, "image": base64.b64encode(b"12345").decode()},
        {"image": "no base64!"},
        {"label": "no image"},
        ["no object"],
        b"\xff\xfe",
        b"[" * 100_000,
        {"path": "nowhere.png", "id": None},
    )
    lines = score("ocr", source)
    assert [line["id"] for line in lines] == ["pictures/a.png", "mine", "3", 7, "6", "7", "8", "9", "10", "nowhere.png"]
    errors = [line.get("error", line) for line in lines]
    assert [candidates["candidates"][0]["text"] for candidates in (lines[0], lines[1], lines[3])] == [
        nth(3),
        nth(3),
        nth(5),
    ]
    assert errors[2].startswith("line 3: no JSON: ")
    assert errors[4] == "image: no base64: character 8 is '!'"
    assert errors[5] == "image: the row has neither path nor image"
    assert errors[6] == "line 8: list, must be an object"
    assert errors[7] == "line 9: not UTF-8 at byte 0; is it UTF-16? --encoding utf-16"
    assert errors[8].startswith("line 10: no JSON: ")
    assert errors[9] == f"image: {tmp_path}/nowhere.png: No such file or directory"


def test_parquet_of_images(score: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"xxx")
    with_bytes = write_parquet(tmp_path / "in.parquet", bytes=[b"1", b"", None, b"22"] * 50, label=range(200))
    lines = best(score("ocr", with_bytes))
    assert len(lines) == 200
    assert lines[-4:] == [
        ("197", nth(1)),
        ("198", "image: empty"),
        ("199", "image: the row has neither path nor image"),
        ("200", nth(2)),
    ]
    with_paths = write_parquet(tmp_path / "paths.parquet", id=[3, 4], path=["a.png", "nowhere.png"])
    first, second = best(score("ocr", with_paths))
    assert first == (3, nth(3))
    assert second[0] == 4
    assert second[1].endswith("nowhere.png: No such file or directory")


def test_a_failing_item_fails_alone(score: Any, tmp_path: Path) -> None:
    rows = [{"image": base64.b64encode(image).decode()} for image in (b"a", b"bb", b"nan", b"dddd", b"poison", b"f")]
    lines = score("ocr", write_jsonl(tmp_path / "in.jsonl", *rows))
    assert [line["id"] for line in lines if "error" in line] == ["3", "5"]
    assert all(line["error"].startswith("internal error") for line in lines if "error" in line)
    assert [line["candidates"][0]["text"] for line in lines if "error" not in line] == [nth(n) for n in (1, 2, 4, 1)]


# --- cloze ------------------------------------------------------------------------------------------


def test_doc_query(score: Any, tmp_path: Path) -> None:
    source = tmp_path / "cloze.doc_query"
    source.write_text(
        "1 ||| 小猫 爱 XXXXX 。\n2 ||| 鱼 。\n<qid_0> ||| 小猫 爱 XXXXX 。\n"
        "1 ||| 鸟 飞 。\n<qid_2> ||| XXXXX 飞 。\n<qid_3> ||| 它 在 XXXXX 。\n",
        encoding="utf-8",
    )
    lines = score("cloze", source, "--top-k", 3)
    assert [(line["id"], [c["text"] for c in line["candidates"]]) for line in lines] == [
        ("<qid_0>", ["6", "0", "", "3"]),
        ("<qid_2>", ["3", "3", "", "3"]),
        ("<qid_3>", ["3", "4", "", "3"]),
    ]
    assert all(line.keys() == {"id", "candidates"} for line in lines)


def test_jsonl_of_questions(score: Any, tmp_path: Path) -> None:
    source = write_jsonl(
        tmp_path / "in.jsonl",
        {"text": "____好"},
        {"id": "b", "tokens": ["小猫", "XXXXX"], "query": ["XXXXX"], "candidates": ["猫"], "marker": "@"},
        {"text": "____", "tokens": []},
        {"query": "____"},
        {"text": 5},
        {"text": "____", "candidates": "猫"},
        {"text": ""},
        b'{"text": "\\ud800____"}',
    )
    lines = score("cloze", source)
    assert [c["text"] for c in lines[1]["candidates"]] == ["2", "1", "@", "猫", "5"]
    assert best(lines) == [
        ("1", "5"),
        ("b", "2"),
        ("3", "text: the row must have either text or tokens"),
        ("4", "text: the row must have either text or tokens"),
        ("5", "text: int, must be text"),
        ("6", "candidates: 1 word, '猫', must be 2 at least, with commas, 、, ;, | or spaces between"),
        ("7", "document: empty"),
        ("8", "text: character 0 is a lone surrogate"),
    ]


def test_parquet_of_questions(score: Any, tmp_path: Path) -> None:
    source = write_parquet(
        tmp_path / "in.parquet",
        id=["a", "b", "c"],
        text=["____好", None, ""],
        tokens=[None, ["小猫", "XXXXX", "。"], None],
        candidates=[["猫"], None, None],
    )
    assert best(score("cloze", source)) == [("a", "5"), ("b", "3"), ("c", "document: empty")]


def test_several_blanks_are_all_written(
    score: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_cloze: Any
) -> None:
    one = fake_cloze.postprocess
    monkeypatch.setattr(
        fake_cloze, "postprocess", lambda item, output: type(one(item, output))(one(item, output).blanks * 2)
    )
    (line,) = score("cloze", write_jsonl(tmp_path / "in.jsonl", {"text": "____好____"}))
    assert line["blanks"] == [line["candidates"]] * 2


def test_a_cut_off_file_loses_only_its_end(score: Any, tmp_path: Path) -> None:
    source = tmp_path / "a.doc_query"
    source.write_text("1 ||| 鸟 XXXXX\n<qid_0> ||| XXXXX\n1 ||| 小\n", encoding="utf-8")
    first, last = best(score("cloze", source))
    assert first == ("<qid_0>", "2")
    assert last[0] == "a.doc_query"
    assert last[1].endswith("is it cut off?")


def test_a_damaged_parquet_loses_only_its_end(score: Any, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    rows = {"bytes": [os.urandom(100) for _ in range(256)]}
    parquet.write_table(pa.table(rows), source, row_group_size=128, compression="gzip", use_dictionary=False)
    group = parquet.ParquetFile(source).metadata.row_group(1).column(0)
    damaged = bytearray(source.read_bytes())
    start = group.data_page_offset
    damaged[start : start + 2000] = bytes(2000)
    source.write_bytes(damaged)
    lines = best(score("ocr", source))
    assert [text for _, text in lines[:128]] == [nth(100)] * 128
    ((number, problem),) = lines[128:]
    assert number == "129"
    assert problem.startswith("row 129: damaged from here on: ")


# --- what cannot be run, and what ends early --------------------------------------------------------


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("task", "name", "content", "problem"),
    [
        ("ocr", "in", None, "there is no such file"),
        ("cloze", "in.jsonl", None, "there is no such file"),
        ("cloze", "in.doc_query", None, "there is no such file"),
        ("ocr", "in.txt", b"", "must be a folder, an image, .jsonl, .csv, .parquet or .tar"),
        ("cloze", "in.txt", b"", "must be a .doc_query, .jsonl, .csv, .parquet or .tar file"),
        ("ocr", "in.parquet", b"nonsense", "no Parquet file: "),
        ("cloze", "in.doc_query", "没有 格式".encode(), "no .doc_query file"),
        ("cloze", "in.doc_query", b"1 ||| a XXXXX\n", "ends in a document without a <qid_"),
        ("cloze", "in.doc_query", b"\xff\xfe\x00", "no .doc_query file"),
    ],
)
def test_bad_input_is_one_line(
    run: Run, tmp_path: Path, task: str, name: str, content: bytes | None, problem: str
) -> None:
    source, output = tmp_path / name, tmp_path / "out.jsonl"
    if content is not None:
        source.write_bytes(content)
    result = run("score", task, source, output)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {source}: {problem}")
    assert len(result.stderr.splitlines()) == 1
    assert [*tmp_path.iterdir()] == ([source] if source.exists() else [])


@pytest.mark.usefixtures("local")
def test_parquet_without_the_column(run: Run, tmp_path: Path) -> None:
    source = write_parquet(tmp_path / "in.parquet", label=["a"])
    result = run("score", "ocr", source, tmp_path / "out.jsonl")
    assert result.stderr == f"error: {source}: lacks a column path, bytes or image\n"


@pytest.mark.usefixtures("local")
def test_bad_output_is_refused_before_anything_runs(run: Run, tmp_path: Path, fake_ocr: FakeOcr) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", {"image": "eA=="})
    before = source.read_bytes()
    for output, problem in [
        (tmp_path / "missing/out.jsonl", f"there is no folder {tmp_path}/missing"),
        (tmp_path, "is a folder that holds other things"),
        (source, "INPUT and OUTPUT are the same file"),
    ]:
        result = run("score", "ocr", source, output)
        assert (result.exit_code, result.stderr) == (1, f"error: {output}: {problem}\n")
    assert source.read_bytes() == before
    assert not fake_ocr.checked


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_pipes_and_devices_are_written_as_they_are(run: Run, tmp_path: Path, kind: str) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", {"image": "eA=="})
    if kind == "pipe":
        output = tmp_path / "pipe"
        os.mkfifo(output)
        ends = [os.open(output, os.O_RDONLY | os.O_NONBLOCK)]
    else:
        ends = [*os.openpty()]
        output = Path(os.ttyname(ends[1]))
    result = run("score", "ocr", source, output)
    assert (result.exit_code, json.loads(os.read(ends[0], 4096))["id"]) == (0, "1"), result.stderr
    assert not output.is_file() and not output.with_name(f"{output.name}.tmp").exists()
    for end in ends:
        os.close(end)


def test_memory_does_not_grow_with_the_input(
    local: None, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_ocr: FakeOcr
) -> None:
    ahead = []

    def entries(_: formats.Jsonl) -> Any:
        for number in range(1, 2001):
            ahead.append(number - len(fake_ocr.ran))
            yield Row(str(number), {"bytes": b"x"}, "")

    monkeypatch.setattr(formats.Jsonl, "entries", entries)
    source = write_jsonl(tmp_path / "in.jsonl", {})
    assert run("score", "ocr", source, tmp_path / "out.jsonl", "--part-items", 100).exit_code == 0
    assert max(ahead) <= 200


def test_standard_output(address: str, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "in.jsonl", {"image": "eA=="})
    command = [sys.executable, "-m", "tianzi_service", "score", "ocr", str(source), "-", "--address", address]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert [line["id"] for line in map(json.loads, done.stdout.splitlines())] == ["1"]
    assert done.stderr.startswith(b"1 items, 0 errors")
