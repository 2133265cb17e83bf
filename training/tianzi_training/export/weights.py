"""Weights into a bundle's graph and out of it, so that training can go on where the checkpoint is gone."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx.external_data_helper import set_external_data
from torch import Tensor

from tianzi_training.config import ConfigError

PREFIX = "net."
"""What the exporter puts in front of the trained network's own names."""
HALVED, ROUNDED, SCALES = ".fp16", ".int8", ".scales"
"""Behind the names of weights stored as fp16, or as int8 with a scale a row."""
# Smaller tensors (biases, norms) stay fp32: they weigh nothing and carry the scale of everything.
MIN_ELEMENTS = 4096
_BLOCK = re.compile(r"features\.(\d+)\.(.+)")  # of an OcrNet


def store_smaller(source: Path, target: Path, rows: bool) -> None:
    """Large weights as fp16, with a Cast behind each that the runtime folds when it loads; what is computed stays fp32.

    rows: matrices as int8, with a scale a row: a quarter of the file.
    """
    model = onnx.load(source)
    restoring = []
    for tensor in [t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]:
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor)
        if values.size < MIN_ELEMENTS:
            continue
        if rows and values.ndim == 2:
            scales = np.abs(values).max(axis=1, keepdims=True) / 127
            scales[scales == 0] = 1
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.rint(values / scales).astype(np.int8), name + ROUNDED))
            model.graph.initializer.append(onnx.numpy_helper.from_array(scales, name + SCALES))
            cast, scaled = [name + ROUNDED], [f"{name}.float", name + SCALES]
            restoring += [onnx.helper.make_node("Cast", cast, scaled[:1], to=onnx.TensorProto.FLOAT)]
            restoring += [onnx.helper.make_node("Mul", scaled, [name])]
        else:
            tensor.CopyFrom(onnx.numpy_helper.from_array(half(values), name + HALVED))
            restoring += [onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*restoring, *nodes])
    # Traces of the exporter's source lines: half a megabyte that names this machine's folders.
    for node in model.graph.node:
        del node.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, target)


def share(graphs: Sequence[Path], target: Path) -> None:
    """Moves the large weights that all of some graphs hold alike into one file beside them, which they then name."""
    models = [onnx.load(graph) for graph in graphs]
    held = [{tensor.name: tensor for tensor in model.graph.initializer} for model in models]
    with target.open("wb") as file:
        for name, tensor in held[0].items():
            data = tensor.raw_data
            if len(data) < MIN_ELEMENTS or any(name not in one or one[name].raw_data != data for one in held):
                continue
            offset = -(-file.tell() // 4096) * 4096  # pages, so that it can be mapped
            file.seek(offset)
            file.write(data)
            for one in held:
                set_external_data(one[name], target.name, offset=offset, length=len(data))
                one[name].ClearField("raw_data")
    for model, graph in zip(models, graphs, strict=True):
        onnx.save(model, graph)


def half(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """fp16 within its range: a weight beyond it is a fault of training."""
    if float(np.abs(values).max()) > 65504:
        raise ConfigError("export: a weight is beyond fp16's range")
    return values.astype(np.float16)


def read_weights(graph: Path) -> dict[str, Tensor]:
    """Parameter or buffer name → tensor, for tianzi_training.loop.load_matching.

    Raises:
        OSError: no such file.
    """
    stored = {tensor.name: tensor for tensor in onnx.load(graph).graph.initializer if tensor.name.startswith(PREFIX)}
    weights = {}
    for full, tensor in stored.items():
        name = full.removeprefix(PREFIX)
        values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
        if name.endswith(ROUNDED):
            name = name.removesuffix(ROUNDED)
            values = values * onnx.numpy_helper.to_array(stored[PREFIX + name + SCALES])
        if not name.endswith(SCALES):
            weights[name.removesuffix(HALVED)] = torch.from_numpy(values.copy())
    return weights


def deepened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an OcrNet for one whose stages have more blocks, which so starts out as the same function.

    A block that the weights lack adds its input to nothing: its norm's scale is 0 (Net2Net, arXiv:1511.05641, and the
    zero of arXiv:1706.02677). own: the network's state. Weights of any other network are given back as they are.
    """
    theirs, ours = _places(weights), _places(own)
    moved = {theirs[place]: ours[place] for place in theirs.keys() & ours.keys()}
    renamed = {}
    for name, tensor in weights.items():
        block = _BLOCK.match(name)
        if block is None or block[1] not in theirs.values():
            renamed[name] = tensor
        elif block[1] in moved:
            renamed[f"features.{moved[block[1]]}.{block[2]}"] = tensor
    for place in ours.keys() - theirs.keys() if theirs else ():
        name = f"features.{ours[place]}.norm.weight"
        renamed[name] = torch.zeros_like(own[name])
    return renamed


def _places(weights: Mapping[str, Tensor]) -> dict[tuple[int, int], str]:
    """(stage, number within it) → the block's number. A stage begins where the channels change."""
    places: dict[tuple[int, int], str] = {}
    stage = within = -1
    number = 0
    while (kernel := weights.get(f"features.{number}.conv.weight")) is not None:
        same = kernel.shape[0] == kernel.shape[1]
        stage, within = (stage, within + 1) if same else (stage + 1, 0)
        places[stage, within] = str(number)
        number += 1
    return places


def widened(weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an OcrNet for one whose layers have more channels, which so starts out as the same function.

    Channels that the weights lack begin at random, and what follows them takes nothing from them (Net2Net's aim,
    arXiv:1511.05641, without its copies). own: the network's state, fresh. Weights of any other network, and those of
    another number of classes, which would be other classes' rows, are given back as they are.
    """
    wide = dict(weights)
    for name, narrow in weights.items() if _places(weights) else ():
        mine = own.get(name)
        if mine is None or mine.shape == narrow.shape or mine.ndim != narrow.ndim:
            continue
        if name.startswith("head.") and mine.shape[0] != narrow.shape[0]:
            continue
        if all(new >= old for new, old in zip(mine.shape, narrow.shape, strict=True)):
            filled = mine.detach().clone()
            if filled.ndim > 1:
                filled[: narrow.shape[0], narrow.shape[1] :] = 0
            filled[tuple(slice(size) for size in narrow.shape)] = narrow
            wide[name] = filled
    return wide
