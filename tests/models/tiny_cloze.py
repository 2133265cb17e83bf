"""A tiny cloze bundle whose answers can be worked out: P(candidate) = softmax over how often each one stands there."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from tianzi_models import bundle as bundles
from tianzi_models.cloze.lexicon import Lexicon
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.pieces import SPECIAL, Pieces
from tianzi_models.runtime import Session

LIMITS = {"max_characters": 200, "max_blanks": 3, "max_candidates": 4, "max_top_k": 10}
THRESHOLDS = {
    "temperature": 1.0,
    "text_temperature": 1.0,
    "candidates_temperature": 1.0,
    "candidates_prior": 0.0,
    "fits_scale": 0.0,
    "fits_shift": 20.0,
    "reject_any": 0.0,
    "reject_candidates": -1e9,
}
KNOWN_WORDS = ("国王", "猫", "鱼")
VARIANTS = {"國": "国", "貓": "猫", "魚": "鱼", "!": "！"}
MAX_PIECES = 6


def cloze_graph(path: Path, lexicon: float | None = None) -> None:
    """How well a candidate fits is how often match names it; nothing is pointed at; the same for each blank.

    lexicon: how well KNOWN_WORDS fit; None: the lexicon offers no word and weighs nothing.
    """
    known = 0 if lexicon is None else len(KNOWN_WORDS)
    total = -1e4 if lexicon is None else lexicon + np.log(len(KNOWN_WORDS))
    constants = {
        "one": np.array(1, np.int64),
        "axis1": np.array([1], np.int64),
        "axis2": np.array([2], np.int64),
        "words": np.array([known], np.int64),
        "nowhere": np.array(-1e4, np.float32),
        "best": np.arange(known, dtype=np.int64),
        "best_fit": np.full(known, lexicon or 0.0, np.float32),
        "no_prior": np.array(0, np.float32),
        "total": np.array(total, np.float32),
    }
    nodes = [
        helper.make_node("Shape", ["candidate_words"], ["k"], start=1, end=2),
        helper.make_node("Squeeze", ["k"], ["count"]),
        helper.make_node("Add", ["count", "one"], ["end"]),
        helper.make_node("Range", ["one", "end", "one"], ["numbers"]),
        helper.make_node("Unsqueeze", ["match", "axis2"], ["match3"]),
        helper.make_node("Equal", ["match3", "numbers"], ["stands"]),
        helper.make_node("Cast", ["stands"], ["ones"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ones", "axis1"], ["counts"], keepdims=0),
        helper.make_node("Unsqueeze", ["counts", "axis1"], ["counts3"]),
        helper.make_node("Shape", ["blanks"], ["nq"]),
        helper.make_node("Concat", ["nq", "k"], ["shape"], axis=0),
        helper.make_node("Expand", ["counts3", "shape"], ["fit"]),
        helper.make_node("Expand", ["nowhere", "shape"], ["point"]),
        helper.make_node("Concat", ["nq", "words"], ["top_shape"], axis=0),
        helper.make_node("Expand", ["best", "top_shape"], ["top"]),
        helper.make_node("Expand", ["best_fit", "top_shape"], ["top_fit"]),
        helper.make_node("Expand", ["total", "nq"], ["lexicon"]),
        helper.make_node("Mul", ["counts", "no_prior"], ["prior"]),
    ]
    integers = {
        "pieces": ["W", "T"],
        "first": ["N", "L"],
        "last": ["N", "L"],
        "codes": ["N", "L"],
        "match": ["N", "L"],
        "blanks": ["N", "Q"],
        "candidate_words": ["N", "K"],
        "candidate_pieces": ["N", "K", MAX_PIECES],
    }
    floats = {"fit": "NQK", "point": "NQK", "top_fit": "NQM", "lexicon": "NQ", "prior": "NK"}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in integers.items()],
        [
            *(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(axes)) for name, axes in floats.items()),
            helper.make_tensor_value_info("top", TensorProto.INT64, ["N", "Q", "M"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    save(model, path)


def tiny_lexicon() -> Lexicon:
    """Words, pieces (one a character) and variants of the tiny bundle."""
    characters = sorted(set("".join(KNOWN_WORDS)) | set("！"))
    return Lexicon(KNOWN_WORDS, Pieces([*SPECIAL, *characters], [0.0] * (len(SPECIAL) + len(characters))), VARIANTS)


def write_cloze_bundle(root: Path, version: int = 1, lexicon: float | None = None, **facts: Any) -> Path:
    """A bundle of the tiny graph under root/cloze/version; facts replace its own. lexicon: see cloze_graph."""
    root.mkdir(parents=True, exist_ok=True)
    graph = root / "graph.onnx"
    cloze_graph(graph, lexicon)
    own = {**LIMITS, **THRESHOLDS, **facts}
    manifest = {"name": "cloze", "version": version, "contract": ClozeModel.contract, "facts": own}
    files: dict[str, Path | bytes] = {bundles.GRAPH: graph, **tiny_lexicon().to_files(), bundles.GOLDEN: b"[]"}
    bundles.write(root / "cloze" / str(version), files, manifest)
    return root / "cloze" / str(version)


def load_cloze(root: Path, lexicon: float | None = None, **facts: object) -> ClozeModel:
    """The tiny model, written under root and opened; facts replace its own. lexicon: see cloze_graph."""
    bundle = bundles.load(write_cloze_bundle(root, 1, lexicon, **facts), ClozeModel.contract)
    return ClozeModel(bundle, Session(bundle.graph, "cpu"))
