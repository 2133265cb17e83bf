"""score reads patterns, CSV, tars and URLs; damage in the middle costs the rest of that file alone."""

import csv
import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from tests.service.calls import nth
from tianzi_service.cli import app
from tianzi_service.score.input.places import expanded

Run = Callable[..., Result]


@pytest.fixture
def score(local: None, run: Run, tmp_path: Path) -> Callable[..., list[tuple[Any, str]]]:
    """(id, first candidate or error) of each row that score has written."""

    def rows(task: str, source: Path | str, *options: Any) -> list[tuple[Any, str]]:
        output = tmp_path / "out.jsonl"
        result = run("score", task, source, output, "--overwrite", *options)
        lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert result.exit_code == all("error" in line for line in lines), result.output
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


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_a_table_in_another_encoding(run: Run, score: Any, tmp_path: Path, name: str, encoding: str) -> None:
    rows = {"in.csv": 'id,text,candidates\na,"____飞走了，大家很着急",风筝、气球\n'}
    rows["in.jsonl"] = '{"id": "a", "text": "____飞走了，大家很着急"}\n'
    (tmp_path / name).write_bytes(rows[name].encode(encoding))
    assert score("cloze", tmp_path / name, "--encoding", encoding) == [("a", "13")]
    result = run("score", "cloze", tmp_path / name, tmp_path / "none.jsonl")
    assert result.exit_code == 1
    guess = "gbk" if encoding == "gbk" else "utf-16"
    assert f"is it {guess.upper()}? --encoding {guess}" in result.stderr
    if (name, encoding) != ("in.jsonl", "gbk"):  # whose lines are read one by one
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"error: {tmp_path / name}: not UTF-8 at byte ")


def test_a_table_that_turns_to_another_encoding_loses_only_its_end(score: Any, tmp_path: Path) -> None:
    good, bad = 'a,"____好"\n' * 9000, "b,____坏\n" * 9
    (tmp_path / "in.csv").write_bytes(b"id,text\n" + good.encode() + bad.encode("gbk"))
    *_, last, (name, problem) = score("cloze", tmp_path / "in.csv")
    assert last == ("a", "5")
    assert name.isdecimal() and "damaged from here on: 'utf-8' codec" in problem


def test_texts_of_a_tar_in_another_encoding(score: Any, tmp_path: Path) -> None:
    source = write_tar(tmp_path / "in.tar", a_txt="____好坏".encode("gbk"), b_txt=b"____")
    assert score("cloze", source) == [
        ("a.txt", "a.txt: not UTF-8 at byte 4; is it GBK? --encoding gbk"),
        ("b.txt", "4"),
    ]
    assert score("cloze", source, "--encoding", "gbk") == [("a.txt", "6"), ("b.txt", "4")]


def test_lists_in_a_cell_are_taken_apart(score: Any, tmp_path: Path, run: Run) -> None:
    cells = [
        "风筝,气球",
        "风筝，气球",
        "风筝、气球",
        "风筝；气球",
        "风筝|气球",
        "风筝 气球",
        '["风筝", "气球"]',
        "风筝/气球",
    ]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text", "candidates"], *(["____好", cell] for cell in cells)])
    run("score", "cloze", tmp_path / "in.csv", tmp_path / "all.jsonl", "--top-k", 3)
    *rows, last = map(json.loads, (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines())
    assert [[one["text"] for one in row["candidates"]][3:5] for row in rows] == [["风筝", "气球"]] * 7
    assert last["error"].startswith("candidates: 1 word, '风筝/气球'")


def test_base64_in_a_table(score: Any, tmp_path: Path) -> None:
    texts = ["eHh4eA==", "eHh4eA", "eHh4\neA==", "data:image/png;base64,eHh4eA==", "eHh4eA=", "a.png", 5]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"image": text}) + "\n" for text in texts))
    *rows, name, number = score("ocr", tmp_path / "in.jsonl")
    assert [text for _, text in rows] == [nth(4)] * 5
    assert name[1].endswith("a file's name goes into the column path")
    assert number[1] == "image: int, must be base64 or bytes"


def test_typed_columns_of_parquet(score: Any, tmp_path: Path) -> None:
    images = {
        "image": pa.array([b"22", b"333"], pa.large_binary()),
        "id": pa.array([Decimal("1.5"), Decimal("2.25")]),
    }
    parquet.write_table(pa.table(images), tmp_path / "images.parquet")
    assert score("ocr", tmp_path / "images.parquet") == [("1.50", nth(2)), ("2.25", nth(3))]
    numbers = {"bytes": pa.array([[1, 2], [3]], pa.list_(pa.uint8())), "id": pa.array([b"a", b"\xff"])}
    parquet.write_table(pa.table(numbers), tmp_path / "numbers.parquet")
    assert score("ocr", tmp_path / "numbers.parquet") == [("a", nth(2)), ("\udcff", nth(1))]
    texts = {
        "text": pa.array(["____好".encode(), "____坏".encode("gbk")]),
        "candidates": pa.array([["风筝", "气球"], None], pa.list_(pa.large_string())),
        "id": pa.array([date(2024, 5, 6), None]),
    }
    parquet.write_table(pa.table(texts), tmp_path / "texts.parquet")
    first, second = score("cloze", tmp_path / "texts.parquet")
    assert first == ("2024-05-06", "5")
    assert second == ("2", "text: not UTF-8 at byte 4; is it GBK? --encoding gbk")


def test_an_id_of_any_type_is_kept(score: Any, tmp_path: Path) -> None:
    ids = [7, 1.5, True, "a", [1, 2], {"page": 3}, None, ""]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": one, "image": "eHg="}) + "\n" for one in ids))
    assert [name for name, _ in score("ocr", tmp_path / "in.jsonl")] == [*ids[:-2], "7", "8"]
    output = tmp_path / "out.parquet"
    assert CliRunner().invoke(app, ["score", "ocr", str(tmp_path / "in.jsonl"), str(output)]).exit_code == 0
    names = parquet.read_table(output).column("id").to_pylist()
    assert names == ["7", "1.5", "true", "a", "[1, 2]", '{"page": 3}', "7", "8"]


def test_shards_are_named_by_braces_and_their_members_by_shard(score: Any, tmp_path: Path, run: Run) -> None:
    for number in (8, 9, 10):
        write_tar(tmp_path / f"s-{number:02}.tar", a_png=b"1" * number)
    pattern = tmp_path / "s-{08..10}.tar"
    assert score("ocr", pattern) == [(f"{tmp_path}/s-{n:02}.tar:a.png", nth(n)) for n in (8, 9, 10)]
    assert [text for _, text in score("ocr", tmp_path / "s-{08,10}.tar")] == [nth(8), nth(10)]
    missing = run("score", "ocr", tmp_path / "s-{08..11}.tar", tmp_path / "x.jsonl")
    assert missing.stderr == f"error: {tmp_path}/s-11.tar: there is no such file\n"
    assert "more than 1000000 numbers" in run("score", "ocr", "{0..99999999}.tar", "-").stderr


def test_braces_are_read_as_a_shell_reads_them() -> None:
    assert list(expanded("{a,b}{1..2}")) == ["a1", "a2", "b1", "b2"]
    assert list(expanded("{9..11}")) == ["9", "10", "11"]
    assert list(expanded("{002..000}")) == ["002", "001", "000"]
    assert list(expanded("{a}")) == ["{a}"]


@pytest.mark.usefixtures("local")
def test_what_is_left_out_is_said(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.jfif", "c", "d.heic", "e.heic", ".hidden", "f.JPEG"):
        (folder / name).write_bytes(b"x")
    os.mkfifo(folder / "pipe.png")
    (folder / "linked.png").symlink_to("pipe.png")
    (folder / "up").symlink_to("..")
    result = run("score", "ocr", folder, tmp_path / "out.jsonl", "--top-k", 1)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == ["a.png", "b.jfif", "f.JPEG"]
    last = result.stderr.splitlines()[-1]
    assert last.startswith("left out: 2 ")
    assert set(last.removeprefix("left out: ").split(", ")) == {
        *("2 .heic", "1 without suffix", "1 hidden", "2 pipes and devices", "1 linked folders"),
    }
    assert run("score", "ocr", folder, f"{tmp_path}/out/").exit_code == 0
    assert json.loads((tmp_path / "out/summary.json").read_text())["left_out"][".heic"] == 2
    source = write_tar(tmp_path / "in.tar", a_png=b"1", a_cls=b"2", b_cls=b"3")
    assert run("score", "ocr", source, tmp_path / "tar.jsonl").stderr.splitlines()[-1] == "left out: 2 .cls"


@pytest.mark.usefixtures("local")
@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.tar", "in.png"])
def test_a_pipe_is_no_input(run: Run, tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    result = run("score", "ocr", tmp_path / name, tmp_path / "out.jsonl")
    assert result.exit_code == 1
    assert f"{tmp_path / name}: is a pipe, must be a file" in result.output
