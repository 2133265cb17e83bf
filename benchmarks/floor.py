"""What a run costs at least: the products and bytes of a graph, and what a device gives of both."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

PRODUCTS = ("Conv", "Gemm", "MatMul", "GRU")
TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}


@dataclass(frozen=True)
class Work:
    """Of one run. products: pairs multiplied and added. elements: read or written by the layers that multiply, as if
    each kept nothing in a cache for the next."""

    products: float
    elements: float


@dataclass(frozen=True)
class Peaks:
    """What onnxruntime's own largest product and copy get here. flops: by bytes of a number, 2 and 4."""

    flops: Mapping[int, float]
    bytes_s: float

    def floor_s(self, work: Work, number_bytes: int) -> float:
        """The shortest time that arithmetic and memory allow."""
        flops = self.flops.get(number_bytes, self.flops[4])
        return max(2 * work.products / flops, work.elements * number_bytes / self.bytes_s)


def work(graph: Path, feeds: Mapping[str, np.ndarray[Any, Any]]) -> Work:
    """Counts what a run on these inputs does; it is run once, on the CPU, for the shapes."""
    model = onnx.load(graph)
    layers = [node for node in model.graph.node if node.op_type in PRODUCTS]
    given = {value.name for value in [*model.graph.output, *model.graph.input, *model.graph.initializer]}
    wanted = {name for node in layers for name in [*node.input[:3], node.output[0]] if name} - given
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted))
    session = ort.InferenceSession(model.SerializeToString(), _quiet(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]
    values = session.run(None, dict(feeds))
    shapes = {name: tuple(value.shape) for name, value in zip(names, values, strict=True)}
    shapes |= {name: tuple(value.shape) for name, value in feeds.items()}
    shapes |= {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}

    products = elements = 0.0
    for node in layers:
        taken = [shapes[name] for name in node.input[: 3 if node.op_type == "GRU" else 2]]
        made = shapes[node.output[0]]
        elements += sum(float(np.prod(shape)) for shape in (*taken, made))
        products += _products(node.op_type, taken, made)
    return Work(products, elements)


def _products(kind: str, taken: list[tuple[int, ...]], made: tuple[int, ...]) -> float:
    if kind == "Conv":
        return float(np.prod(made) * np.prod(taken[1][1:]))
    if kind == "GRU":  # (T, N, I) with (directions, 3 H, I) and (directions, 3 H, H)
        return float(np.prod(taken[0][:2]) * (np.prod(taken[1]) + np.prod(taken[2])))
    return float(np.prod(made) * taken[0][-1])


def peaks(device: str, side: int, numbers: int, seconds: float) -> Peaks:
    """Measures. side: of the square matrices that are multiplied. numbers: how many are copied."""
    flops = {}
    for kind in (np.float32, np.float16):
        try:
            took_s = _time("MatMul", [(side, side)] * 2, kind, device, seconds)
        except Exception as error:  # a CPU may have no product in fp16
            if kind is np.float32:
                raise
            print(f"fp16: {str(error).splitlines()[0]}")
        else:
            flops[np.dtype(kind).itemsize] = 2 * side**3 / took_s
    return Peaks(flops, 2 * 4 * numbers / _time("Neg", [(numbers,)], np.float32, device, seconds))


def _time(op: str, shapes: list[tuple[int, ...]], kind: type[Any], device: str, seconds: float) -> float:
    """The shortest run, in seconds, of a graph of one node whose tensors are on the device."""
    names = [f"x{number}" for number in range(len(shapes))]
    inputs = [helper.make_tensor_value_info(n, TYPES[kind], shape) for n, shape in zip(names, shapes, strict=True)]
    output = helper.make_tensor_value_info("y", TYPES[kind], shapes[0])
    graph = helper.make_graph([helper.make_node(op, names, ["y"])], op, inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    wanted = ["CPUExecutionProvider"] if device == "cpu" else ["CUDAExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), _quiet(), providers=wanted, enable_fallback=0)
    binding = session.io_binding()
    for name, shape in zip(names, shapes, strict=True):
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(np.ones(shape, kind), device, 0))
    binding.bind_ortvalue_output("y", ort.OrtValue.ortvalue_from_shape_and_type(shapes[0], kind, device, 0))
    best, end = float("inf"), time.perf_counter() + seconds
    while best == float("inf") or time.perf_counter() < end:
        start = time.perf_counter()
        session.run_with_iobinding(binding)
        best = min(best, time.perf_counter() - start)
    return best


def _quiet() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return options
