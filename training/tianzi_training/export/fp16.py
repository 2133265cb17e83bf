"""fp32 graph → fp16 graph for graphics cards, kept where it reads as well: see export."""

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

PRODUCTS = ("Conv", "Gemm", "MatMul")


def to_half(source: Path, target: Path) -> None:
    """Writes a graph that computes in fp16 from the first layer to the logits; inputs, outputs and softmax stay fp32.

    Raises:
        onnx.checker.ValidationError: the graph has something that the converter does not know.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded = Path(folder) / "folded.onnx"
        quant_pre_process(str(source), str(folded), skip_symbolic_shape=True)
        model = onnx.load(folded)
    model = convert_float_to_float16(model, keep_io_types=True, node_block_list=kept_nodes(model))
    drop_round_trips(model)
    OnnxModel(model).prune_graph()
    OnnxModel(model).topological_sort()  # the converter puts its casts at the end
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, target)


def kept_nodes(model: onnx.ModelProto) -> list[str]:
    """Names of the nodes that the logits do not come from: penalties and softmax, whose range fp16 cannot hold."""
    nodes = list(model.graph.node)
    makers = {output: node for node in nodes for output in node.output}
    waiting = [next(node for node in reversed(nodes) if node.op_type in PRODUCTS)]
    needed = set()
    while waiting:
        node = waiting.pop()
        if node.name not in needed:
            needed.add(node.name)
            waiting += [makers[name] for name in node.input if name in makers]
    return [node.name for node in nodes if node.name not in needed]


def drop_round_trips(model: onnx.ModelProto) -> None:
    """The converter goes to fp16 and back between any two nodes that stay fp32: takes the way there out."""
    casts = [node for node in model.graph.node if node.op_type == "Cast"]
    halved = {node.output[0]: node.input[0] for node in casts if node.attribute[0].i == onnx.TensorProto.FLOAT16}
    for node in casts:
        if node.attribute[0].i == onnx.TensorProto.FLOAT:
            node.input[0] = halved.get(node.input[0], node.input[0])
