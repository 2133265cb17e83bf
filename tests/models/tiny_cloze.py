"""A tiny cloze bundle whose answers can be worked out: P(candidate) = softmax over how often each one stands there."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

from tianzi_models import bundle as bundles
from tianzi_models.cloze.model import CHARS, WORDS, ClozeModel
from tianzi_models.cloze.text import CHARS_PER_WORD, RESERVED
from tianzi_models.runtime import Session
from tianzi_models.vocab import Vocab

LIMITS = {"max_characters": 200, "max_blanks": 3, "max_candidates": 4, "max_top_k": 10}
KNOWN_WORDS = ("国王", "猫", "鱼")
VARIANTS = {"國": "国", "貓": "猫", "魚": "鱼", "!": "！"}


def cloze_graph(path: Path) -> None:
    """Counts of match, padding masked, softmax, the same for each blank."""
    constants = {
        "zero": np.array(0, np.int64),
        "one": np.array(1, np.int64),
        "axis1": np.array([1], np.int64),
        "axis2": np.array([2], np.int64),
        "masked": np.array(-1e9, np.float32),
        "keep": np.array(0, np.float32),
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
        helper.make_node("Equal", ["candidate_words", "zero"], ["padding"]),
        helper.make_node("Where", ["padding", "masked", "keep"], ["mask"]),
        helper.make_node("Add", ["counts", "mask"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs2"], axis=1),
        helper.make_node("Unsqueeze", ["probs2", "axis1"], ["probs3"]),
        helper.make_node("Shape", ["blanks"], ["nq"]),
        helper.make_node("Concat", ["nq", "k"], ["shape"], axis=0),
        helper.make_node("Expand", ["probs3", "shape"], ["probs"]),
    ]
    integers = {
        "words": ["N", "T"],
        "chars": ["N", "T", CHARS_PER_WORD],
        "blanks": ["N", "Q"],
        "candidate_words": ["N", "K"],
        "candidate_chars": ["N", "K", CHARS_PER_WORD],
        "match": ["N", "T"],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name, shape in integers.items()],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", "Q", "K"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    checker.check_model(model)
    save(model, path)


def vocabularies() -> tuple[Vocab, Vocab]:
    """Words and characters of the tiny bundle."""
    chars = sorted(set("".join(KNOWN_WORDS)) | set("！"))
    return Vocab([*RESERVED, *KNOWN_WORDS]), Vocab([*RESERVED, *chars], VARIANTS)


def write_cloze_bundle(root: Path, version: int = 1, **facts: Any) -> Path:
    """A bundle of the tiny graph under root/cloze/version; facts replace its own."""
    root.mkdir(parents=True, exist_ok=True)
    graph = root / "graph.onnx"
    cloze_graph(graph)
    words, chars = vocabularies()
    own = {**LIMITS, "chars_per_word": CHARS_PER_WORD}
    manifest = {"name": "cloze", "version": version, "contract": ClozeModel.contract, "facts": {**own, **facts}}
    files: dict[str, Path | bytes] = {
        bundles.GRAPH: graph,
        WORDS: words.to_text().encode(),
        CHARS: chars.to_text().encode(),
        bundles.GOLDEN: b"[]",
    }
    bundles.write(root / "cloze" / str(version), files, manifest)
    return root / "cloze" / str(version)


def load_cloze(root: Path, **facts: object) -> ClozeModel:
    """The tiny model, written under root and opened; facts replace its own."""
    bundle = bundles.load(write_cloze_bundle(root, **facts), ClozeModel.contract)
    return ClozeModel(bundle, Session(bundle.graph, "cpu"))
