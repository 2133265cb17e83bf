"""AsyncClient: a tianzi server, called from asyncio code."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from tianzi import calls, convert, security
from tianzi.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, DEFAULT_WINDOW, Call, Endpoint
from tianzi.errors import DeadlineExceeded, InternalError, TianziError, Unavailable, from_call
from tianzi.security import TLS
from tianzi.types import DEFAULT_TOP_K, Document, Filling, ImageSource, Question, Reading, Recognition, ServerInfo
from tianzi.v1 import server_pb2, server_pb2_grpc
from tianzi.window import ENDS_THE_STREAM, Slot, Window

Item = TypeVar("Item")
Result = TypeVar("Result")

CALL_HAS_ENDED = (grpc.RpcError, asyncio.InvalidStateError)
LAST_WORD_S = 1.0
"""How long a server may take to end a stream whose answers have all come."""


class AsyncClient:
    """Client with coroutines: the same arguments, results and errors. Create it inside the event loop that uses it.

    >>> async with AsyncClient("localhost:50051") as client:  # doctest: +SKIP
    ...     (await client.recognize("填.png")).text
    '填'
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        timeout: float | None = DEFAULT_TIMEOUT_S,
        token: str | None = None,
        tls: TLS | bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Sequence[tuple[str, str]] = (),
        options: Sequence[tuple[str, Any]] = (),
    ) -> None:
        """See Client."""
        self.address = address
        self.timeout = timeout
        self._metadata = calls.call_metadata(metadata, token)
        credentials = credentials or security.credentials(tls)
        options = calls.channel_options([*security.options(tls), *options])
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        self._ocr = calls.ocr_endpoint(self._channel)
        self._cloze = calls.cloze_endpoint(self._channel)
        self._health = calls.health_method(self._channel)
        self._server: Any = server_pb2_grpc.ServerServiceStub(self._channel)

    async def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition:
        """See Client. Files are read and images encoded in a thread."""
        make = partial(calls.recognize_call, image, top_k, allowed, model_version)
        return await self._ask(self._ocr, await asyncio.to_thread(make))

    async def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading:
        """See Client. Files are read and images encoded in a thread."""
        call = await asyncio.to_thread(calls.sequence_call, images, top_k, allowed, model_version)
        return call.read(await self._unary(self._ocr.sequence, call.request))

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError] | AsyncIterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Recognition | TianziError]:
        """See Client. A plain iterable is read in the event loop, so it should not block."""
        make = partial(calls.recognize_call, top_k=top_k, allowed=allowed, model_version=model_version)
        return self._stream(self._ocr, make, images, window)

    async def fill(
        self,
        document: Document,
        *,
        query: Document = "",
        marker: str = "",
        candidates: Sequence[str] = (),
        top_k: int = DEFAULT_TOP_K,
        model_version: int = 0,
    ) -> Filling:
        """See Client."""
        question = Question(document, query, marker, candidates, top_k)
        return await self._ask(self._cloze, calls.fill_call(question, model_version))

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError] | AsyncIterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Filling | TianziError]:
        """See Client. A plain iterable is read in the event loop, so it should not block."""
        return self._stream(self._cloze, partial(calls.fill_call, model_version=model_version), questions, window)

    async def info(self) -> ServerInfo:
        """See Client."""
        return convert.server_info(await self._unary(self._server.GetInfo, server_pb2.GetInfoRequest()))

    async def health(self, service: str = "") -> bool:
        """See Client."""
        response = await self._unary(self._health, calls.HealthRequest(value=service))
        return bool(response.value == calls.SERVING)

    async def close(self) -> None:
        """See Client."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _unary(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_call(error) from error

    async def _ask(self, endpoint: Endpoint, call: Call[Result]) -> Result:
        return call.read(await self._unary(endpoint.unary, call.request))

    def _stream(
        self,
        endpoint: Endpoint,
        make_call: Any,
        items: Iterable[Item | TianziError] | AsyncIterable[Item | TianziError],
        size: int,
    ) -> AsyncIterator[Result | TianziError]:
        window: Window[Item, Result] = Window(make_call, endpoint.envelope, size)
        return self._drive(endpoint, window, items if isinstance(items, AsyncIterable) else _aiter(items))

    async def _drive(
        self, endpoint: Endpoint, window: Window[Item, Result], items: AsyncIterable[Item | TianziError]
    ) -> AsyncIterator[Result | TianziError]:
        """Client._drive, with awaits."""
        source = aiter(items)
        stream: _Stream | None = None
        try:
            exhausted = False
            while True:
                while not exhausted and not window.full:
                    try:
                        item = await anext(source)
                    except StopAsyncIteration:
                        exhausted = True
                    else:
                        quick = endpoint is self._cloze or isinstance(item, bytes)
                        message = window.take(item) if quick else await asyncio.to_thread(window.take, item)
                        if message is not None:
                            stream = stream or _Stream(endpoint.stream, self._metadata)
                            await stream.send(message, self.timeout)
                if not window:
                    return
                while not window.ready:
                    assert stream is not None
                    try:
                        window.accept(await stream.receive(self.timeout))
                    except TianziError as error:
                        await stream.close(cancel=True)
                        stream = None
                        stream = await self._resume(endpoint, window, error)
                yield window.give()
        finally:
            if stream:
                await stream.close(cancel=bool(window))

    async def _resume(self, endpoint: Endpoint, window: Window[Item, Result], error: TianziError) -> "_Stream | None":
        """Client._resume, with awaits."""
        pause_s = window.pause_s(error, self.timeout)
        if pause_s is None:
            try:
                for slot in window.take_unanswered():
                    slot.result = await self._ask_alone(endpoint, slot)
            except Unavailable as gone:
                return await self._resume(endpoint, window, gone)
            return None
        await asyncio.sleep(pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._channel.channel_ready(), self.timeout)
        stream = _Stream(endpoint.stream, self._metadata)
        for message in window.unanswered():
            await stream.send(message, self.timeout)
        return stream

    async def _ask_alone(self, endpoint: Endpoint, slot: Slot[Result]) -> Result | TianziError:
        try:
            return await self._ask(endpoint, slot.call)
        except ENDS_THE_STREAM:
            raise
        except TianziError as error:
            return error


async def _aiter(items: Iterable[Item]) -> AsyncIterator[Item]:
    for item in items:
        yield item


class _Stream:
    """A bidirectional call whose answers a task puts into a queue: both directions flow while neither waits."""

    def __init__(self, method: Any, metadata: Any) -> None:
        self._call = method(metadata=metadata)
        self._inbox: asyncio.Queue[Any] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    async def send(self, message: Any, timeout: float | None) -> None:
        # Where the call has ended, the reader says why; a server that takes nothing in gives no answer, either.
        with contextlib.suppress(*CALL_HAS_ENDED, TimeoutError):
            await asyncio.wait_for(self._call.write(message), timeout)

    async def receive(self, timeout: float | None) -> Any:
        try:
            reply = await asyncio.wait_for(self._inbox.get(), timeout)
        except TimeoutError:
            raise DeadlineExceeded(f"no answer within {timeout} s") from None
        if isinstance(reply, TianziError):
            raise reply
        return reply

    async def close(self, *, cancel: bool) -> None:
        if not cancel:
            with contextlib.suppress(*CALL_HAS_ENDED):
                await self._call.done_writing()
            await asyncio.wait([self._reader], timeout=LAST_WORD_S)
        self._call.cancel()
        await self._reader

    async def _read(self) -> None:
        try:
            async for reply in self._call:
                self._inbox.put_nowait(reply)
        except grpc.RpcError as error:
            self._inbox.put_nowait(from_call(error))
        except asyncio.CancelledError:
            pass  # by close(): grpc.aio reports a cancelled call in this way
        else:
            self._inbox.put_nowait(InternalError("the server ended the stream before its last answer"))
