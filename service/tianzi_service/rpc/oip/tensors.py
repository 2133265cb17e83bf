"""Tensors of the Open Inference Protocol ↔ NumPy. Every length is checked before NumPy sees the bytes."""

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip

Array: TypeAlias = npt.NDArray[Any]
"""BYTES are an array of objects, each a bytes."""

SHOWN = 40
"""Characters of a caller's own word that an error repeats: messages travel in headers of some kilobytes."""
LENGTH = struct.Struct("<I")
"""What precedes each element of a raw BYTES tensor."""


@dataclass(frozen=True)
class Datatype:
    """dtype: NumPy's, little-endian, as raw contents are. contents: the field of InferTensorContents."""

    dtype: "np.dtype[Any]"
    contents: str


BYTES = "BYTES"
DATATYPES = {
    BYTES: Datatype(np.dtype(object), "bytes_contents"),
    "BOOL": Datatype(np.dtype("?"), "bool_contents"),
    "UINT8": Datatype(np.dtype("u1"), "uint_contents"),
    "INT32": Datatype(np.dtype("<i4"), "int_contents"),
    "FP32": Datatype(np.dtype("<f4"), "fp32_contents"),
}


@dataclass(frozen=True)
class Spec:
    """A tensor that a model takes or gives. shape: -1 where any length will do; its first dimension is the rows."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    optional: bool = False


def read(request: oip.ModelInferRequest, specs: Sequence[Spec], max_rows: int) -> dict[str, Array]:
    """The request's input tensors by name; all have the same number of rows, 1 to max_rows.

    Raises:
        InvalidInput: a tensor is unknown, missing, given twice, of another datatype or shape, or its contents are not
            what its shape says.
    """
    known = {spec.name: spec for spec in specs}
    raw = _raw_contents(request)
    arrays: dict[str, Array] = {}
    rows = 0
    for tensor, content in zip(request.inputs, raw, strict=True):
        spec = known.get(tensor.name)
        if spec is None:
            raise InvalidInput("inputs", f"{shown(tensor.name)} is not known, must be among {', '.join(known)}")
        if spec.name in arrays:
            raise InvalidInput(spec.name, "given twice")
        shape = _shape(tensor, spec, max_rows)
        if arrays and shape[0] != rows:
            raise InvalidInput(spec.name, f"{shape[0]} rows, {next(iter(arrays))} has {rows}")
        rows = shape[0]
        arrays[spec.name] = _typed(spec, tensor.contents, shape) if content is None else _raw(spec, content, shape)
    for spec in specs:
        if not spec.optional and spec.name not in arrays:
            raise InvalidInput(spec.name, "missing")
    return arrays


def write(response: oip.ModelInferResponse, spec: Spec, array: Array, raw: bool) -> None:
    """Appends an output tensor, its contents in raw form or typed."""
    tensor = response.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
    kind = DATATYPES[spec.datatype]
    if not raw:
        getattr(tensor.contents, kind.contents).extend(array.ravel().tolist())
    elif spec.datatype == BYTES:
        response.raw_output_contents.append(b"".join(LENGTH.pack(len(item)) + item for item in array.ravel()))
    else:
        response.raw_output_contents.append(np.ascontiguousarray(array, kind.dtype).tobytes())


def shown(text: str) -> str:
    """A caller's word as an error repeats it."""
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "…")


def _raw_contents(request: oip.ModelInferRequest) -> Sequence[bytes | None]:
    """The raw contents of each input; None for all where they are typed."""
    for tensor in request.inputs:
        if shared := next((name for name in tensor.parameters if name.startswith("shared_memory")), None):
            raise InvalidInput("inputs", f"parameter {shown(shared)}: shared memory is not supported")
    if not request.raw_input_contents:
        return [None] * len(request.inputs)
    if any(tensor.contents.ByteSize() for tensor in request.inputs):
        raise InvalidInput("raw_input_contents", "mixed with typed contents, must be used for all inputs or for none")
    if len(request.raw_input_contents) != len(request.inputs):
        given = len(request.raw_input_contents)
        raise InvalidInput("raw_input_contents", f"{given} entries, must be one an input = {len(request.inputs)}")
    return request.raw_input_contents


def _shape(tensor: oip.ModelInferRequest.InferInputTensor, spec: Spec, max_rows: int) -> tuple[int, ...]:
    if tensor.datatype != spec.datatype:
        raise InvalidInput(spec.name, f"datatype {shown(tensor.datatype)}, must be {spec.datatype}")
    shape = tuple(tensor.shape)
    fits = len(shape) == len(spec.shape) and all(
        want in (-1, size) for size, want in zip(shape, spec.shape, strict=True)
    )
    if not fits or min(shape) < 0:
        seen = f"{list(shape[:SHOWN])}"
        raise InvalidInput(spec.name, f"shape {seen}, must be {list(spec.shape)}, where -1 is any length")
    if not 1 <= shape[0] <= max_rows:
        raise InvalidInput(spec.name, f"{shape[0]} rows, must be 1 to {max_rows}")
    return shape


def _raw(spec: Spec, content: bytes, shape: tuple[int, ...]) -> Array:
    count = math.prod(shape)
    if spec.datatype == BYTES:
        return _objects(_split(spec.name, content, count), shape)
    dtype = DATATYPES[spec.datatype].dtype
    if len(content) != count * dtype.itemsize:
        size = f"shape {list(shape)} × {dtype.itemsize} bytes = {count * dtype.itemsize}"
        raise InvalidInput(spec.name, f"{len(content)} bytes, must be {size}")
    return np.frombuffer(content, dtype).reshape(shape)


def _split(name: str, content: bytes, count: int) -> list[bytes]:
    """The elements of a raw BYTES tensor."""
    if len(content) < count * LENGTH.size:  # else a short message could announce elements by the billion
        raise InvalidInput(name, f"{len(content)} bytes, too few for {count} elements")
    return list(_elements(name, content, count))


def _elements(name: str, content: bytes, count: int) -> Iterator[bytes]:
    at = 0
    for number in range(count):
        if at + LENGTH.size > len(content):
            raise InvalidInput(f"{name}[{number}]", f"ends after {len(content)} bytes, before its length")
        (length,) = LENGTH.unpack_from(content, at)
        at += LENGTH.size
        if at + length > len(content):
            raise InvalidInput(f"{name}[{number}]", f"{length} bytes announced, {len(content) - at} there")
        yield content[at : at + length]
        at += length
    if at != len(content):
        raise InvalidInput(name, f"{len(content) - at} bytes after its {count} elements")


def _typed(spec: Spec, contents: oip.InferTensorContents, shape: tuple[int, ...]) -> Array:
    kind, count = DATATYPES[spec.datatype], math.prod(shape)
    others = [field.name for field, _ in contents.ListFields() if field.name != kind.contents]
    if others:
        raise InvalidInput(spec.name, f"contents in {others[0]}, must be in {kind.contents}")
    values = getattr(contents, kind.contents)
    if len(values) != count:
        raise InvalidInput(spec.name, f"{len(values)} elements, must be shape {list(shape)} = {count}")
    if spec.datatype == BYTES:
        return _objects(values, shape)
    wide = np.array(values, np.int64)  # UINT8, the only number that a model takes
    if ((wide < 0) | (wide > 255)).any():
        raise InvalidInput(spec.name, "an element over 255, the most that UINT8 holds")
    return wide.astype(kind.dtype).reshape(shape)


def _objects(items: Sequence[bytes], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return array.reshape(shape)
