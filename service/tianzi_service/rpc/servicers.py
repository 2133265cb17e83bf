"""The RPCs of tianzi.v1: proto ↔ plain Python, nothing else. Errors are raised; the StatusWrapper maps them."""

# ruff: noqa: N802 gRPC names the methods

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from typing import Any, Generic, TypeVar, cast

import grpc

from tianzi.v1 import cloze_pb2, cloze_pb2_grpc, ocr_pb2, ocr_pb2_grpc, server_pb2, server_pb2_grpc
from tianzi_models.cloze.types import ClozeAnswer, ClozeRequest
from tianzi_models.errors import InvalidInput, ModelNotFound
from tianzi_models.ocr.model import OcrModel
from tianzi_models.ocr.types import OcrAnswer, OcrRequest
from tianzi_service.rpc import codec
from tianzi_service.rpc.deadline import deadline_s
from tianzi_service.rpc.errors import to_status
from tianzi_service.rpc.streams import answer_stream
from tianzi_service.scheduling.admission import Kind
from tianzi_service.scheduling.model_versions import Served
from tianzi_service.scheduling.outcome import Answered, RowError
from tianzi_service.settings import Settings

Message = TypeVar("Message")
Reply = TypeVar("Reply")
Batch = TypeVar("Batch", ocr_pb2.BatchRecognizeResponse, cloze_pb2.BatchFillResponse)
Context = grpc.aio.ServicerContext[Any, Any]


TURN_S = 0.005
"""How long a batch's answers are written before others have their turn: 256 texts of 64 blanks take 4 s."""


class _ModelServicer(ABC, Generic[Message, Reply]):
    """What the services of both models do alike: one, many in order, many as they come."""

    def __init__(self, served: Served, settings: Settings) -> None:
        self._served = served
        self._settings = settings

    @staticmethod
    @abstractmethod
    def read(message: Message) -> Any:
        """The request that a message holds. Raises: InvalidInput."""

    @staticmethod
    @abstractmethod
    def write(reply: Reply, answered: Answered[Any]) -> None:
        """Puts an answer into an empty message."""

    async def _answer(self, message: Any, context: Context, reply: Reply, kind: Kind = Kind.UNARY) -> Reply:
        """Answers one message into the reply, which it returns, or raises."""
        with self._served.use(message.model_version) as pipeline:
            size = message.ByteSize()
            answered = await pipeline.answer(
                message, self.read, kind=kind, size_bytes=size, deadline_s=deadline_s(context)
            )
        self.write(reply, answered)
        return reply

    async def _batch(self, call: Any, context: Context, response: Batch) -> Batch:
        """Items that name the same version go together; all of them, as a rule."""
        self._require_items(call)
        requests = list(call.requests)
        items = [response.items.add() for _ in requests]
        places_of: dict[int, list[int]] = {}
        for place, message in enumerate(requests):
            places_of.setdefault(message.model_version, []).append(place)
        for version, places in places_of.items():
            messages = [requests[place] for place in places]
            try:
                with self._served.use(version) as pipeline:
                    outcomes = await pipeline.answer_many(
                        messages, self.read, size_bytes=call.ByteSize(), deadline_s=deadline_s(context)
                    )
            except ModelNotFound as error:
                outcomes = [error] * len(places)
            turn_ends_s = time.perf_counter() + TURN_S
            for place, outcome in zip(places, outcomes, strict=True):
                self._put(items[place], outcome)
                if time.perf_counter() > turn_ends_s:
                    await asyncio.sleep(0)
                    turn_ends_s = time.perf_counter() + TURN_S
        return response

    def _require_items(self, call: Any) -> None:
        limit = self._settings.max_batch_items
        if not 1 <= len(call.requests) <= limit:
            raise InvalidInput("requests", f"{len(call.requests)} items, must be 1 to {limit}")

    def _put(self, item: Any, outcome: Answered[Any] | Exception) -> None:
        """Into the oneof of a batch's or stream's item."""
        if isinstance(outcome, Exception):
            item.error.CopyFrom(to_status(outcome))
        else:
            self.write(item.ok, outcome)

    async def _stream(self, context: Context, response: type[Any]) -> None:
        async def answer(request: Any) -> Any:
            reply = response(id=request.id)
            try:
                await self._answer(request.request, context, reply.ok, Kind.STREAM)
            except Exception as error:
                self._put(reply, error)
            return reply

        await answer_stream(context, self._settings.stream_rows, answer)


# Streams are coroutines that write rather than async generators: when a call is cancelled, gRPC cancels a coroutine,
# and its rows with it, but leaves a generator to the garbage collector.


class OcrServicer(_ModelServicer[ocr_pb2.RecognizeRequest, ocr_pb2.RecognizeResponse], ocr_pb2_grpc.OcrServiceServicer):
    """tianzi.v1.OcrService."""

    async def Recognize(self, request: ocr_pb2.RecognizeRequest, context: Context) -> ocr_pb2.RecognizeResponse:
        return await self._answer(request, context, ocr_pb2.RecognizeResponse())

    async def BatchRecognize(
        self, request: ocr_pb2.BatchRecognizeRequest, context: Context
    ) -> ocr_pb2.BatchRecognizeResponse:
        return await self._batch(request, context, ocr_pb2.BatchRecognizeResponse())

    async def StreamRecognize(  # type: ignore[override]
        self, request_iterator: AsyncIterator[ocr_pb2.StreamRecognizeRequest], context: Context
    ) -> None:
        await self._stream(context, ocr_pb2.StreamRecognizeResponse)

    async def RecognizeSequence(
        self, request: ocr_pb2.RecognizeSequenceRequest, context: Context
    ) -> ocr_pb2.RecognizeSequenceResponse:
        """A row is answered whole or not at all: a text with a hole would be another text."""
        self._require_items(request)
        versions = sorted({message.model_version for message in request.requests})
        if len(versions) > 1:
            raise InvalidInput("requests", f"model versions {versions}, must be the same in all")
        with self._served.use(versions[0]) as pipeline:
            size = request.ByteSize()
            try:
                results = await pipeline.answer_many(
                    request.requests, codec.row_request, size_bytes=size, deadline_s=deadline_s(context), whole=True
                )
            except RowError as failed:
                raise _named(failed) from failed
            answered = [result for result in results if isinstance(result, Answered)]
            places = codec.row_places([one.answer for one in answered])
            text = await asyncio.to_thread(cast(OcrModel, pipeline.model).read_row, places)
            return codec.row_response(text, answered, request.requests)

    @staticmethod
    def read(message: ocr_pb2.RecognizeRequest) -> OcrRequest:
        return codec.ocr_request(message)

    @staticmethod
    def write(reply: ocr_pb2.RecognizeResponse, answered: Answered[OcrAnswer]) -> None:
        codec.ocr_response(answered.answer, answered.version, answered.timing, reply)


def _named(failed: RowError) -> Exception:
    """Bad input by the name of the row's field."""
    error = failed.error
    if not isinstance(error, InvalidInput):
        return error
    return InvalidInput(f"requests[{failed.number}].{error.field}", error.problem)


class ClozeServicer(_ModelServicer[cloze_pb2.FillRequest, cloze_pb2.FillResponse], cloze_pb2_grpc.ClozeServiceServicer):
    """tianzi.v1.ClozeService."""

    async def Fill(self, request: cloze_pb2.FillRequest, context: Context) -> cloze_pb2.FillResponse:
        return await self._answer(request, context, cloze_pb2.FillResponse())

    async def BatchFill(self, request: cloze_pb2.BatchFillRequest, context: Context) -> cloze_pb2.BatchFillResponse:
        return await self._batch(request, context, cloze_pb2.BatchFillResponse())

    async def StreamFill(  # type: ignore[override]
        self, request_iterator: AsyncIterator[cloze_pb2.StreamFillRequest], context: Context
    ) -> None:
        await self._stream(context, cloze_pb2.StreamFillResponse)

    @staticmethod
    def read(message: cloze_pb2.FillRequest) -> ClozeRequest:
        return codec.cloze_request(message)

    @staticmethod
    def write(reply: cloze_pb2.FillResponse, answered: Answered[ClozeAnswer]) -> None:
        codec.cloze_response(answered.answer, answered.version, answered.timing, reply)


class ServerServicer(server_pb2_grpc.ServerServiceServicer):
    """tianzi.v1.ServerService."""

    def __init__(self, served: Mapping[str, Served], settings: Settings) -> None:
        self._served = served
        self._settings = settings

    async def GetInfo(self, request: server_pb2.GetInfoRequest, context: Context) -> server_pb2.GetInfoResponse:
        models = {name: served.models for name, served in self._served.items()}
        settings = self._settings
        return codec.info_response(
            models, max_message_bytes=settings.max_message_bytes, max_batch_items=settings.max_batch_items
        )
