"""What is fuzzed. Each target takes any bytes and raises unless they are read, or refused as bad input."""

import struct
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from tianzi_models import bundle as bundles
from tianzi_models.cloze.lexicon import PIECES, VARIANTS, WORDS, Lexicon
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.cloze.text import TextEncoder
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.image import decode_image, normalize_crop
from tianzi_service.rpc.oip.adapters import Parameters
from tianzi_service.rpc.oip.servicer import ADAPTERS
from tianzi_service.rpc.oip.tensors import BYTES, Spec, read
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MAX_SIDE_PX, CROP_PX, MAX_ROWS = 1024, 48, 16


def image(data: bytes) -> None:
    """An encoded image."""
    try:
        gray = decode_image(data, MAX_SIDE_PX)
    except InvalidInput:
        return
    assert gray.dtype == np.uint8
    assert gray.ndim == 2
    assert max(gray.shape) <= MAX_SIDE_PX
    crop = normalize_crop(gray, CROP_PX)
    assert crop.dtype == np.uint8
    assert crop.shape == (CROP_PX, CROP_PX)


def tensors(data: bytes) -> None:
    """A whole request of the Open Inference Protocol, then the same bytes as the raw contents of a BYTES tensor."""
    try:
        request = oip.ModelInferRequest.FromString(data)
    except DecodeError:
        pass
    else:
        for adapter in ADAPTERS.values():
            try:
                arrays = read(request, adapter.inputs, MAX_ROWS)
                rows = adapter.requests(arrays, Parameters(request.parameters))
            except InvalidInput:
                continue
            assert len(rows) <= MAX_ROWS
            assert all(len(array) == len(rows) for array in arrays.values())
    rows_given = data[0] % MAX_ROWS if data else 0
    tensor = oip.ModelInferRequest.InferInputTensor(name="image", datatype=BYTES, shape=[rows_given])
    request = oip.ModelInferRequest(inputs=[tensor], raw_input_contents=[data[1:]])
    try:
        items = read(request, [Spec("image", BYTES, (-1,))], MAX_ROWS)["image"].tolist()
    except InvalidInput:
        return
    assert b"".join(struct.pack("<I", len(item)) + item for item in items) == data[1:]


def text(data: bytes) -> None:
    """A document, a query, a marker and candidates, with null characters between them."""
    document, query, marker, *candidates = [*data.decode(errors="ignore").split("\0"), "", ""][:8]
    try:
        item = _encoder().encode(ClozeRequest(document, query, marker, tuple(filter(None, candidates))))
    except InvalidInput:
        return
    assert len(item.blanks) >= 1
    for (start, end), in_query in ((blank.position, blank.in_query) for blank in item.blanks):
        assert 0 <= start < end <= len(query if in_query else document)
    for _, spans in item.candidates:
        assert all(0 <= start < end <= len(document) for start, end in spans)


TARGETS: Mapping[str, Callable[[bytes], None]] = {"image": image, "tensors": tensors, "text": text}


def seeds(name: str) -> Iterable[bytes]:
    """Good input for a target, to begin with."""
    images = [path.read_bytes() for path in sorted(EXAMPLES.glob("*.png"))]
    texts = [
        "小猫钓鱼，____很高兴。".encode(),
        "小猫在家。\0XXXXX在家。\0\0小猫\0小狗".encode(),
        "他（ ）了。[MASK]。".encode(),
    ]
    if name == "image":
        return images
    if name == "text":
        return texts
    requests = []
    for field, items in (("image", images), ("text", texts)):
        content = b"".join(struct.pack("<I", len(item)) + item for item in items)
        tensor = oip.ModelInferRequest.InferInputTensor(name=field, datatype=BYTES, shape=[len(items)])
        requests.append(oip.ModelInferRequest(inputs=[tensor], raw_input_contents=[content]).SerializeToString())
        requests.append(bytes([len(items)]) + content)
    return requests


@cache
def _encoder() -> TextEncoder:
    bundle = bundles.load(bundles.find(bundles.default_root(), ClozeModel.name), ClozeModel.contract)
    lexicon = Lexicon.from_texts({name: bundle.text(name) for name in (WORDS, PIECES, VARIANTS)})
    return TextEncoder(lexicon, bundle.facts)
