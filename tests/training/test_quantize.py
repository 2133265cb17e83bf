"""Graphs of fewer bits: products of int8 answer like the exact ones, and both graphs share their weights' file."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tianzi_models.runtime import Session
from tianzi_training.export.quantize import quantize_products
from tianzi_training.export.weights import ROUNDED, SCALES, read_weights, share, store_smaller

INNER, OUTER, ROWS = 96, 64, 200


def weights() -> dict[str, np.ndarray]:
    """Matrices as (out, in), an embedding, a bias, and a tensor of three axes."""
    rng = np.random.default_rng(0)
    shapes = {"net.a.weight": (OUTER, INNER), "net.rows.weight": (ROWS, INNER), "net.bias": (OUTER,)}
    return {name: rng.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def write_graph(path: Path) -> None:
    """y = rows[i] · aᵀ + bias; z = y · yᵀ, a product of nothing stored."""
    nodes = [
        helper.make_node("Gather", ["net.rows.weight", "i"], ["x"]),
        helper.make_node("Transpose", ["net.a.weight"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "turned"], ["product"], "named"),
        helper.make_node("Add", ["product", "net.bias"], ["y"]),
        helper.make_node("Transpose", ["y"], ["y_turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["y", "y_turned"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ["N"])],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", OUTER]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", "N"]),
        ],
        [numpy_helper.from_array(values, name) for name, values in weights().items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture
def graphs(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The graph of floats, the one of stored int8, and the one that multiplies int8."""
    exact, stored, products = (tmp_path / f"{name}.onnx" for name in ("exact", "model", "model.int8"))
    write_graph(exact)
    store_smaller(exact, stored, rows=True)
    quantize_products(stored, products)
    return exact, stored, products


def answers(graph: Path) -> dict[str, np.ndarray]:
    return Session(graph, "cpu").run({"i": np.arange(30)})


def test_products_of_int8_answer_like_exact_ones(graphs: tuple[Path, Path, Path]) -> None:
    exact, stored, products = map(answers, graphs)
    assert np.abs(stored["y"] - exact["y"]).max() < 0.05 * exact["y"].std()
    assert np.abs(products["y"] - stored["y"]).max() < 0.1 * exact["y"].std()
    assert not np.array_equal(products["y"], stored["y"])


def test_stored_matrices_alone_are_multiplied_so(graphs: tuple[Path, Path, Path]) -> None:
    kinds = [node.op_type for node in onnx.load(graphs[2]).graph.node]
    assert (kinds.count("DynamicQuantizeMatMul"), kinds.count("MatMul")) == (1, 1)
    floats = {tensor.name for tensor in onnx.load(graphs[2]).graph.initializer if tensor.data_type == TensorProto.FLOAT}
    assert floats == {"net.bias", f"net.a.weight{SCALES}", f"net.rows.weight{SCALES}"}


def test_both_graphs_name_the_file_of_their_weights(graphs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, stored, products = graphs
    before, sizes = list(map(answers, (stored, products))), [path.stat().st_size for path in (stored, products)]
    file = tmp_path / "weights.bin"
    share([stored, products], file)
    for graph, size in zip((stored, products), sizes, strict=True):
        assert graph.stat().st_size < size - INNER * (OUTER + ROWS) / 2
        tensors = onnx.load(graph, load_external_data=False).graph.initializer
        outside = {t.name: {entry.key: entry.value for entry in t.external_data} for t in tensors if t.external_data}
        assert outside.keys() == {f"net.a.weight{ROUNDED}", f"net.rows.weight{ROUNDED}"}
        assert {place["location"] for place in outside.values()} == {"weights.bin"}
        assert all(int(place["offset"]) % 4096 == 0 for place in outside.values())
    assert file.stat().st_size >= INNER * (OUTER + ROWS)
    for graph, expected in zip((stored, products), before, strict=True):
        for name, values in answers(graph).items():
            np.testing.assert_array_equal(values, expected[name])


def test_weights_are_read_back_from_their_own_file(graphs: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, stored, products = graphs
    share([stored, products], tmp_path / "weights.bin")
    for graph in (stored, products):
        found = read_weights(graph)
        assert found.keys() == {name.removeprefix("net.") for name in weights()}
        for name, values in weights().items():
            steps = np.abs(values).max(-1, keepdims=True) / 127
            assert (np.abs(found[name.removeprefix("net.")].numpy() - values) <= steps / 2 + 1e-6).all()
            assert found[name.removeprefix("net.")].dtype == torch.float32
