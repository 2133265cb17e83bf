"""Tiny bundles for tests: real graphs with weights that can be worked out."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from tianzi_models import bundle as bundles
from tianzi_models.ocr.model import OcrModel

CROP_PX = 16
CHARSET = ["空", "满", "甲", "乙", "丙"]
"""空 is answered for light crops, 满 for dark ones, nothing for crops without any ink; the rest never."""


def ocr_graph(path: Path) -> None:
    """crops → mean ink m → softmax of logits (1 − 20 m, 20 m − 9, −20, −21, −22, 8 − 400 m) for CHARSET and nothing."""
    constants = {
        "weights": np.array([[-20.0, 20.0, 0.0, 0.0, 0.0, -400.0]], np.float32),
        "bias": np.array([1.0, -9.0, -20.0, -21.0, -22.0, 8.0], np.float32),
        "axes": np.array([1, 2, 3], np.int64),
        "scale": np.array(-1 / 255, np.float32),
        "one": np.array(1.0, np.float32),
        "starts": np.array([0], np.int64),
        "classes": np.array([5], np.int64),
        "end": np.array([6], np.int64),
        "last": np.array([1], np.int64),
        "k": np.array([5], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["minus"]),
        helper.make_node("Add", ["minus", "one"], ["ink"]),
        helper.make_node("ReduceMean", ["ink", "axes"], ["mean4"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean4", "last"], ["mean"]),
        helper.make_node("MatMul", ["mean", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["free"]),
        helper.make_node("Gather", ["penalties", "set_of"], ["penalty"], axis=0),
        helper.make_node("Add", ["free", "penalty"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["all"], axis=1),
        helper.make_node("Slice", ["all", "starts", "classes", "last"], ["characters"]),
        helper.make_node("Slice", ["all", "classes", "end", "last"], ["rest"]),
        helper.make_node("Squeeze", ["rest", "last"], ["nothing"]),
        helper.make_node("TopK", ["characters", "k"], ["probs", "ids"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", 1, CROP_PX, CROP_PX]),
            helper.make_tensor_value_info("penalties", TensorProto.FLOAT, ["M", 6]),
            helper.make_tensor_value_info("set_of", TensorProto.INT64, ["N"]),
        ],
        [
            helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", 5]),
            helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", 5]),
            helper.make_tensor_value_info("nothing", TensorProto.FLOAT, ["N"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    save(model, path)


def write_ocr_bundle(root: Path, version: int = 1, **facts: Any) -> Path:
    """A bundle of the tiny graph under root/ocr/version; facts replace its own."""
    graph = root / "graph.onnx"
    root.mkdir(parents=True, exist_ok=True)
    ocr_graph(graph)
    own = {"crop_px": CROP_PX, "max_top_k": 5, "max_side_px": 256, "rejection_threshold": 0.3}
    manifest = {"name": "ocr", "version": version, "contract": OcrModel.contract, "facts": {**own, **facts}}
    files: dict[str, Path | bytes] = {
        bundles.GRAPH: graph,
        "charset.txt": "".join(f"{char}\n" for char in CHARSET).encode(),
        bundles.GOLDEN: b"[]",
    }
    bundles.write(root / "ocr" / str(version), files, manifest)
    return root / "ocr" / str(version)
