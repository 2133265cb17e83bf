"""Strokes in the order of writing: as KanjiVG's drawings tell it, and as it is guessed."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from tianzi_training.ocr.data import glyphs as glyphs_module
from tianzi_training.ocr.data.glyphs import GLYPH_PX, INK_PX
from tianzi_training.ocr.data.handwriting import kanjivg
from tianzi_training.ocr.data.handwriting.kanjivg import HELD_OUT, find_archive, load_stroke_order, read_archive
from tianzi_training.ocr.data.handwriting.skeleton import SPACING_PX
from tianzi_training.ocr.data.handwriting.stroke_order import in_order
from tianzi_training.ocr.evaluation.test_sets import build_sets

LICENCE = '<!-- <path d="M0,0L9,9"/> -->'
PEN = '<path id="kvg:{name}-s{number}" kvg:type="x" d="{path}"/>'
# 十 by a line and a relative curve, 口 by three strokes; 1 is drawn by an upright one.
CROSS = ["M10,50L100,50", "M55,5c0,20,0,70,0,95"]
MOUTH = ["M20,20V90", "M20,20H90V90", "M20,90H90"]


def svg(name: str, paths: list[str]) -> str:
    drawn = "".join(PEN.format(name=name, number=number, path=path) for number, path in enumerate(paths, 1))
    return f"{LICENCE}<svg>{drawn}<text>1</text></svg>"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three characters, one of them drawn in two ways, among other files."""
    monkeypatch.setattr(kanjivg, "FOLDER", tmp_path)
    monkeypatch.setattr(kanjivg, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path / "cache")
    path = tmp_path / "kanjivg-2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        for name, paths in {"05341": CROSS, "053e3": MOUTH, "053e3-Kaisho": MOUTH[:2], "00031": ["M9,9V99"]}.items():
            files.writestr(f"kanji/{name}.svg", svg(name, paths))
        files.writestr("kanji/05342.svg", svg("05342", []))
        files.writestr("kanjivg-2.dist-info/METADATA", "KanjiVG")
    return path


def test_drawings_keep_order_and_direction_and_fill_a_glyph(archive: Path) -> None:
    drawings = list(read_archive(archive))
    assert [(char, len(strokes)) for char, strokes in drawings] == [("1", 1), ("十", 2), ("口", 2), ("口", 3)]
    across, down = dict(drawings)["十"]
    assert across[0, 0] < across[-1, 0] and np.ptp(across[:, 1]) == pytest.approx(0)
    assert down[0, 1] < down[-1, 1] and np.ptp(down[:, 0]) == pytest.approx(0)
    for _, strokes in drawings:
        points = np.concatenate(strokes)
        assert np.ptp(points, axis=0).max() == pytest.approx(INK_PX)
        assert (points.min(axis=0) + points.max(axis=0)) / 2 == pytest.approx([GLYPH_PX / 2] * 2)
        for stroke in strokes:
            assert np.hypot(*np.diff(stroke, axis=0).T).max() <= 1.5 * SPACING_PX


def test_every_tenth_class_is_held_out_and_the_archive_read_once(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    charset = ["口", *("甲乙丙丁戊己庚辛壬"), "1一", "十"]
    trained, held_out = load_stroke_order(charset), load_stroke_order(charset, held_out=True)
    assert trained is not None and held_out is not None
    assert HELD_OUT == 10 and held_out[0].ids.tolist() == [0, 0, 10] and trained[0].ids.tolist() == [11]
    assert [len(held_out[1][i]) for i in range(3)] == [2, 3, 1] and len(trained[1][0]) == 2
    assert all((image < 128).any() for image in held_out[0].images)
    monkeypatch.setattr(kanjivg, "read_archive", lambda _: pytest.fail("read again"))
    again = load_stroke_order(charset)
    assert again is not None and np.array_equal(again[0].images, trained[0].images)


def test_held_out_drawings_are_a_test_set(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive.parent)  # where there are no photographs of number plates
    charset = ["口", *("甲乙丙丁戊己庚辛壬"), "1", "十"]
    sets = build_sets(charset, [], 4)
    names = [f"written in stroke order, haste {haste}, all classes" for haste in (0.5, 1.0)]
    assert list(sets) == names
    for name in names:
        assert sets[name].truth == ["口", "口", "1"]
        assert all(picture.shape == (GLYPH_PX, GLYPH_PX) for picture in sets[name].pictures)


def test_the_newest_archive_is_taken_and_none_is_needed(archive: Path) -> None:
    newer = archive.with_name("kanjivg-3-py3-none-any.whl")
    newer.write_bytes(b"")
    assert find_archive() == newer
    newer.unlink()
    archive.unlink()
    assert load_stroke_order(["口"]) is None


def line(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    return np.linspace((x0, y0), (x1, y1), 5)


def test_parts_are_written_from_the_left_then_from_the_top() -> None:
    slant, stem = line(20, 6, 6, 28), line(14, 20, 14, 58)  # 仁
    upper, lower = line(28, 20, 50, 20), line(24, 54, 58, 54)
    ordered = in_order([lower[::-1], stem[::-1], upper, slant[::-1]])
    assert [stroke.tolist() for stroke in ordered] == [stroke.tolist() for stroke in (slant, stem, upper, lower)]
    assert [stroke.tolist() for stroke in in_order([line(6, 50, 58, 50), line(50, 10, 8, 10)])] == [
        line(8, 10, 50, 10).tolist(),
        line(6, 50, 58, 50).tolist(),
    ]
    assert in_order([]) == []
