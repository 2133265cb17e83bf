"""AsyncClient: a tianzi server, called from asyncio code."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from tianzi import calls, convert, security
from tianzi.address import target as address_of
from tianzi.aio_stream import Stream, in_turn
from tianzi.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, Call, Endpoint, Task
from tianzi.errors import Closed, TianziError, Unavailable, from_call
from tianzi.interface import DEFAULT_WINDOW, AsyncInterface, documented
from tianzi.security import TLS
from tianzi.types import DEFAULT_TOP_K, Document, Filling, ImageSource, Question, Reading, Recognition, ServerInfo
from tianzi.v1 import server_pb2, server_pb2_grpc
from tianzi.window import ENDS_THE_STREAM, Slot, Window

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Wires:
    """A connection of one event loop."""

    channel: grpc.aio.Channel
    endpoints: dict[Task, Endpoint]
    health: Any
    server: Any


@documented
class AsyncClient(AsyncInterface):
    """Client with coroutines: the same arguments, results and errors.

    It may be made anywhere, at import say: each event loop that uses it has a connection of its own.

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
        self._closed = False
        self._target = address_of(address)
        self._metadata = calls.call_metadata(metadata, token)
        self._credentials = credentials or security.credentials(tls)
        self._options = calls.channel_options(self._target, [*security.options(tls), *options])
        self._wires_of: dict[asyncio.AbstractEventLoop, _Wires] = {}

    # Files are read and images encoded in a thread. A plain iterable is read in the event loop, so it should not block.

    async def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition:
        make = partial(calls.recognize_call, image, top_k, allowed, model_version)
        return await self._ask("ocr", await asyncio.to_thread(make))

    async def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading:
        call = await asyncio.to_thread(calls.sequence_call, images, top_k, allowed, model_version)
        return call.read(await self._unary(self._wires().endpoints["ocr"].sequence, call.request))

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError] | AsyncIterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Recognition | TianziError]:
        make = partial(calls.recognize_call, top_k=top_k, allowed=allowed, model_version=model_version)
        return self._stream("ocr", make, calls.several("images", images), window)

    async def fill(
        self,
        document: Document,
        *,
        query: Document = "",
        marker: str = "",
        candidates: Sequence[str] = (),
        top_k: int = DEFAULT_TOP_K,
        source: str = "any",
        each_once: bool = False,
        model_version: int = 0,
    ) -> Filling:
        question = Question(document, query, marker, candidates, top_k, source, each_once)
        return await self._ask("cloze", calls.fill_call(question, model_version))

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError] | AsyncIterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Filling | TianziError]:
        make = partial(calls.fill_call, model_version=model_version)
        return self._stream("cloze", make, calls.several("questions", questions), window)

    async def info(self) -> ServerInfo:
        return convert.server_info(await self._unary(self._wires().server.GetInfo, server_pb2.GetInfoRequest()))

    async def health(self, service: str = "") -> bool:
        response = await self._unary(self._wires().health, calls.HealthRequest(value=service))
        return bool(response.value == calls.SERVING)

    async def close(self) -> None:
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, wires in [(loop, self._wires_of.pop(loop)) for loop in list(self._wires_of)]:
            if loop is here:
                await wires.channel.close()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(wires.channel.close(), loop)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _wires(self) -> _Wires:
        """Those of the running event loop."""
        self._require_open()
        loop = asyncio.get_running_loop()
        if loop not in self._wires_of:
            for ended in [known for known in list(self._wires_of) if known.is_closed()]:
                self._wires_of.pop(ended, None)
            self._wires_of[loop] = self._connect()
        return self._wires_of[loop]

    def _connect(self) -> _Wires:
        if self._credentials is None:
            channel = grpc.aio.insecure_channel(self._target, self._options)
        else:
            channel = grpc.aio.secure_channel(self._target, self._credentials, self._options)
        server: Any = server_pb2_grpc.ServerServiceStub(channel)
        return _Wires(channel, calls.endpoints(channel), calls.health_method(channel), server)

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("this AsyncClient was closed")

    async def _unary(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            self._require_open()  # else it was cancelled by close()
            raise from_call(error) from error
        except (asyncio.CancelledError, grpc.aio.UsageError):
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                self._require_open()
            raise

    async def _ask(self, task: Task, call: Call[Result]) -> Result:
        return call.read(await self._unary(self._wires().endpoints[task].unary, call.request))

    def _stream(
        self,
        task: Task,
        make_call: Any,
        items: Iterable[Item | TianziError] | AsyncIterable[Item | TianziError],
        size: int,
    ) -> AsyncIterator[Result | TianziError]:
        self._require_open()
        window: Window[Item, Result] = Window(make_call, calls.ENVELOPES[task], size)
        return self._drive(task, window, items if isinstance(items, AsyncIterable) else in_turn(items))

    async def _drive(
        self, task: Task, window: Window[Item, Result], items: AsyncIterable[Item | TianziError]
    ) -> AsyncIterator[Result | TianziError]:
        """Client._drive, with awaits."""
        source = aiter(items)
        stream: Stream | None = None
        try:
            exhausted = False
            while True:
                while not exhausted and not window.full:
                    try:
                        item = await anext(source)
                    except StopAsyncIteration:
                        exhausted = True
                    else:
                        quick = task == "cloze" or isinstance(item, bytes)
                        message = window.take(item) if quick else await asyncio.to_thread(window.take, item)
                        if message is not None:
                            stream = stream or self._open_stream(task)
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
                        stream = await self._resume(task, window, error)
                yield window.give()
        finally:
            if stream:
                await stream.close(cancel=bool(window))

    async def _resume(self, task: Task, window: Window[Item, Result], error: TianziError) -> "Stream | None":
        """Client._resume, with awaits."""
        self._require_open()
        pause_s = window.pause_s(error, self.timeout)
        if pause_s is None:
            try:
                for slot in window.take_unanswered():
                    slot.result = await self._ask_alone(task, slot)
            except Unavailable as gone:
                return await self._resume(task, window, gone)
            return None
        await asyncio.sleep(pause_s)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wires().channel.channel_ready(), self.timeout)
        stream = self._open_stream(task)
        for message in window.unanswered():
            await stream.send(message, self.timeout)
        return stream

    def _open_stream(self, task: Task) -> Stream:
        return Stream(self._wires().endpoints[task].stream, self._metadata)

    async def _ask_alone(self, task: Task, slot: Slot[Result]) -> Result | TianziError:
        try:
            return await self._ask(task, slot.call)
        except ENDS_THE_STREAM:
            raise
        except TianziError as error:
            return error
