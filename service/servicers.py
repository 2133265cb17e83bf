"""The RPCs of tianzi.v1: proto ↔ plain Python, nothing else. Errors are raised; the StatusInterceptor maps them."""

# ruff: noqa: N802 gRPC names the methods

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic, TypedDict, TypeVar

import grpc
from google.rpc import status_pb2
from tianzi.v1 import cloze_pb2, cloze_pb2_grpc, ocr_pb2, ocr_pb2_grpc, server_pb2, server_pb2_grpc

from models.cloze.types import ClozeAnswer
from models.errors import InvalidInput
from models.ocr.types import OcrAnswer
from service import codec
from service.errors import to_status
from service.pipeline import Answered, Pipeline
from service.settings import Settings
from service.streams import answer_stream

Message = TypeVar("Message")
Reply = TypeVar("Reply")
Context = grpc.aio.ServicerContext[Any, Any]


class Result(TypedDict, Generic[Reply], total=False):
    """The oneof of a batch's or stream's item: exactly one of the two."""

    ok: Reply
    error: status_pb2.Status


class _ModelServicer(ABC, Generic[Message, Reply]):
    """What the services of both models do alike: one, many in order, many as they come."""

    def __init__(self, pipeline: Pipeline[Any, Any], settings: Settings) -> None:
        self._pipeline = pipeline
        self._settings = settings

    @abstractmethod
    async def _answer(self, message: Message, wait: bool = False) -> Reply:
        """Answers one message, or raises. wait: for room in the queue."""

    async def _result(self, message: Message) -> Result[Reply]:
        try:
            return {"ok": await self._answer(message, wait=True)}
        except Exception as error:
            return {"error": to_status(error)}

    async def _batch(self, messages: Sequence[Message]) -> list[Result[Reply]]:
        """A batch is refused as a whole while the queue is full. Once taken its rows wait for room, each in turn,
        so that it may be longer than the queue."""
        limit = self._settings.max_batch_items
        if not 1 <= len(messages) <= limit:
            raise InvalidInput("requests", f"{len(messages)} items, must be 1 to {limit}")
        self._pipeline.require_room()
        return await asyncio.gather(*(self._result(message) for message in messages))

    async def _stream(self, requests: AsyncIterator[Any], context: Context, response: type[Any]) -> None:
        async def answer(request: Any) -> Any:
            return response(id=request.id, **await self._result(request.request))

        await answer_stream(requests, context, self._settings.stream_rows, answer)


# Streams are coroutines that write rather than async generators: when a call is cancelled, gRPC cancels a coroutine,
# and its rows with it, but leaves a generator to the garbage collector.


class OcrServicer(_ModelServicer[ocr_pb2.RecognizeRequest, ocr_pb2.RecognizeResponse], ocr_pb2_grpc.OcrServiceServicer):
    """tianzi.v1.OcrService."""

    async def Recognize(self, request: ocr_pb2.RecognizeRequest, context: Context) -> ocr_pb2.RecognizeResponse:
        return await self._answer(request)

    async def BatchRecognize(
        self, request: ocr_pb2.BatchRecognizeRequest, context: Context
    ) -> ocr_pb2.BatchRecognizeResponse:
        results = await self._batch(request.requests)
        return ocr_pb2.BatchRecognizeResponse(items=[ocr_pb2.BatchRecognizeResponse.Item(**r) for r in results])

    async def StreamRecognize(  # type: ignore[override]
        self, request_iterator: AsyncIterator[ocr_pb2.StreamRecognizeRequest], context: Context
    ) -> None:
        await self._stream(request_iterator, context, ocr_pb2.StreamRecognizeResponse)

    async def _answer(self, message: ocr_pb2.RecognizeRequest, wait: bool = False) -> ocr_pb2.RecognizeResponse:
        answered: Answered[OcrAnswer] = await self._pipeline.answer(codec.ocr_request(message), wait=wait)
        return codec.ocr_response(answered.answer, answered.version, answered.timing)


class ClozeServicer(_ModelServicer[cloze_pb2.FillRequest, cloze_pb2.FillResponse], cloze_pb2_grpc.ClozeServiceServicer):
    """tianzi.v1.ClozeService."""

    async def Fill(self, request: cloze_pb2.FillRequest, context: Context) -> cloze_pb2.FillResponse:
        return await self._answer(request)

    async def BatchFill(self, request: cloze_pb2.BatchFillRequest, context: Context) -> cloze_pb2.BatchFillResponse:
        results = await self._batch(request.requests)
        return cloze_pb2.BatchFillResponse(items=[cloze_pb2.BatchFillResponse.Item(**r) for r in results])

    async def StreamFill(  # type: ignore[override]
        self, request_iterator: AsyncIterator[cloze_pb2.StreamFillRequest], context: Context
    ) -> None:
        await self._stream(request_iterator, context, cloze_pb2.StreamFillResponse)

    async def _answer(self, message: cloze_pb2.FillRequest, wait: bool = False) -> cloze_pb2.FillResponse:
        answered: Answered[ClozeAnswer] = await self._pipeline.answer(codec.cloze_request(message), wait=wait)
        return codec.cloze_response(answered.answer, answered.version, answered.timing)


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """tianzi.v1.ServerService."""

    def __init__(self, info: server_pb2.GetInfoResponse) -> None:
        """info: what every GetInfo returns."""
        self._info = info

    async def GetInfo(self, request: server_pb2.GetInfoRequest, context: Context) -> server_pb2.GetInfoResponse:
        return self._info
