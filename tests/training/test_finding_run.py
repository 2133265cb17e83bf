"""Finder and reader on a small scale: train a few steps, export, find and read as served."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest

from tianzi_models import bundle as bundles
from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.finding_model import FINDER_GRAPH, FindingOcrModel, FoundItem
from tianzi_models.ocr.types import OcrRequest
from tianzi_models.runtime import Session
from tianzi_training.config import OcrConfig
from tianzi_training.export import export as export_module
from tianzi_training.export.export import export
from tianzi_training.loop import train
from tianzi_training.ocr import finding_task
from tianzi_training.ocr.data import glyphs as glyphs_module
from tianzi_training.ocr.data.glyphs import Font
from tianzi_training.ocr.finding_task import FindingTask, read_pictures

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
CATALOGUE = [
    Font("sans", (FONTS / "DejaVuSans.ttf",), 0, "print", 1.0, False),
    Font("serif", (FONTS / "DejaVuSerif.ttf",), 0, "print", 1.0, True),
]
pytestmark = pytest.mark.slow

CONFIG = OcrConfig(
    task="ocr", name="small", net="finding", steps=4, batch_size=32, group=8, lr=3e-3, warmup_steps=1, threads=1,
    workers=0, widths=(4, 8, 8, 8), blocks=(0, 0, 0, 0), embedding=16, validate_every=4, validation_samples=64,
    level_warmup=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FindingOcrModel:
    """A bundle of a network that has learnt next to nothing."""
    folder = tmp_path_factory.mktemp("finding")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(glyphs_module, "CACHE", folder / "glyphs")
        patch.setattr(finding_task, "read_catalogue", lambda: CATALOGUE)
        patch.setattr(export_module, "LOSS", 1.0)
        task = FindingTask(CONFIG)
        train(task, resume=False)
        path = export(task, "ocr", 1, folder)
        bundle = bundles.load(path, FindingOcrModel.contract)
        return FindingOcrModel(bundle, Session(bundle.graph, "cpu", 1))


def test_batches_repeat_themselves_and_hold_what_both_networks_learn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path / "glyphs")
    monkeypatch.setattr(finding_task, "read_catalogue", lambda: CATALOGUE)
    task = FindingTask(CONFIG)
    one, two = task.batches()[3], task.batches()[3]
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    thumbnails, targets, crops, places, labels = one
    assert thumbnails.shape == (32, 1, 64, 64) and targets.shape == (32, 7, 16, 16)
    assert crops.shape == (32, 1, 48, 48) and places.shape == (32, 6)
    assert int(labels.max()) <= len(task.charset) + 2 and (targets[:, 0] >= 1).any()


def test_the_bundle_holds_both_graphs_and_answers_any_picture(model: FindingOcrModel):
    assert FINDER_GRAPH in model.bundle.manifest["files"]
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((40, 40), (1, 1), (300, 20), (5, 500))]
    answers = list(model.answer_all(map(OcrRequest, pictures), batch=3))
    assert len(answers) == len(pictures) and all(len(a.candidates) == 5 for a in answers)
    for picture, answer in zip(pictures, answers, strict=True):  # alone as in a batch
        assert model.answer(OcrRequest(picture)).candidates[0].text == answer.candidates[0].text


def test_only_what_is_allowed_is_answered_and_limits_hold(model: FindingOcrModel):
    picture = np.full((30, 30), 200, np.uint8)
    picture[10:20, 8:12] = 20
    answer = model.answer(OcrRequest(picture, 3, ("digits",)))
    assert all(candidate.text in "0123456789" for candidate in answer.candidates)
    with pytest.raises(InvalidInput):
        model.preprocess(OcrRequest(picture, 21))


def test_a_second_character_rejects(model: FindingOcrModel):
    item = model.preprocess(OcrRequest(np.full((30, 30), 200, np.uint8)))
    output = model.run([item])[0]
    rival = FoundItem(item.crop, item.top_k, item.allowed, item.place, has_rival=True)
    assert model.postprocess(rival, output).rejected


def test_torch_and_the_served_way_crop_alike(model: FindingOcrModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(glyphs_module, "CACHE", tmp_path / "glyphs")
    monkeypatch.setattr(finding_task, "read_catalogue", lambda: CATALOGUE)
    net = FindingTask(CONFIG).build_net().eval()
    picture = np.full((50, 50), 230, np.uint8)
    picture[20:40, 10:30] = 30
    logits, boxes = read_pictures(net, [picture], CONFIG.crop_px)
    assert logits.shape[0] == 1 and len(boxes[0]) >= 1
