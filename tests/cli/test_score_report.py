"""The report that score writes: whole in itself, true in its figures."""

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from tests.models.tiny import write_ocr_bundle
from tianzi_service.score.report import page
from tianzi_service.score.tally import UNCERTAIN, Tally, Uncertain

Run = Callable[..., Result]
OUTSIDE = re.compile(r"https?:|//|url\(|@import|<script|<link|<iframe", re.IGNORECASE)


class Page(HTMLParser):
    """The tags, and what stands in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty pictures from white to black, and a file that is none, whose name is a piece of HTML."""
    images = tmp_path / "in"
    images.mkdir()
    for width in range(60):
        pixels = np.full((64, 64), 255, np.uint8)
        pixels[2:62, 2 : 2 + width] = 0
        Image.fromarray(pixels).save(images / f"{width:02}.png")
    (images / "<b>&.png").write_bytes(b"none")
    return images


def test_report_of_images(folder: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_ocr_bundle(tmp_path / "bundles")
    monkeypatch.setenv("TIANZI_BUNDLE_ROOT", str(tmp_path / "bundles"))
    target, report = tmp_path / "out.jsonl", tmp_path / "report.html"
    result = run("score", "ocr", folder, target, "--report", report, "--part-items", 7)
    assert result.exit_code == 0, result.output
    text = report.read_text(encoding="utf-8")
    seen = Page(text)
    assert not seen.open
    assert not OUTSIDE.search(re.sub(r'"data:image/png;base64,[^"]*"', "", text))

    lines = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    answered = [line for line in lines if line.get("rejected") is False]
    assert answered
    certain = sorted(answered, key=lambda line: (line["candidates"][0]["confidence"], line["id"]))
    shown = [attributes["src"] or "" for tag, attributes in seen.tags if tag == "img"]
    rejected = [line for line in lines if line.get("rejected")]
    assert len(shown) == min(UNCERTAIN, len(answered)) + min(UNCERTAIN, len(rejected))
    assert ("Rejected, with what each looked like most" in seen.text) == bool(rejected)
    first = Image.open(io.BytesIO(base64.b64decode(shown[0].removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.asarray(first.convert("L")), np.asarray(Image.open(folder / certain[0]["id"])))
    assert f"{certain[0]['candidates'][0]['confidence']:.4f}" in "".join(seen.text)

    bars = [title for title in seen.text if re.fullmatch(r"0\.\d\d to [01]\.\d\d: \d+", title)]
    assert sum(int(bar.split(": ")[1]) for bar in bars) == len(lines) - 1
    assert {"61", "1", "InvalidInput image"} <= set(seen.text)
    assert any(piece.startswith("<b>&.png: image: ") for piece in seen.text)


@pytest.mark.usefixtures("local")
def test_report_of_questions(run: Run, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(json.dumps({"text": "____<i>好</i>" + "长" * 200}) + "\n")
    report = tmp_path / "report.html"
    assert run("score", "cloze", source, tmp_path / "out.jsonl", "--report", report).exit_code == 0
    seen = Page(report.read_text(encoding="utf-8"))
    (excerpt,) = [text for text in seen.text if text.startswith("____")]
    assert excerpt.startswith("____<i>好</i>长")
    assert len(excerpt) == 121


@pytest.mark.usefixtures("local")
def test_a_report_that_cannot_be_written_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    result = run("score", "ocr", tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--report", tmp_path / "no/r.html")
    assert result.stderr == f"error: {tmp_path}/no/r.html: there is no folder {tmp_path}/no\n"
    assert not (tmp_path / "out.jsonl").exists()


def test_the_least_certain_of_many_are_kept_whatever_the_order() -> None:
    parts = [Tally(items=1, uncertain=[Uncertain(n % 90 / 100, str(n), "")]) for n in range(100)]
    forward, backward = Tally(), Tally()
    for part in parts:
        forward.merge(Tally.from_json(json.loads(json.dumps(part.to_json()))))
    for part in reversed(parts):
        backward.merge(part)
    assert forward.uncertain == backward.uncertain
    assert [item.id for item in forward.uncertain[:3]] == ["0", "90", "1"]
    assert len(forward.uncertain) == UNCERTAIN


def test_rejected_pictures_are_kept_as_well() -> None:
    tally = Tally(items=1, rejected=1, refused=[Uncertain(0.25, "a.png", "一 二", picture="eHh4")])
    read = Tally.from_json(json.loads(json.dumps(tally.to_json())))
    read.merge(Tally(refused=[Uncertain(0.1, "b.png", "三")]))
    assert [one.id for one in read.refused] == ["b.png", "a.png"]
    shown = page(read, {}, 1.0)
    assert 'src="data:image/png;base64,eHh4"' in shown
    assert shown.index("Rejected, with") < shown.index("b.png") < shown.index("a.png")
