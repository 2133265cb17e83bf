"""A graph → its int8 graph for CPUs, kept where it answers as well: static in QDQ form, or dynamic for matrices."""

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxscript.optimizer
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from tianzi_training.export.weights import ROUNDED, SCALES

Feeds = Mapping[str, np.ndarray[Any, Any]]

MICROSOFT = "com.microsoft"

QUANTISED = ("Conv", "Gemm", "MatMul", "Add")


def fuse_norms(module: nn.Module) -> nn.Module:
    """A copy for inference in which each batch norm is part of the layer before it.

    The layer is its sibling `conv` or `embed`, the norm is `norm`: so the networks name them.
    """
    fused = copy.deepcopy(module).eval()
    for owner in fused.modules():
        norm = getattr(owner, "norm", None)
        if isinstance(norm, nn.BatchNorm2d):
            owner.conv = fuse_conv_bn_eval(owner.conv, norm)
        elif isinstance(norm, nn.BatchNorm1d):
            owner.embed = fuse_linear_bn_eval(owner.embed, norm)
        else:
            continue
        owner.norm = nn.Identity()
    return fused


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._rest: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> dict[str, Any] | None:
        feeds = next(self._rest, None)
        return None if feeds is None else dict(feeds)


def quantize(source: Path, target: Path, calibration: Sequence[Feeds]) -> None:
    """Writes the int8 graph. calibration: inputs like those that will be served.

    Weights have seven bits: x86 without VNNI adds pairs of products in sixteen bits, which eight would overflow.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        quantize_static(
            str(folded),
            str(target),
            _Reader(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            nodes_to_quantize=quantised_nodes(onnx.load(folded)),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    model = onnx.load(target)
    keep_logits(model.graph)
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.save(model, target)


def quantize_products(source: Path, target: Path) -> None:
    """Writes a graph whose products with stored matrices are of int8, the other factor rounded as it comes.

    source: as export.weights.store_smaller writes it, with matrices as int8 and a scale a row: they stay as they are.
    """
    model = onnx.load(source)
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    stored = {tensor.name for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        turned = makers.get(node.input[1]) if node.op_type == "MatMul" else None
        name = turned.input[0] if turned is not None and turned.op_type == "Transpose" else ""
        if name + ROUNDED not in stored:
            nodes.append(node)
            continue
        matrix, scales = f"{name}.turned", f"{name}.row"
        nodes += [
            onnx.helper.make_node("Transpose", [name + ROUNDED], [matrix], perm=[1, 0]),
            onnx.helper.make_node("Reshape", [name + SCALES, "to_row"], [scales]),
            onnx.helper.make_node(
                "DynamicQuantizeMatMul", [node.input[0], matrix, scales], node.output, node.name, domain=MICROSOFT
            ),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "to_row"))
    if all(entry.domain != MICROSOFT for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    onnxscript.optimizer.remove_unused_nodes(model)
    onnx.save(model, target)


def keep_logits(graph: onnx.GraphProto) -> None:
    """Takes out the rounding of the last product to 256 levels: the product gives floats as well, and sooner.

    With it one character in a hundred distorted ones has a rival of the very same confidence.
    """
    last = [node for node in graph.node if node.op_type in ("Gemm", "MatMul")][-1]
    readers = {name: node for node in graph.node for name in node.input}
    rounded = readers[last.output[0]]
    assert rounded.op_type == "QuantizeLinear", rounded.op_type
    restored = readers[rounded.output[0]]
    for node in graph.node:
        node.input[:] = [last.output[0] if name == restored.output[0] else name for name in node.input]
    graph.node.remove(rounded)
    graph.node.remove(restored)
    for tensor in [t for t in graph.initializer if t.name in rounded.input[1:]]:
        graph.initializer.remove(tensor)


def quantised_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes between the first convolution and the logits.

    The first convolution has one channel: int8 makes it slower. Behind the last product come penalties and softmax,
    whose range int8 cannot hold.
    """
    nodes = list(model.graph.node)
    products = [i for i, node in enumerate(nodes) if node.op_type in ("Conv", "Gemm", "MatMul")]
    return [node.name for node in nodes[products[0] + 1 : products[-1] + 1] if node.op_type in QUANTISED]
