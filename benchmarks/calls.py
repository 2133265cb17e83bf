"""The calls that the load benchmark makes: our own RPCs and the Open Inference Protocol's, with their answers read."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import grpc
from driver import Send, Streams
from inference import grpc_service_pb2 as oip
from inference import grpc_service_pb2_grpc
from tianzi.v1 import ocr_pb2

BATCH = 32
READY_S = 30.0
OCR = "/tianzi.v1.OcrService/"
INFER = "/inference.GRPCInferenceService/ModelInfer"
# Connections that channels of one process would share otherwise.
APART = [("grpc.use_local_subchannel_pool", 1)]


def channels(address: str, count: int) -> list[grpc.aio.Channel]:
    """So many connections to a server."""
    return [grpc.aio.insecure_channel(address, APART) for _ in range(count)]


def unary(channel: grpc.aio.Channel, images: Sequence[bytes]) -> Send:
    """Recognize. Requests are packed beforehand, answers are read whole."""
    requests = [ocr_pb2.RecognizeRequest(image=image).SerializeToString() for image in images]
    method = channel.unary_unary(OCR + "Recognize", response_deserializer=ocr_pb2.RecognizeResponse.FromString)

    async def send(number: int) -> int:
        reply = await method(requests[number % len(requests)])
        return int(len(reply.candidates) > 0)

    return send


def batch(channel: grpc.aio.Channel, images: Sequence[bytes]) -> Send:
    """BatchRecognize of BATCH images."""
    items = [ocr_pb2.RecognizeRequest(image=image) for image in islice(cycle(images), BATCH)]
    request = ocr_pb2.BatchRecognizeRequest(requests=items).SerializeToString()
    method = channel.unary_unary(
        OCR + "BatchRecognize", response_deserializer=ocr_pb2.BatchRecognizeResponse.FromString
    )

    async def send(number: int) -> int:
        reply = await method(request)
        return sum(item.HasField("ok") for item in reply.items)

    return send


def stream(channel: grpc.aio.Channel) -> Streams:
    """StreamRecognize."""
    method = channel.stream_stream(
        OCR + "StreamRecognize",
        request_serializer=ocr_pb2.StreamRecognizeRequest.SerializeToString,
        response_deserializer=ocr_pb2.StreamRecognizeResponse.FromString,
    )
    return lambda: method()


def messages(images: Sequence[bytes]) -> Callable[[int], ocr_pb2.StreamRecognizeRequest]:
    """The nth message of a stream."""
    requests = [ocr_pb2.RecognizeRequest(image=image) for image in images]
    return lambda n: ocr_pb2.StreamRecognizeRequest(id=str(n), request=requests[n % len(requests)])


def answered(reply: ocr_pb2.StreamRecognizeResponse) -> int:
    """1 where a stream's item was answered well."""
    return int(reply.HasField("ok"))


def infer(rows: int) -> Callable[[grpc.aio.Channel, Sequence[bytes]], Send]:
    """ModelInfer of so many images, which MLServer and our server answer alike."""

    def make(channel: grpc.aio.Channel, images: Sequence[bytes]) -> Send:
        # One row: each image in turn. More: the same batch each time.
        sources = [[image] for image in images] if rows == 1 else [list(islice(cycle(images), rows))]
        requests = [_infer_request(source).SerializeToString() for source in sources]
        method = channel.unary_unary(INFER, response_deserializer=oip.ModelInferResponse.FromString)

        async def send(number: int) -> int:
            reply = await method(requests[number % len(requests)])
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
