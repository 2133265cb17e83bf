"""The calls that the load benchmark makes: our own RPCs and the Open Inference Protocol's, with their answers read."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from typing import Any

import grpc
import wire
from driver import CONNECTIONS, Send, Streams

from tianzi.v1 import ocr_pb2
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.rpc.oip.v2 import grpc_service_pb2_grpc

BATCH = 32
READY_S = 30.0
OCR = "/tianzi.v1.OcrService/"
FILL = "/tianzi.v1.ClozeService/Fill"
INFER = "/inference.GRPCInferenceService/ModelInfer"


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[list[wire.Connection]]:
    """CONNECTIONS connections to a server."""
    connections = [await wire.Connection.open(address) for _ in range(CONNECTIONS)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()


def unary(connection: wire.Connection, images: Sequence[bytes]) -> Send:
    """Recognize. Requests are packed beforehand, answers are read whole."""
    requests = [ocr_pb2.RecognizeRequest(image=image).SerializeToString() for image in images]

    async def send(number: int) -> int:
        request = requests[number % len(requests)]
        reply = await wire.unary(connection, OCR + "Recognize", request, ocr_pb2.RecognizeResponse.FromString)
        return int(len(reply.candidates) > 0)

    return send


def batch(connection: wire.Connection, images: Sequence[bytes]) -> Send:
    """BatchRecognize of BATCH images."""
    items = [ocr_pb2.RecognizeRequest(image=image) for image in islice(cycle(images), BATCH)]
    request = ocr_pb2.BatchRecognizeRequest(requests=items).SerializeToString()
    parse = ocr_pb2.BatchRecognizeResponse.FromString

    async def send(number: int) -> int:
        reply = await wire.unary(connection, OCR + "BatchRecognize", request, parse)
        return sum(item.HasField("ok") for item in reply.items)

    return send


class Stream:
    """StreamRecognize, under way."""

    def __init__(self, connection: wire.Connection) -> None:
        self._call = wire.Call(connection, OCR + "StreamRecognize")

    async def write(self, message: ocr_pb2.StreamRecognizeRequest) -> None:
        self._call.write(message.SerializeToString())

    async def read(self) -> ocr_pb2.StreamRecognizeResponse:
        answer = await self._call.read()
        assert answer is not None, "the stream ended early"
        return ocr_pb2.StreamRecognizeResponse.FromString(answer)

    async def done_writing(self) -> None:
        self._call.finish()


def stream(connection: wire.Connection) -> Streams:
    """StreamRecognize."""
    return lambda: Stream(connection)


def messages(images: Sequence[bytes]) -> Callable[[int], ocr_pb2.StreamRecognizeRequest]:
    """The nth message of a stream."""
    requests = [ocr_pb2.RecognizeRequest(image=image) for image in images]
    return lambda n: ocr_pb2.StreamRecognizeRequest(id=str(n), request=requests[n % len(requests)])


def answered(reply: ocr_pb2.StreamRecognizeResponse) -> int:
    """1 where a stream's item was answered well."""
    return int(reply.HasField("ok"))


def infer(rows: int) -> Callable[[wire.Connection, Sequence[bytes]], Send]:
    """ModelInfer of so many images, which MLServer and our server answer alike."""

    def make(connection: wire.Connection, images: Sequence[bytes]) -> Send:
        # One row: each image in turn. More: the same batch each time.
        sources = [[image] for image in images] if rows == 1 else [list(islice(cycle(images), rows))]
        requests = [_infer_request(source).SerializeToString() for source in sources]

        async def send(number: int) -> int:
            request = requests[number % len(requests)]
            reply = await wire.unary(connection, INFER, request, oip.ModelInferResponse.FromString)
            return int(reply.outputs[0].shape[0])

        return send

    return make


async def wait_ready(address: str) -> None:
    """Returns when the model is ready by the Open Inference Protocol: MLServer listens before."""
    async with grpc.aio.insecure_channel(address) as channel:
        ready = grpc_service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelReady
        while not (await ready(oip.ModelReadyRequest(name="ocr"), timeout=READY_S)).ready:
            await asyncio.sleep(0.05)


def _infer_request(images: Sequence[bytes]) -> Any:
    contents = oip.InferTensorContents(bytes_contents=images)
    tensor = oip.ModelInferRequest.InferInputTensor(
        name="image", datatype="BYTES", shape=[len(images)], contents=contents
    )
    return oip.ModelInferRequest(model_name="ocr", inputs=[tensor])
