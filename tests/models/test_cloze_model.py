"""ClozeModel on a tiny bundle with answers that can be worked out."""

from pathlib import Path

import numpy as np
import pytest

from tests.models.tiny_cloze import KNOWN_WORDS, load_cloze, write_cloze_bundle
from tianzi_models import bundle as bundles
from tianzi_models.cloze.distribution import Ranking
from tianzi_models.cloze.lexicon import PIECES
from tianzi_models.cloze.model import LEAST_PIECES, RUN_CELLS, STATE_CELLS, ClozeModel, groups
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import BundleError, InferenceError, InvalidInput
from tianzi_models.runtime import Session

DOCUMENT = ("国王", "爱", "猫", "，", "猫", "爱", "XXXXX", "，", "猫", "爱", "XXXXX", "。")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ClozeModel:
    return load_cloze(tmp_path_factory.mktemp("bundles"))


def test_answers_of_two_blanks(model: ClozeModel) -> None:
    answer = model.answer(ClozeRequest(DOCUMENT, top_k=3))
    assert [blank.position for blank in answer.blanks] == [(6, 7), (10, 11)]
    # 猫 and 爱 stand there three times, 国王 once; ties keep the order of the text.
    shares = np.exp([3, 3, 1]) / np.exp([3, 3, 1]).sum()
    for blank in answer.blanks:
        assert [c.text for c in blank.candidates] == ["爱", "猫", "国王"]
        assert [c.confidence for c in blank.candidates] == pytest.approx(shares, abs=1e-6)
        assert blank.candidates[1].positions == ((2, 3), (4, 5), (8, 9))


def test_one_alone_equals_the_same_in_a_batch(model: ClozeModel) -> None:
    texts = ["猫爱__。", "国王有猫，猫有鱼，____。", "__和__和__，鱼鱼鱼", "一二三四五六七__"]
    items = [model.preprocess(ClozeRequest(text, top_k=9)) for text in texts]
    for item, output in zip(items, model.run(items), strict=True):
        assert len(output) == len(item.blanks)
        assert_alike(output, model.run([item])[0])
        assert all(len(ranking.numbers) == len(item.candidates) for ranking in output)
        assert [ranking.probs.sum() for ranking in output] == pytest.approx([1] * len(output), abs=1e-6)


def assert_alike(found: list[Ranking], expected: list[Ranking]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.numbers.tolist() == other.numbers.tolist() and one.rejected == other.rejected
        np.testing.assert_allclose(one.probs, other.probs, atol=1e-6)


def test_any_word_may_answer_and_says_where_it_is_from(tmp_path: Path) -> None:
    model = load_cloze(tmp_path, lexicon=1.0)
    (blank,) = model.answer(ClozeRequest(("国王", "看", "看", "看", "__"), top_k=10)).blanks
    # The lexicon has 国王 too: it is one word, and what the text says of it counts.
    weights = np.exp([3.0, 1.0, 1.0, 1.0])
    assert [(c.text, c.source) for c in blank.candidates] == [
        ("看", "text"), ("国王", "text"), ("猫", "lexicon"), ("鱼", "lexicon")
    ]  # fmt: skip
    assert [c.confidence for c in blank.candidates] == pytest.approx((weights / weights.sum()).tolist(), abs=1e-6)
    assert [c.positions for c in blank.candidates] == [((1, 2), (2, 3), (3, 4)), ((0, 1),), (), ()]


def test_a_text_of_a_blank_alone_is_answered_from_the_lexicon(tmp_path: Path) -> None:
    (blank,) = load_cloze(tmp_path, lexicon=1.0).answer(ClozeRequest("____。")).blanks
    assert {c.text for c in blank.candidates} == set(KNOWN_WORDS)
    assert [c.confidence for c in blank.candidates] == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_the_texts_words_are_asked_for_alone(tmp_path: Path) -> None:
    model = load_cloze(tmp_path, lexicon=8.0, fits_scale=1.0, fits_shift=0.0)
    (blank,) = model.answer(ClozeRequest(("看", "看", "猫", "__"), source="text")).blanks
    assert [(c.text, c.source) for c in blank.candidates] == [("看", "text"), ("猫", "text")]
    assert blank.rejected, "the lexicon's words fit far better"
    share = sum(c.confidence for c in blank.candidates)
    # 猫 is of the lexicon as well, where the tiny graph gives it another fit: the text's counts.
    assert 0 < share < 0.5
    (kept,) = load_cloze(tmp_path, lexicon=-8.0, fits_scale=1.0).answer(
        ClozeRequest(("看", "__"), source="text")
    ).blanks  # fmt: skip
    assert not kept.rejected


def test_given_words_are_chosen_among_alone(tmp_path: Path) -> None:
    model = load_cloze(tmp_path, lexicon=3.0, reject_candidates=-2.5)
    (blank,) = model.answer(ClozeRequest(("看", "看", "__"), candidates=("看", "龟"))).blanks
    assert [(c.text, c.source) for c in blank.candidates] == [("看", "text"), ("龟", "candidates")]
    assert blank.candidates[0].confidence == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert not blank.rejected
    assert model.answer(ClozeRequest(("看", "__"), candidates=("龟",))).blanks[0].rejected


def test_the_cost_is_what_is_read_as_often_as_it_is_read(model: ClozeModel) -> None:
    short, long, twice = (model.preprocess(ClozeRequest(text)) for text in ("猫__", "猫" * 100 + "__", "猫__" * 2))
    assert model.cost(short) == LEAST_PIECES
    assert model.cost(long) == 101
    assert model.cost(twice) == 2 * LEAST_PIECES


def test_a_long_document_is_not_padded_onto_its_neighbours(tmp_path: Path) -> None:
    model = load_cloze(tmp_path, max_characters=5000, max_blanks=64)
    texts = ["猫爱＿。", "猫" * 3000 + "＿", "国王有＿，猫有鱼。", "鱼" * 2900 + "＿" * 60]
    items = [model.preprocess(ClozeRequest(tuple(text), marker="＿")) for text in texts * 20]
    found = list(groups([item.input for item in items]))
    assert sorted(i for group in found for i in group) == list(range(80))
    for group in found:
        longest = max(int(items[i].input.counts.sum()) for i in group)
        blanks = max(len(items[i].blanks) for i in group)
        assert len(group) == 1 or len(group) * longest * (STATE_CELLS + blanks) <= RUN_CELLS
    assert len(found) > 5 and len(found[0]) >= 40  # the short ones go together
    for item, output in list(zip(items, model.run(items), strict=True))[:4]:
        assert_alike(output, model.run([item])[0])


def test_top_k_limits_the_candidates(model: ClozeModel) -> None:
    assert [len(model.answer(ClozeRequest(DOCUMENT, top_k=k)).blanks[0].candidates) for k in (1, 2, 10)] == [1, 2, 3]


def test_json_round_trip(model: ClozeModel) -> None:
    data = {"text": "國王和貓，XXXXX。", "query": "", "candidates": ["貓", "魚"], "top_k": 2}
    answer = model.answer_to_json(model.answer(model.request_from_json(data)))
    blank = answer["blanks"][0]
    assert [c["text"] for c in blank["candidates"]] == ["貓", "魚"]
    assert [c["positions"] for c in blank["candidates"]] == [[[3, 4]], []]
    assert [c["source"] for c in blank["candidates"]] == ["text", "candidates"] and blank["rejected"] is False
    assert blank["position"] == [5, 10] and blank["in_query"] is False
    tokens = model.request_from_json({"tokens": ["猫", "__"], "query": ["__"]})
    assert (tokens.document, tokens.query, tokens.source) == (("猫", "__"), ("__",), "any")
    assert model.request_from_json({"text": "猫__", "source": "text"}).source == "text"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({}, "text"),
        ({"text": "__", "tokens": ["__"]}, "text"),
        ({"text": 3}, "text"),
        ({"tokens": ["猫", 3]}, "tokens"),
        ({"text": "__", "query": 3}, "query"),
        ({"text": "__", "candidates": "猫"}, "candidates"),
        ({"text": "__", "marker": 1}, "marker"),
        ({"text": "__", "top_k": "3"}, "top_k"),
        ({"text": "__", "topk": 3}, "topk"),
        ({"text": "__", "source": 1}, "source"),
    ],
)
def test_bad_json(model: ClozeModel, data: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        model.request_from_json(data)
    assert caught.value.field == field


def test_nan_is_the_models_fault(model: ClozeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.session, "run", lambda feeds: {"fit": np.full((1, 1, 1), np.nan, np.float32)})
    with pytest.raises(InferenceError, match="NaN"):
        model.run([model.preprocess(ClozeRequest("猫__"))])


def test_bundles_of_another_kind_are_refused(tmp_path: Path) -> None:
    def opened(path: Path) -> ClozeModel:
        bundle = bundles.load(path, ClozeModel.contract)
        return ClozeModel(bundle, Session(bundle.graph, "cpu"))

    with pytest.raises(BundleError, match="facts: max_blanks"):
        opened(write_cloze_bundle(tmp_path / "a", max_blanks="3"))
    with pytest.raises(BundleError, match="facts: fits_scale: missing or of another type than float"):
        opened(write_cloze_bundle(tmp_path / "b", fits_scale=1))
    path = write_cloze_bundle(tmp_path / "c")
    manifest = bundles.load(path, ClozeModel.contract).manifest
    files: dict[str, Path | bytes] = {name: (path / name).read_bytes() for name in manifest["files"]}
    bundles.write(path, {**files, PIECES: "猫\t0\n".encode()}, manifest)
    with pytest.raises(BundleError, match="must begin with <pad> <s>"):
        opened(path)


def test_vocabulary_size(model: ClozeModel) -> None:
    assert model.vocabulary_size == len(KNOWN_WORDS)
