"""Figures of the blank filler on a question file, with a model that answers with what stands there most often."""

from pathlib import Path

import pytest
from PIL import Image, ImageFont

from tests.models.tiny_cloze import load_cloze
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.types import BlankAnswer, WordCandidate
from tianzi_training.cloze.evaluation.cmrc import evaluate
from tianzi_training.cloze.evaluation.figures import LINE_PX, draw_explanations
from tianzi_training.config import ConfigError
from tianzi_training.metrics import calibration_error

DOC_QUERY = """1 ||| 国王 有 一 只 猫 ， 猫 爱 吃 鱼 。
2 ||| XXXXX 跑 了 。
<qid_0> ||| XXXXX 跑 了 。
1 ||| 鱼 吃 鱼 ， 国王 看 XXXXX 。
<qid_1> ||| 国王 看 XXXXX 。
"""


@pytest.fixture
def model(tmp_path: Path) -> ClozeModel:
    return load_cloze(tmp_path)


def files(folder: Path, answers: str) -> tuple[Path, Path]:
    questions, truth = folder / "dev.doc_query", folder / "dev.answer"
    questions.write_text(DOC_QUERY)
    truth.write_text(answers)
    return questions, truth


def test_figures_whole_and_by_kind(model: ClozeModel, tmp_path: Path) -> None:
    figures = evaluate(model, *files(tmp_path, "<qid_0> ||| 猫\n<qid_1> ||| 国王\n"), tmp_path / "new")
    assert (figures["dev"]["accuracy"], figures["dev"]["total"]) == (0.5, 2)
    assert figures["dev"]["answer_among_candidates"] == 1.0
    assert figures["dev, answer of 1 characters"]["accuracy"] == 1.0
    assert figures["dev, answer of 2 characters"]["accuracy"] == 0.0
    assert figures["dev, answer stands 2 times besides"]["total"] == 1
    assert figures["dev, nearest 0 to 9 words away"]["total"] == 2
    assert figures["dev, blank at 4. quarter"]["total"] + figures["dev, blank at 3. quarter"]["total"] == 2
    sheet = (tmp_path / "new/errors.md").read_text()
    assert sheet.startswith("# 1 of 2 wrong") and "## <qid_1>: 国王, answered 鱼" in sheet
    assert "鱼吃鱼，国王看 **XXXXX** 。" in sheet and "- 鱼吃鱼， **国王** 看XXXXX。" in sheet


def test_a_question_without_an_answer_is_an_error(model: ClozeModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no answer for <qid_1>"):
        evaluate(model, *files(tmp_path, "<qid_0> ||| 猫\n"))


def test_calibration_error() -> None:
    assert calibration_error([(0.75, True), (0.75, True), (0.75, True), (0.75, False)], 10) == 0
    assert calibration_error([(0.95, False), (0.15, False)], 10) == pytest.approx(0.55)


def test_explanations_are_shaded_where_the_words_stand(tmp_path: Path) -> None:
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    answer = BlankAnswer((WordCandidate("cat", 0.9, ((0, 1),)), WordCandidate("dog", 0.1, ((2, 3),))), (4, 5), False)
    words = ["cat", " and ", "dog", " saw ", "XXXXX", *[" again"] * 100]
    draw_explanations([("first", words, answer), ("second", words, answer)], font, tmp_path / "e.png")
    with Image.open(tmp_path / "e.png") as picture:
        colours = {colour: count for count, colour in picture.getcolors(1 << 20) or ()}
    likely, less = (round(255 * (1 - share**0.5)) for share in (0.9, 0.1))
    assert colours[(255, likely, likely)] > 200 and colours[(255, less, less)] > 200 and colours[(0, 0, 0)] > 1000
    assert picture.height > 2 * 6 * LINE_PX  # the words went on to further lines
