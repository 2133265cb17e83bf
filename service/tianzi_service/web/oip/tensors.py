"""Requests and answers of /infer in JSON, with Triton's binary tensors behind it, ↔ gRPC's messages."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.oip.tensors import BYTES, DATATYPES, LENGTH, shown
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.web.encoding import decode_bytes
from tianzi_service.web.errors import Reply, json_reply
from tianzi_service.web.forms import read_json

HEAD_LENGTH = b"inference-header-content-length"
"""Of a body that is JSON and then bytes: how long the JSON is."""
FILES = {"image"}
"""Tensors of files, which JSON carries in base64; those of texts are themselves."""
KNOWN = {"id", "parameters", "inputs", "outputs", "model_name", "model_version"}


class Binary(NamedTuple):
    """Which outputs are to be bytes behind the JSON."""

    by_name: Mapping[str, bool]
    otherwise: bool

    def wanted(self, name: str) -> bool:
        return self.by_name.get(name, self.otherwise)


def read_infer(body: bytes, head_length: str, model: str, version: str) -> tuple[oip.ModelInferRequest, Binary]:
    """The request in gRPC's form.

    Raises:
        InvalidInput: it is not of the protocol's form. What its tensors hold is checked with gRPC's.
    """
    if head_length and not (head_length.isdigit() and int(head_length[:10]) <= len(body)):
        raise InvalidInput(HEAD_LENGTH.decode(), f"must be 0 to {len(body)}, the body's length")
    cut = int(head_length) if head_length else len(body)
    data = _object("body", read_json(body[:cut]))
    if strange := next((name for name in data if name not in KNOWN), None):
        raise InvalidInput("body", f"{shown(strange)} is not known, must be among {', '.join(sorted(KNOWN))}")
    request = oip.ModelInferRequest(model_name=model, model_version=version, id=_text("id", data.get("id", "")))
    parameters = _object("parameters", data.get("parameters") or {})
    otherwise = _flag("parameters.binary_data_output", parameters.pop("binary_data_output", False))
    _parameters(request.parameters, parameters, "parameters")
    behind = memoryview(body)[cut:]
    taken = [_input(request, one, behind) for one in _list("inputs", data.get("inputs"))]
    if sum(size or 0 for size in taken) != len(behind):
        raise InvalidInput("body", f"{len(behind)} bytes behind the JSON, its inputs name {sum(s or 0 for s in taken)}")
    if any(size is not None for size in taken):
        _make_raw(request, taken, behind)
    return request, Binary(dict(_outputs(request, data.get("outputs") or [])), otherwise)


def write_infer(response: oip.ModelInferResponse, binary: Binary) -> Reply:
    """The answer, with the outputs that were wanted so as bytes behind it."""
    behind: list[bytes] = []
    outputs: list[dict[str, Any]] = []
    for number, tensor in enumerate(response.outputs):
        raw = response.raw_output_contents[number] if response.raw_output_contents else None
        told: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if binary.wanted(tensor.name):
            behind.append(_packed(tensor) if raw is None else raw)
            told["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            told["data"] = _shown_values(tensor, raw)
        outputs.append(told)
    data: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id:
        data["id"] = response.id
    head = json_reply({**data, "outputs": outputs})
    if not behind:
        return head
    length = (HEAD_LENGTH, str(len(head.body)).encode())
    return Reply(200, head.body + b"".join(behind), ((b"content-type", b"application/octet-stream"), length))


def _input(request: oip.ModelInferRequest, data: Any, behind: memoryview) -> int | None:
    """Adds an input; its size among the bytes behind, None where its values are in the JSON."""
    given = _object("inputs", data)
    name = _text("inputs.name", given.get("name", ""))
    shape = [_whole(f"{name}.shape", size) for size in _list(f"{name}.shape", given.get("shape"))]
    tensor = request.inputs.add(name=name, datatype=_text(f"{name}.datatype", given.get("datatype", "")))
    tensor.shape.extend(shape)
    parameters = _object(f"{name}.parameters", given.get("parameters") or {})
    size = parameters.pop("binary_data_size", None)
    _parameters(tensor.parameters, parameters, f"{name}.parameters")
    if size is not None:
        if "data" in given:
            raise InvalidInput(name, "data beside binary_data_size, must be one of them")
        if not 0 <= _whole(f"{name}.binary_data_size", size) <= len(behind):
            raise InvalidInput(name, f"binary_data_size {size}, {len(behind)} bytes are behind the JSON")
        return int(size)
    values = list(_flat(_list(f"{name}.data", given.get("data"))))
    kind = DATATYPES.get(tensor.datatype)
    if kind is None:
        return None  # the datatype is refused where tensors are checked
    if tensor.datatype == BYTES:
        values = [_element(name, number, value) for number, value in enumerate(values)]
    try:
        getattr(tensor.contents, kind.contents).extend(values)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(name, f"an element that is no {tensor.datatype}") from None
    return None


def _make_raw(request: oip.ModelInferRequest, sizes: list[int | None], behind: memoryview) -> None:
    """All inputs in raw form, as gRPC wants it: where one is, all are."""
    at = 0
    for tensor, size in zip(request.inputs, sizes, strict=True):
        if size is None:
            request.raw_input_contents.append(_packed(tensor))
            tensor.ClearField("contents")
        else:
            request.raw_input_contents.append(bytes(behind[at : at + size]))
            at += size


def _outputs(request: oip.ModelInferRequest, data: Any) -> Iterator[tuple[str, bool]]:
    """Adds the outputs that are asked for; whether each is to be binary, where it says so."""
    for one in _list("outputs", data):
        given = _object("outputs", one)
        name = _text("outputs.name", given.get("name", ""))
        parameters = _object("outputs.parameters", given.get("parameters") or {})
        if "binary_data" in parameters:
            yield name, _flag("outputs.binary_data", parameters.pop("binary_data"))
        _parameters(request.outputs.add(name=name).parameters, parameters, "outputs.parameters")


def _packed(tensor: Any) -> bytes:
    """Typed contents in raw form."""
    kind = DATATYPES.get(tensor.datatype)
    if kind is None:
        return b""
    values = getattr(tensor.contents, kind.contents)
    if tensor.datatype == BYTES:
        return b"".join(LENGTH.pack(len(item)) + item for item in values)
    return np.array(values).astype(kind.dtype).tobytes()


def _shown_values(tensor: Any, raw: bytes | None) -> list[Any]:
    """An output's values as JSON has them, row by row."""
    kind = DATATYPES[tensor.datatype]
    if tensor.datatype == BYTES:
        items = getattr(tensor.contents, kind.contents) if raw is None else _split(raw, math.prod(tensor.shape))
        return [item.decode() for item in items]
    values = getattr(tensor.contents, kind.contents) if raw is None else np.frombuffer(raw, kind.dtype).tolist()
    if tensor.datatype == "FP32":
        return [float(str(value)) for value in np.array(values, np.float32)]
    return list(values)


def _split(raw: bytes, count: int) -> Iterator[bytes]:
    """The elements of a raw tensor of our own."""
    at = 0
    for _ in range(count):
        (length,) = LENGTH.unpack_from(raw, at)
        at += LENGTH.size + length
        yield raw[at - length : at]


def _element(name: str, number: int, value: Any) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"{name}[{number}]", "must be a text")
    if name in FILES:
        return decode_bytes(f"{name}[{number}]", value)
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(f"{name}[{number}]", "holds half of a surrogate pair") from None


def _parameters(into: Any, given: Mapping[str, Any], path: str) -> None:
    for name, value in given.items():
        match value:
            case bool():
                into[name].bool_param = value
            case int() if -(2**63) <= value < 2**63:
                into[name].int64_param = value
            case float():
                into[name].double_param = value
            case str():
                into[name].string_param = value
            case _:
                raise InvalidInput(path, f"{shown(name)} must be true, false, a number or a text")


def _flat(values: list[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _object(field: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(field, "must be an object")
    return value


def _list(field: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(field, "must be a list")
    return value


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(field, "must be a text")
    return value


def _whole(field: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise InvalidInput(field, "must be a whole number")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field, "must be true or false")
    return value
