"""ClozeModel on a tiny bundle with answers that can be worked out."""

from pathlib import Path

import numpy as np
import pytest

from tests.models.tiny_cloze import load_cloze, write_cloze_bundle
from tianzi_models import bundle as bundles
from tianzi_models.cloze.model import CHARS, RUN_CELLS, STATE_CELLS, WORDS, ClozeModel, groups
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
        assert output.shape == (len(item.blanks), len(item.candidates))
        np.testing.assert_allclose(output, model.run([item])[0], atol=1e-6)
        np.testing.assert_allclose(output.sum(1), 1, atol=1e-6)


def test_a_long_document_is_not_padded_onto_its_neighbours(tmp_path: Path) -> None:
    model = load_cloze(tmp_path, max_characters=5000, max_blanks=64)
    texts = ["猫爱＿。", "猫" * 3000 + "＿", "国王有＿，猫有鱼。", "鱼" * 2900 + "＿" * 60]
    items = [model.preprocess(ClozeRequest(tuple(text), marker="＿")) for text in texts * 20]
    found = list(groups([item.input for item in items]))
    assert sorted(i for group in found for i in group) == list(range(80))
    for group in found:
        longest = max(len(items[i].input.words) for i in group)
        blanks = max(len(items[i].blanks) for i in group)
        assert len(group) == 1 or len(group) * longest * (STATE_CELLS + blanks) <= RUN_CELLS
    assert len(found) > 5 and len(found[0]) >= 40  # the short ones go together
    for item, output in list(zip(items, model.run(items), strict=True))[:4]:
        np.testing.assert_allclose(output, model.run([item])[0], atol=1e-6)


def test_top_k_limits_the_candidates(model: ClozeModel) -> None:
    assert [len(model.answer(ClozeRequest(DOCUMENT, top_k=k)).blanks[0].candidates) for k in (1, 2, 10)] == [1, 2, 3]


def test_json_round_trip(model: ClozeModel) -> None:
    data = {"text": "國王和貓，XXXXX。", "query": "", "candidates": ["貓", "魚"], "top_k": 2}
    answer = model.answer_to_json(model.answer(model.request_from_json(data)))
    blank = answer["blanks"][0]
    assert [c["text"] for c in blank["candidates"]] == ["貓", "魚"]
    assert [c["positions"] for c in blank["candidates"]] == [[[3, 4]], []]
    assert blank["position"] == [5, 10] and blank["in_query"] is False
    tokens = model.request_from_json({"tokens": ["猫", "__"], "query": ["__"]})
    assert (tokens.document, tokens.query) == (("猫", "__"), ("__",))


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
    ],
)
def test_bad_json(model: ClozeModel, data: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        model.request_from_json(data)
    assert caught.value.field == field


def test_nan_is_the_models_fault(model: ClozeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model.session, "run", lambda feeds: {"probs": np.full((1, 1, 1), np.nan, np.float32)})
    with pytest.raises(InferenceError, match="NaN"):
        model.run([model.preprocess(ClozeRequest("猫__"))])


def test_bundles_of_another_kind_are_refused(tmp_path: Path) -> None:
    def opened(path: Path) -> ClozeModel:
        bundle = bundles.load(path, ClozeModel.contract)
        return ClozeModel(bundle, Session(bundle.graph, "cpu"))

    with pytest.raises(BundleError, match="facts: max_blanks"):
        opened(write_cloze_bundle(tmp_path / "a", max_blanks="3"))
    with pytest.raises(BundleError, match="facts: chars_per_word"):
        opened(write_cloze_bundle(tmp_path / "b", chars_per_word=3))
    path = write_cloze_bundle(tmp_path / "c")
    manifest = bundles.load(path, ClozeModel.contract).manifest
    files: dict[str, Path | bytes] = {name: (path / name).read_bytes() for name in manifest["files"]}
    bundles.write(path, {**files, WORDS: "猫\n".encode()}, manifest)
    with pytest.raises(BundleError, match=f"{WORDS}, {CHARS}: must begin with <pad> <unk>"):
        opened(path)


def test_vocabulary_size(model: ClozeModel) -> None:
    assert model.vocabulary_size == 7
