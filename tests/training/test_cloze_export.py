"""Training to bundle to answers on a small world: what is exported answers like the network, in whatever company."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.cloze_world import WHAT, WHO, world_config
from tianzi_models import bundle as bundles
from tianzi_models.cloze.inputs import windows
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.registry import load_model
from tianzi_training.cloze.task import ClozeTask
from tianzi_training.export.export import export
from tianzi_training.export.weights import read_weights
from tianzi_training.loop import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        task = ClozeTask(world_config(folder, steps=30, validate_every=0))
        train(task, resume=False)
        return export(task, "cloze", 1, folder / "bundles")  # checks parity itself, and answers the golden requests


@pytest.fixture(scope="module")
def model(bundle: Path) -> ClozeModel:
    loaded = load_model("cloze", bundle.parents[1], 1, device="cpu", threads=1)
    assert isinstance(loaded, ClozeModel)
    return loaded


def test_a_bundle_holds_what_serving_needs(bundle: Path, model: ClozeModel) -> None:
    cases = bundles.load(bundle, ClozeModel.contract).golden()
    assert len(cases) >= 5 and all(case["answer"]["blanks"] for case in cases)
    assert 0.3 <= model.bundle.facts["temperature"] <= 4
    assert {*WHO, *WHAT} & set(model.lexicon.words)
    assert read_weights(bundle / bundles.GRAPH)["words.weight"].shape == (len(model.lexicon), 16)


def test_every_source_is_answered(model: ClozeModel) -> None:
    text = "木匠买了桌子。国王找了____。国王看了桌子。"
    (anything,) = model.answer(ClozeRequest(text, top_k=50)).blanks
    assert {c.source for c in anything.candidates} == {"text", "lexicon"}
    assert 0 < sum(c.confidence for c in anything.candidates) <= 1 + 1e-5
    (inside,) = model.answer(ClozeRequest(text, source="text", top_k=50)).blanks
    assert {c.text for c in inside.candidates} == {"木匠", "买", "了", "桌子", "国王", "找", "看"}
    (given,) = model.answer(ClozeRequest(text, candidates=("苹果", "桌子", "没有见过"))).blanks
    assert sum(c.confidence for c in given.candidates) == pytest.approx(1)


def test_a_document_alone_equals_the_same_in_a_batch(model: ClozeModel) -> None:
    sentence = "木匠买了桌子，公主卖了宝剑。"
    texts = ["国王找了__。", sentence * 1400 + "猴子看了__。", sentence * 40 + "__送了__。", "__"]
    items = [model.preprocess(ClozeRequest(text)) for text in texts]
    assert 19000 < len(texts[1]) < 20000 and len(list(windows(items[1].input.counts))) > 20
    alone = [model.run([item])[0] for item in items]
    for together, one in zip(model.run(items), alone, strict=True):
        for ranking, other in zip(together, one, strict=True):
            order, same = (np.argsort(found.numbers) for found in (ranking, other))
            np.testing.assert_array_equal(ranking.numbers[order], other.numbers[same])
            np.testing.assert_allclose(ranking.probs[order], other.probs[same], atol=2e-3)  # int8 rounds a batch as one
