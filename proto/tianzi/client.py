"""Client: a tianzi server, called from ordinary code."""

import contextlib
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from tianzi import calls, convert, security
from tianzi.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, DEFAULT_WINDOW, Call, Endpoint
from tianzi.errors import DeadlineExceeded, InternalError, TianziError, Unavailable, from_call
from tianzi.security import TLS
from tianzi.types import DEFAULT_TOP_K, Document, Filling, ImageSource, Question, Reading, Recognition, ServerInfo
from tianzi.v1 import server_pb2, server_pb2_grpc
from tianzi.window import ENDS_THE_STREAM, Slot, Window

Item = TypeVar("Item")
Result = TypeVar("Result")


class Client:
    """A connection to a server, for any number of threads. Every method raises TianziError's subclasses.

    >>> with Client("localhost:50051") as client:  # doctest: +SKIP
    ...     client.recognize("填.png").text
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
        """Connects when first called.

        timeout: seconds for an answer, retries among them; None waits for ever.
        token: what the server knows a caller by. It can be read on the way unless there is TLS.
        tls: True for a server whose certificate any public authority has signed; TLS says it in more detail.
        credentials: in place of tls. metadata: sent with every call. options: further gRPC channel options.

        Raises:
            OSError: a file of tls cannot be read.
        """
        self.address = address
        self.timeout = timeout
        self._metadata = calls.call_metadata(metadata, token)
        credentials = credentials or security.credentials(tls)
        options = calls.channel_options([*security.options(tls), *options])
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._ocr = calls.ocr_endpoint(self._channel)
        self._cloze = calls.cloze_endpoint(self._channel)
        self._health = calls.health_method(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)

    def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition:
        """Recognises the character in an image: a path, encoded bytes, a PIL image or a uint8 array.

        allowed: what may be answered: characters in one string or several, and names of sets: digits, uppercase,
        lowercase, letters, hanzi, punctuation, plate; empty for everything.
        model_version: the version that must answer, or NotFound is raised; 0 for the newest. So in all methods.
        """
        return self._ask(self._ocr, calls.recognize_call(image, top_k, allowed, model_version))

    def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading:
        """Reads a row of images, each of one character, as one text: what an image shows is weighed against how
        characters follow each other. The first bad image fails the row.
        """
        call = calls.sequence_call(images, top_k, allowed, model_version)
        return call.read(self._unary(self._ocr.sequence, call.request))

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Recognition | TianziError]:
        """Recognises images as they come, one result for each, in their order.

        A bad image's result is the error that recognize() would raise; an error among the images is its own
        result. What no later image would escape (Unavailable, Unauthenticated, NotFound) is raised.
        A server that restarts is waited for, up to the timeout, and asked again for what it has not answered.
        window: images read ahead of the result that is asked for; 1 suits a live source.
        """
        make = partial(calls.recognize_call, top_k=top_k, allowed=allowed, model_version=model_version)
        return self._stream(self._ocr, make, images, window)

    def fill(
        self,
        document: Document,
        *,
        query: Document = "",
        marker: str = "",
        candidates: Sequence[str] = (),
        top_k: int = DEFAULT_TOP_K,
        model_version: int = 0,
    ) -> Filling:
        """Fills the blanks of a text or of tokens; Question explains the arguments."""
        question = Question(document, query, marker, candidates, top_k)
        return self._ask(self._cloze, calls.fill_call(question, model_version))

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Filling | TianziError]:
        """Fills the blanks of documents or questions as they come, with results as recognize_many gives them."""
        return self._stream(self._cloze, partial(calls.fill_call, model_version=model_version), questions, window)

    def info(self) -> ServerInfo:
        """The server's version, models and limits."""
        return convert.server_info(self._unary(self._server.GetInfo, server_pb2.GetInfoRequest()))

    def health(self, service: str = "") -> bool:
        """Whether the server, or a service such as "tianzi.v1.OcrService", takes requests."""
        response = self._unary(self._health, calls.HealthRequest(value=service))
        return bool(response.value == calls.SERVING)

    def close(self) -> None:
        """Ends the connection and whatever is under way on it."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _unary(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_call(error) from error

    def _ask(self, endpoint: Endpoint, call: Call[Result]) -> Result:
        return call.read(self._unary(endpoint.unary, call.request))

    def _stream(
        self, endpoint: Endpoint, make_call: Any, items: Iterable[Item | TianziError], size: int
    ) -> Iterator[Result | TianziError]:
        window: Window[Item, Result] = Window(make_call, endpoint.envelope, size)
        return self._drive(endpoint, window, iter(items))

    def _drive(
        self, endpoint: Endpoint, window: Window[Item, Result], items: Iterator[Item | TianziError]
    ) -> Iterator[Result | TianziError]:
        stream: _Stream | None = None
        try:
            exhausted = False
            while True:
                while not exhausted and not window.full:
                    try:
                        message = window.take(next(items))
                    except StopIteration:
                        exhausted = True
                    else:
                        if message is not None:
                            stream = stream or _Stream(endpoint.stream, self._metadata)
                            stream.send(message)
                if not window:
                    return
                while not window.ready:
                    assert stream is not None
                    try:
                        window.accept(stream.receive(self.timeout))
                    except TianziError as error:
                        stream.close(cancel=True)
                        stream = None
                        stream = self._resume(endpoint, window, error)
                yield window.give()
        finally:
            if stream:
                stream.close(cancel=bool(window))

    def _resume(self, endpoint: Endpoint, window: Window[Item, Result], error: TianziError) -> "_Stream | None":
        """Goes on after a stream that broke: with a new one, to which what is unanswered is sent again, if the server
        may have restarted. Else one message may have ended the stream for all: asked alone, each item meets its own
        fate."""
        pause_s = window.pause_s(error, self.timeout)
        if pause_s is None:
            try:
                for slot in window.take_unanswered():
                    slot.result = self._ask_alone(endpoint, slot)
            except Unavailable as gone:  # the stream ended that way because the server was about to
                return self._resume(endpoint, window, gone)
            return None
        time.sleep(pause_s)
        self._wait_for_server()
        stream = _Stream(endpoint.stream, self._metadata)
        for message in window.unanswered():
            stream.send(message)
        return stream

    def _wait_for_server(self) -> None:
        """Returns when there is a connection, at the latest when the timeout is over."""
        connected = grpc.channel_ready_future(self._channel)
        with contextlib.suppress(grpc.FutureTimeoutError):
            connected.result(self.timeout)
        connected.cancel()

    def _ask_alone(self, endpoint: Endpoint, slot: Slot[Result]) -> Result | TianziError:
        try:
            return self._ask(endpoint, slot.call)
        except ENDS_THE_STREAM:
            raise
        except TianziError as error:
            return error


class _Stream:
    """A bidirectional call whose answers a thread puts into a queue, so that waiting for one can time out."""

    def __init__(self, method: Any, metadata: Any) -> None:
        self._outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._call = method(iter(self._outbox.get, None), metadata=metadata)
        threading.Thread(target=self._read, name="tianzi-stream", daemon=True).start()

    def send(self, message: Any) -> None:
        self._outbox.put(message)

    def receive(self, timeout: float | None) -> Any:
        try:
            reply = self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise DeadlineExceeded(f"no answer within {timeout} s") from None
        if isinstance(reply, TianziError):
            raise reply
        return reply

    def close(self, *, cancel: bool) -> None:
        self._outbox.put(None)  # no more requests; frees gRPC's thread, too
        if cancel:
            self._call.cancel()

    def _read(self) -> None:
        try:
            for reply in self._call:
                self._inbox.put(reply)
        except grpc.RpcError as error:
            self._inbox.put(from_call(error))
        else:
            self._inbox.put(InternalError("the server ended the stream before its last answer"))
