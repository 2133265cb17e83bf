"""score reads patterns, CSV, tars and URLs; damage in the middle costs the rest of that file alone."""

import csv
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import Result

from tests.service.calls import nth

Run = Callable[..., Result]


@pytest.fixture
def score(local: None, run: Run, tmp_path: Path) -> Callable[..., list[tuple[Any, str]]]:
    """(id, first candidate or error) of each row that score has written."""

    def rows(task: str, source: Path | str, *options: Any) -> list[tuple[Any, str]]:
        output = tmp_path / "out.jsonl"
        result = run("score", task, source, output, "--overwrite", *options)
        assert result.exit_code == 0, result.output
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        return [(line["id"], line.get("error") or line["candidates"][0]["text"]) for line in lines]

    return rows


def write_tar(path: Path, mode: str = "w", **members: bytes) -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_", "."))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_pattern_of_files(score: Any, tmp_path: Path) -> None:
    for name, lines in {"b.jsonl": 1, "a.jsonl": 2}.items():
        (tmp_path / name).write_text('{"image": "eHh4"}\n' * lines)
    assert score("ocr", tmp_path / "[ab].jsonl") == [
        (f"{tmp_path}/a.jsonl:1", nth(3)),
        (f"{tmp_path}/a.jsonl:2", nth(3)),
        (f"{tmp_path}/b.jsonl:1", nth(3)),
    ]


def test_pattern_of_images(score: Any, tmp_path: Path) -> None:
    (tmp_path / "x/y").mkdir(parents=True)
    (tmp_path / "x/y/1.png").write_bytes(b"1")
    (tmp_path / "x/2.png").write_bytes(b"22")
    assert score("ocr", tmp_path / "x/**/*.png") == [
        (f"{tmp_path}/x/2.png", nth(2)),
        (f"{tmp_path}/x/y/1.png", nth(1)),
    ]


def test_a_file_whose_name_looks_like_a_pattern(score: Any, tmp_path: Path) -> None:
    (tmp_path / "a[1].jsonl").write_text('{"image": "eHh4"}\n')
    assert score("ocr", tmp_path / "a[1].jsonl") == [("1", nth(3))]


def test_csv_of_images(score: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"xxx")
    with (tmp_path / "in.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["path", "id", "note"], ["a.png", "", "two\nlines"], ["no.png", "b", ""], ["", "", "c"]])
    first, second, third = score("ocr", tmp_path / "in.csv")
    assert first == ("a.png", nth(3))
    assert second == ("b", f"image: {tmp_path}/no.png: No such file or directory")
    assert third == ("3", "image: the row has neither path nor image")


def test_csv_of_questions(score: Any, tmp_path: Path) -> None:
    text = 'text,tokens,candidates\n"____好",,猫 狗\n,小猫 XXXXX,\n'
    (tmp_path / "in.csv").write_text(text, encoding="utf-8")
    assert score("cloze", tmp_path / "in.csv") == [("1", "5"), ("2", "2")]


def test_parquet_with_images_as_structs(score: Any, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"xxx")
    images = [{"bytes": b"22", "path": None}, {"bytes": None, "path": "a.png"}, {"bytes": None, "path": None}]
    parquet.write_table(pa.table({"image": images}), tmp_path / "in.parquet")
    assert score("ocr", tmp_path / "in.parquet") == [
        ("1", nth(2)),
        ("2", nth(3)),
        ("3", "image: the row has neither path nor image"),
    ]


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_of_images(score: Any, tmp_path: Path, mode: str) -> None:
    suffix = ".tar.gz" if mode == "w:gz" else ".tar"
    source = write_tar(tmp_path / f"in{suffix}", mode, a__1_png=b"1", a__1_json=b"{}", a__2_jpg=b"", b_cls=b"5")
    assert score("ocr", source) == [("a/1.png", nth(1)), ("a/2.jpg", "image: empty")]


def test_tar_of_questions(score: Any, tmp_path: Path) -> None:
    question = json.dumps({"tokens": ["小猫", "XXXXX"]}).encode()
    members = {"1_txt": "____好".encode(), "2_json": question, "3_json": b"[", "4_json": b"[]", "5_png": b""}
    rows = score("cloze", write_tar(tmp_path / "in.tar", **members))
    assert rows[:2] == [("1.txt", "5"), ("2.json", "2")]
    assert rows[2][1].startswith("3.json: no JSON: ")
    assert rows[3] == ("4.json", "4.json: list, must be an object")


@pytest.mark.parametrize("kept", [1536 + 100, 1536, 1024 + 1, 1024, 512 + 1])
def test_a_tar_cut_short_loses_only_its_end(score: Any, tmp_path: Path, kept: int) -> None:
    """Each member is a header and a block of 512 bytes: cut in a header, between members, and in a block."""
    whole = write_tar(tmp_path / "whole.tar", a_png=b"1" * 500, b_png=b"2" * 500, c_png=b"3").read_bytes()
    source = tmp_path / "in.tar"
    source.write_bytes(whole[:kept])
    *rows, (name, problem) = score("ocr", source)
    assert rows == [("a.png", nth(500))] * (kept >= 1024)
    assert name == str(source)
    assert "damaged from here on: " in problem


def test_a_gzip_cut_short_loses_only_its_end(score: Any, tmp_path: Path) -> None:
    whole = gzip.decompress(write_tar(tmp_path / "whole.tar.gz", "w:gz", a_png=b"1" * 50000, b_png=b"2").read_bytes())
    source = tmp_path / "in.tgz"
    source.write_bytes(gzip.compress(whole, compresslevel=0)[:50900])
    *rows, (_, problem) = score("ocr", source)
    assert rows == [("a.png", nth(50000))]
    assert "a.png: damaged from here on: " in problem


def test_urls(score: Any, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    for number in range(100):
        memory.pipe(f"/pictures/{number:02}.png", b"x" * (number + 1))
    memory.pipe("/pictures/.hidden/1.png", b"x")
    memory.pipe("/lists/in.jsonl", b'{"path": "../pictures/00.png"}\n{"path": "memory://gone.png"}\n')
    try:
        assert score("ocr", "memory://pictures") == [(f"{n:02}.png", nth(n + 1)) for n in range(100)]
        assert score("ocr", "memory://pictures/*5.png")[1] == ("memory:///pictures/15.png", nth(16))
        _, gone = score("ocr", "memory://lists/in.jsonl")
        assert gone == ("memory://gone.png", "image: memory://gone.png: there is no such file")
    finally:
        memory.rm("/", recursive=True)


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("in.csv", b"label\na\n", "lacks a column path or image"),
        ("in.csv", b"", "lacks a column path or image"),
        ("in.tar", b"nonsense", "no tar file: "),
        ("in.tar", b"", "no tar file: "),
        ("*.none", None, "no file is called so"),
        ("memory://nowhere.jsonl", None, "there is no such file"),
        ("nosuch://a.jsonl", None, "Protocol not known: nosuch"),
        ("http://127.0.0.1:9/a.jsonl", None, "ClientConnectorError: "),
    ],
)
def test_bad_input_is_one_line(run: Run, tmp_path: Path, name: str, content: bytes | None, problem: str) -> None:
    source = name if "://" in name else tmp_path / name
    if content is not None:
        (tmp_path / name).write_bytes(content)
    result = run("score", "ocr", source, tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: {source}: {problem}")
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("out*"))
