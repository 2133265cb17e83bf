"""The article's worked example, Viterbi against trying every path, and what the study counts."""

from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.studies.conftest import CATALOGUE
from training.config import ConfigError
from training.studies import ocr_language_model, rows
from training.studies.lattice import Bigrams, Counts, count, viterbi
from training.studies.mending import blanked, choose
from training.studies.ocr_language_model import Outcome, judge, net_share
from training.studies.report import Options
from training.studies.rows import Reading, unseen


def counted(singles: dict[str, float], pairs: dict[str, float]) -> Counts:
    codes = np.array([ord(pair[0]) << 21 | ord(pair[1]) for pair in pairs])
    order = codes.argsort()
    return Counts(singles, codes[order], np.array(list(pairs.values()))[order])


@pytest.mark.parametrize("alpha", [0.01, 1.0, 5.0])
def test_the_articles_worked_example(alpha: float) -> None:
    counts = counted({"电": 145001, "柳": 5000, "视": 30000, "规": 30000}, {"电视": 12426, "电规": 7})
    row = [{"电": 0.99996, "宙": 0.00004}, {"柳": 0.87838, "视": 0.12148, "规": 0.00012}]
    assert "".join(viterbi(row, Bigrams(counts, alpha * 4))) == "电视"
    assert "".join(viterbi(row, Bigrams(counts, alpha * 4), weight=0.0)) == "电柳"


def test_pairs_are_counted_and_weighed() -> None:
    counts = count([("abab", 1.0), ("aba", 10.0)])
    assert counts.singles == {"a": 12.0, "b": 11.0}
    assert counts.pairs(["a", "b", "c"], ["a", "b"]).tolist() == [[0, 12], [11, 0], [0, 0]]
    add_one = Bigrams(counts, mu=2.0)  # α = 1, two known characters
    np.testing.assert_allclose(np.exp(add_one.scores(["a"], ["a", "b"])), [[1 / 14, 13 / 14]])
    backed_off = Bigrams(counts, mu=2.0, backed_off=True)
    np.testing.assert_allclose(np.exp(backed_off.scores(["b"], ["a", "b"])), [[12.04 / 13, 0.96 / 13]])


def test_viterbi_finds_the_best_of_all_paths() -> None:
    rng = np.random.default_rng(0)
    bigrams = Bigrams(count([("".join(rng.choice(list("abcde"), 300)), 1.0)]), 3.0)
    for _ in range(20):
        row = []
        for _ in range(5):
            chars, probs = rng.choice(list("abcdef"), 3, replace=False), -np.sort(-rng.dirichlet(np.ones(3)))
            row.append(dict(zip(chars.tolist(), probs.tolist(), strict=True)))

        def score(path: tuple[str, ...], row: list[dict[str, float]] = row) -> float:
            own = sum(np.log(place[char]) for place, char in zip(row, path, strict=True))
            return float(own + sum(0.7 * bigrams.scores([a], [b])[0, 0] for a, b in pairwise(path)))

        best = max(product(*row), key=score)
        assert tuple(viterbi(row, bigrams, weight=0.7)) == best
    assert viterbi([], bigrams) == []


def test_another_form_is_looked_up_as_the_usual_one() -> None:
    bigrams = Bigrams(counted({"电": 100, "视": 9, "柳": 9}, {"电视": 90}), 0.1)
    row = [{"電": 0.9, "甩": 0.1}, {"柳": 0.8, "視": 0.2}]
    fold = {ord("電"): "电", ord("視"): "视"}
    assert "".join(viterbi(row, bigrams, fold=fold)) == "電視"
    assert "".join(viterbi(row, bigrams)) == "電柳"


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
    outcome = judge([reading], lambda one: [["b", "d", "f"]])
    counts = [int(value[0]) for value in (outcome.places, outcome.wrong, outcome.reach, outcome.mended, outcome.spoilt)]
    assert counts == [3, 2, 1, 1, 1]


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


def test_the_study_runs(letters: Options) -> None:
    table = ocr_language_model.run(letters)
    assert [row[0] for row in table.rows] == ["50 %", "100 %", "all"]
    assert all(len(row) == len(table.columns) == 8 for row in table.rows)
    with Image.open(letters.figure("ocr-language-model")) as picture:
        assert min(picture.size) > 500


def test_a_missing_text_is_named(options: Options, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no stories_cmrc2017_user\.txt or stories_cmrc2017_user\.txt\.xz"):
        ocr_language_model.run(Options(**{**vars(options), "text": tmp_path}))
