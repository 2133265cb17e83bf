"""OcrModel on a tiny bundle with answers that can be worked out."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny import CROP_PX, write_ocr_bundle
from tianzi_models import bundle as bundles
from tianzi_models.errors import InferenceError, InvalidInput
from tianzi_models.ocr.allowed import KINDS, PENALTY, AllowedSets
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrRequest
from tianzi_models.runtime import Session


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OcrModel:
    path = write_ocr_bundle(tmp_path_factory.mktemp("bundles"))
    bundle = bundles.load(path, OcrModel.contract)
    return OcrModel(bundle, Session(bundle.graph, "cpu"))


def bars(ink: int) -> np.ndarray:
    """A frame with a bar in it: the crop keeps the share of ink, from 0.13 to 0.45 for 1 to 11."""
    picture = np.full((60, 60), 255, np.uint8)
    picture[10:50, [10, 49]] = picture[[10, 49], 10:50] = 0
    picture[10:50, 12 : 12 + 2 * ink] = 0
    return picture


def test_light_dark_and_blank(model: OcrModel) -> None:
    light, dark = model.answer(OcrRequest(bars(1))), model.answer(OcrRequest(bars(11)))
    blank = model.answer(OcrRequest(np.full((30, 30), 255, np.uint8)))
    assert light.candidates[0].text == "空" and not light.rejected
    assert dark.candidates[0].text == "满" and not dark.rejected
    assert blank.rejected
    for answer in (light, dark, blank):
        confidences = [c.confidence for c in answer.candidates]
        assert confidences == sorted(confidences, reverse=True)
        assert all(0 <= c <= 1 for c in confidences)


def test_top_k(model: OcrModel) -> None:
    assert [len(model.answer(OcrRequest(bars(2), top_k=k)).candidates) for k in (1, 5)] == [1, 5]
    for k in (0, 6, -1):
        with pytest.raises(InvalidInput, match=f"top_k: {k}, must be 1 to 5"):
            model.preprocess(OcrRequest(bars(2), top_k=k))


def test_one_alone_equals_the_same_in_a_batch(model: OcrModel) -> None:
    items = [model.preprocess(OcrRequest(bars(n), top_k=5)) for n in range(10)]
    for item, output in zip(items, model.run(items), strict=True):
        alone = model.run([item])[0]
        assert alone.ids.tolist() == output.ids.tolist()
        np.testing.assert_allclose(alone.probs, output.probs, atol=1e-6)
        assert alone.nothing == pytest.approx(output.nothing, abs=1e-6)


def test_bytes_and_pixels_are_answered_alike(model: OcrModel) -> None:
    buffer = io.BytesIO()
    Image.fromarray(bars(3)).save(buffer, "PNG")
    assert model.answer(OcrRequest(buffer.getvalue(), 2)) == model.answer(OcrRequest(bars(3), 2))


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (np.zeros((5, 5, 3), np.uint8), r"shape \(5, 5, 3\) uint8, must be \(H, W\) uint8"),
        (np.zeros((5, 5), np.float32), "float32, must be"),
        (np.zeros((0, 5), np.uint8), "5 × 0 px"),
        (np.zeros((300, 5), np.uint8), "5 × 300 px, at most 256 × 256"),
        (b"", "empty"),
    ],
)
def test_bad_pixels(model: OcrModel, image: np.ndarray | bytes, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"image: .*{problem}"):
        model.preprocess(OcrRequest(image))


def test_nan_is_the_models_fault(model: OcrModel, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {"ids": np.zeros((1, 2), np.int64), "probs": np.full((1, 2), np.nan, np.float32), "nothing": np.zeros(1)}
    monkeypatch.setattr(model.session, "run", lambda feeds: outputs)
    with pytest.raises(InferenceError, match="NaN"):
        model.run([model.preprocess(OcrRequest(bars(1)))])


def test_json_round_trip(model: OcrModel) -> None:
    buffer = io.BytesIO()
    Image.fromarray(bars(3)).save(buffer, "PNG")
    request = model.request_from_json({"image": base64.b64encode(buffer.getvalue()).decode(), "top_k": 1})
    answer = model.answer_to_json(model.answer(request))
    assert answer["rejected"] is False and [c["text"] for c in answer["candidates"]] == ["空"]
    for bad in ({}, {"image": 3}, {"image": "no base64!"}):
        with pytest.raises(InvalidInput, match="image: missing or not base64"):
            model.request_from_json(bad)


def test_vocabulary_size_and_crop(model: OcrModel) -> None:
    assert model.vocabulary_size == 5
    assert model.preprocess(OcrRequest(bars(1))).crop.shape == (CROP_PX, CROP_PX)


def test_an_allowed_set_is_applied_before_the_softmax(model: OcrModel) -> None:
    free = model.answer(OcrRequest(bars(11)))
    kept = model.answer(OcrRequest(bars(11), allowed=("空甲",)))
    assert free.candidates[0].text == "满"
    assert [c.text for c in kept.candidates] == ["空", "甲"]
    before = {c.text: c.confidence for c in free.candidates}
    assert before["空"] < 0.05 and kept.candidates[0].confidence > 0.9
    assert model.answer(OcrRequest(np.full((30, 30), 255, np.uint8), allowed=("乙",))).rejected


def test_rows_of_one_batch_have_sets_of_their_own(model: OcrModel) -> None:
    asked = [OcrRequest(bars(11), allowed=allowed) for allowed in ((), ("乙",), ("hanzi",), ("丙", "乙"), ("乙",))]
    items = [model.preprocess(request) for request in asked]
    best = [model.postprocess(i, o).candidates[0].text for i, o in zip(items, model.run(items), strict=True)]
    assert best == ["满", "乙", "满", "乙", "乙"]


@pytest.mark.parametrize(
    ("allowed", "problem"),
    [
        (("龘",), "'龘', must be a character that the model reads, or digits, uppercase"),
        (("",), "no character in it"),
        (("digits",), "no character in it"),
        (("甲" * 20_001,), "20001 characters, at most 20000"),
    ],
)
def test_bad_allowed_sets(model: OcrModel, allowed: tuple[str, ...], problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"allowed: {problem}"):
        model.preprocess(OcrRequest(bars(1), allowed=allowed))


def test_the_named_sets_and_the_form_that_was_asked_for() -> None:
    sets = AllowedSets(["0０", "A", "b", "，,", "京", "〇", "永"])
    texts = {name: "".join(sets.find((name,)).texts.values()) for name in KINDS}
    assert texts == {
        "digits": "0", "uppercase": "A", "lowercase": "b", "letters": "Ab", "hanzi": "京〇永", "punctuation": "，",
        "plate": "0A京",
    }  # fmt: skip
    assert sets.find((",０",)).texts == {3: ",", 0: "０"}
    assert sets.find(("digits",)) is sets.find(("digits",)) and sets.find(()) is sets.everything
    assert sets.find(("京",)).penalties.tolist() == [PENALTY] * 4 + [0.0] + [PENALTY] * 2 + [0.0]


def test_small_images_with_few_allowed_characters_are_quick(model: OcrModel) -> None:
    assert model.is_quick(OcrRequest(bars(11)))
    assert model.is_quick(OcrRequest(bars(11), allowed=("hanzi", "甲乙")))
    assert not model.is_quick(OcrRequest(bars(11), allowed=("甲" * 101,)))
    assert not model.is_quick(OcrRequest(bars(11), allowed=("甲", "乙", "丙")))
    assert not model.is_quick(OcrRequest(np.full((200, 200), 255, np.uint8)))
