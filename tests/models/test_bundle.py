"""Bundles: what is written loads, what is broken ends the start with one clear line."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny import CHARSET, write_ocr_bundle
from tianzi_models import bundle as bundles
from tianzi_models.errors import BundleError, ModelNotFound
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_ocr_bundle(tmp_path)


def edit_manifest(bundle: Path, **changes: object) -> None:
    file = bundle / bundles.MANIFEST
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_round_trip(bundle: Path) -> None:
    loaded = bundles.load(bundle, OcrModel.contract)
    assert (loaded.name, loaded.version, loaded.facts["max_top_k"]) == ("ocr", 1, 5)
    assert loaded.text("charset.txt").split() == CHARSET
    assert not list(bundle.parent.glob(".*"))  # no temporary folder is left


def test_the_highest_version_is_found(tmp_path: Path) -> None:
    for version in (2, 10):
        write_ocr_bundle(tmp_path, version)
    (tmp_path / "ocr" / "new").mkdir()
    assert bundles.find(tmp_path, "ocr").name == "10"
    assert bundles.find(tmp_path, "ocr", 2).name == "2"
    with pytest.raises(ModelNotFound, match="ocr version 3 under"):
        bundles.find(tmp_path, "ocr", 3)
    with pytest.raises(ModelNotFound, match="no bundle of model cloze under"):
        bundles.find(tmp_path, "cloze")


def test_writing_replaces_the_old_one(bundle: Path) -> None:
    (bundle / "stale.txt").write_text("old")
    write_ocr_bundle(bundle.parents[1], 1, max_top_k=1)
    assert not (bundle / "stale.txt").exists()
    assert bundles.load(bundle, OcrModel.contract).facts["max_top_k"] == 1


@pytest.mark.parametrize("name", ["model.onnx", "charset.txt", "golden.json"])
def test_altered_and_missing_files(bundle: Path, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data + b" ")
    with pytest.raises(BundleError, match=f"{name}: sha256 differs"):
        bundles.load(bundle, OcrModel.contract)
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: missing"):
        bundles.load(bundle, OcrModel.contract)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"contract": 99}, "made for contract 99, this code needs 2"),
        ({"format": 9}, "format 9, this code reads 1"),
        ({"facts": None}, "facts: missing or not of type dict"),
        ({"version": "1"}, "version: missing or not of type int"),
        ({"files": {}}, "files: lacks model.onnx"),
    ],
)
def test_bad_manifests(bundle: Path, changes: dict[str, object], problem: str) -> None:
    edit_manifest(bundle, **changes)
    with pytest.raises(BundleError, match=problem):
        bundles.load(bundle, OcrModel.contract)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_unreadable_manifest(bundle: Path, text: str) -> None:
    (bundle / bundles.MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"bundle\.json: .*(not readable as JSON|missing or not of type)"):
        bundles.load(bundle, OcrModel.contract)
    (bundle / bundles.MANIFEST).unlink()
    with pytest.raises(BundleError, match=r"bundle\.json: missing"):
        bundles.load(bundle, OcrModel.contract)


def test_load_model_checks_name_graph_and_golden(bundle: Path) -> None:
    root = bundle.parents[1]
    assert load_model("ocr", root, device="cpu").vocabulary_size == len(CHARSET)
    edit_manifest(bundle, name="cloze")
    with pytest.raises(BundleError, match="holds model cloze version 1"):
        load_model("ocr", root, device="cpu")


def rewrite(bundle: Path, name: str, data: bytes) -> None:
    """Replaces a file and its recorded hash."""
    (bundle / name).write_bytes(data)
    files = json.loads((bundle / bundles.MANIFEST).read_text())["files"]
    edit_manifest(bundle, files={**files, name: {"sha256": bundles.sha256(bundle / name), "bytes": len(data)}})


def test_a_graph_that_does_not_open(bundle: Path) -> None:
    rewrite(bundle, bundles.GRAPH, b"no graph")
    with pytest.raises(BundleError, match="onnxruntime cannot open it"):
        load_model("ocr", bundle.parents[1], device="cpu")


def test_golden_samples_are_replayed(bundle: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 20), 255, np.uint8)).save(buffer, "PNG")
    request = {"image": base64.b64encode(buffer.getvalue()).decode(), "top_k": 1}
    answer = {"candidates": [{"text": "空", "confidence": 0.0009}], "rejected": True}
    rewrite(bundle, bundles.GOLDEN, bundles.to_json([{"request": request, "answer": answer}]))
    load_model("ocr", bundle.parents[1], device="cpu")
    for wrong in ({**answer, "rejected": False}, {"candidates": [], "rejected": True}):
        rewrite(bundle, bundles.GOLDEN, bundles.to_json([{"request": request, "answer": wrong}]))
        with pytest.raises(BundleError, match="golden sample 1 is answered otherwise"):
            load_model("ocr", bundle.parents[1], device="cpu")
    rewrite(bundle, bundles.GOLDEN, bundles.to_json([{"request": {"image": ""}, "answer": answer}]))
    with pytest.raises(BundleError, match="golden sample 1: image: empty"):
        load_model("ocr", bundle.parents[1], device="cpu")
