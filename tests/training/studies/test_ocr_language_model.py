"""What is asked of the blank filler, what the study counts, and the study."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from studies import ocr_language_model, rows
from studies.mending import blanked, choose
from studies.ocr_language_model import Outcome, judge, net_share
from studies.report import Options
from studies.rows import Reading, unseen
from tests.training.studies.conftest import CATALOGUE
from tianzi_training.config import ConfigError


def test_a_blank_takes_the_words_of_all_spellings() -> None:
    request, token = blanked("他在家里看电柳，很高兴。", 6, ["柳", "视", "规"])
    assert request.document[token] == "____"
    assert request.candidates[1].endswith("电视")
    spelled = ["".join(request.document).replace("____", word) for word in request.candidates]
    assert spelled == [f"他在家里看电{char}，很高兴。" for char in "柳视规"]


def test_doubtful_places_are_chosen_and_others_kept() -> None:
    page = [[{"甲": 0.6, "田": 0.4}, {"一": 1.0}]]
    scores = {(0, 0): np.log([0.1, 0.9])}
    assert choose(page, [["甲", "一"]], [scores], [1.0]) == [["田", "一"]]
    assert choose(page, [["甲", "二"]], [scores], [0.1]) == [["甲", "二"]]
    assert choose(page, [["甲", "一"]], [scores, {(0, 0): np.log([0.9, 0.1])}], [1.0, 1.0]) == [["甲", "一"]]


def test_what_is_mended_and_spoilt_is_counted() -> None:
    reading = Reading([[{"a": 0.5, "b": 0.3}, {"c": 0.9, "d": 0.1}, {"e": 0.9, "f": 0.1}]], [["bB", "cC", "xX"]])
    outcome = judge([reading], [[["b", "d", "f"]]])
    counts = [int(value[0]) for value in (outcome.places, outcome.wrong, outcome.reach, outcome.mended, outcome.spoilt)]
    assert counts == [3, 2, 1, 1, 1]
    mixed = Reading([[{"a": 0.5}, {"丙": 0.9, "两": 0.1}]], [["b", "两"]])
    assert judge([mixed], [[["a", "两"]]], hanzi=True).mended.tolist() == [1]
    assert judge([mixed], [[["a", "两"]]], hanzi=True).places.tolist() == [1]
    assert judge([reading], [[["b", "d", "f"]]], hanzi=True).places.tolist() == [0]


def test_the_interval_widens_with_pages_that_differ() -> None:
    def outcome(mended: list[int]) -> Outcome:
        n = np.full(len(mended), 10)
        return Outcome(10 * n, n, n, np.array(mended), np.zeros(len(mended), np.int64))

    same, low, high = net_share(outcome([5] * 20))
    assert same == low == high == 0.5
    share, low, high = net_share(outcome([0, 10] * 10))
    assert share == 0.5 and low < 0.35 and high > 0.65


def test_documents_that_share_a_run_with_a_known_text_go() -> None:
    known = "零一二三四五六七八九十百千万"
    assert unseen(["甲" + known[:13] + "乙", "甲" + known[:12] + "乙丙丁戊"], [known]) == [
        "甲" + known[:12] + "乙丙丁戊"
    ]


@pytest.fixture
def letters(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """Texts of invented words in letters, which the tests' fonts have."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("abdefghjmnqrtyABDEFGHMNQRT"), rng.integers(2, 5))) for _ in range(400)]
    (tmp_path / "text").mkdir()
    for name in ("stories_cmrc2017_user", "stories_cmrc2019"):
        documents = ["".join(rng.choice(words, 120)) for _ in range(150)]
        (tmp_path / "text" / f"{name}.txt").write_text("\n\n".join(documents))
    monkeypatch.setattr(rows, "read_catalogue", lambda: CATALOGUE)
    return Options(**{**vars(options), "text": tmp_path / "text", "cache": tmp_path / "cache"})


LEVELS = ["50 %", "100 %", "all"]


def test_the_study_runs(letters: Options) -> None:
    table = ocr_language_model.run(letters)
    assert [row[0] for row in table.rows] == [*LEVELS, *(f"{level}, hanzi" for level in LEVELS)]
    assert all(len(row) == len(table.columns) == 9 for row in table.rows)
    with Image.open(letters.figure("ocr-language-model")) as picture:
        assert min(picture.size) > 500


def test_a_missing_text_is_named(options: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stories_cmrc2017_user\.txt or stories_cmrc2017_user\.txt\.xz"):
        ocr_language_model.run(Options(**{**vars(options), "text": tmp_path}))
