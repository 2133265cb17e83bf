"""Client: a tianzi server, called from ordinary code."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import grpc

from tianzi import calls, convert, security
from tianzi.address import target as address_of
from tianzi.blocking import Blocking
from tianzi.calls import DEFAULT_ADDRESS, DEFAULT_TIMEOUT_S, Call, Endpoint, Row, Task
from tianzi.errors import Closed, DeadlineExceeded, InternalError, TianziError, Unavailable, from_call
from tianzi.interface import documented
from tianzi.security import TLS
from tianzi.types import Reading, ServerInfo
from tianzi.v1 import server_pb2, server_pb2_grpc
from tianzi.window import ENDS_THE_STREAM, Slot, Window

Item = TypeVar("Item")
Result = TypeVar("Result")


@documented
class Client(Blocking):
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

        address: HOST or HOST:PORT, of port 50051 where none is named; dns:///HOST:PORT spreads calls over all
        servers of that name. A proxy of the environment is not asked for servers on this machine.
        timeout: seconds for an answer, retries among them; None waits for ever.
        token: what the server knows a caller by. It can be read on the way unless there is TLS.
        tls: True for a server whose certificate any public authority has signed; TLS says it in more detail.
        credentials: in place of tls. metadata: sent with every call. options: further gRPC channel options.

        Raises:
            InvalidInput: address is none.
            OSError: a file of tls cannot be read.
        """
        self.address = address
        self.timeout = timeout
        self._closed = False
        target = address_of(address)
        self._metadata = calls.call_metadata(metadata, token)
        credentials = credentials or security.credentials(tls)
        options = calls.channel_options(target, [*security.options(tls), *options])
        if credentials is None:
            self._channel = grpc.insecure_channel(target, options)
        else:
            self._channel = grpc.secure_channel(target, credentials, options)
        self._endpoints = calls.endpoints(self._channel)
        self._health = calls.health_method(self._channel)
        self._server = server_pb2_grpc.ServerServiceStub(self._channel)

    def info(self) -> ServerInfo:
        return convert.server_info(self._unary(self._server.GetInfo, server_pb2.GetInfoRequest()))

    def health(self, service: str = "") -> bool:
        response = self._unary(self._health, calls.HealthRequest(value=service))
        return bool(response.value == calls.SERVING)

    def close(self) -> None:
        self._closed = True
        self._channel.close()

    def _one(self, task: Task, call: Call[Result]) -> Result:
        return self._ask(self._endpoints[task], call)

    def _row(self, row: Row) -> Reading:
        return row.read(self._unary(self._endpoints["ocr"].sequence, row.request))

    def _many(
        self, task: Task, make_call: Callable[[Any], Call[Result]], items: Iterable[Any], window: int
    ) -> Iterator[Result | TianziError]:
        self._require_open()
        endpoint = self._endpoints[task]
        return self._drive(endpoint, Window(make_call, endpoint.envelope, window), iter(items))

    def _require_open(self) -> None:
        if self._closed:
            raise Closed("this Client was closed")

    def _unary(self, method: Any, request: Any) -> Any:
        self._require_open()
        try:
            return method(request, timeout=self.timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            self._require_open()  # else it was cancelled by close()
            raise from_call(error) from error
        except ValueError:  # closed between the look and the call
            self._require_open()
            raise

    def _ask(self, endpoint: Endpoint, call: Call[Result]) -> Result:
        return call.read(self._unary(endpoint.unary, call.request))

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
                            stream = stream or self._open_stream(endpoint)
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
        self._require_open()
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
        stream = self._open_stream(endpoint)
        for message in window.unanswered():
            stream.send(message)
        return stream

    def _open_stream(self, endpoint: Endpoint) -> "_Stream":
        try:
            return _Stream(endpoint.stream, self._metadata)
        except ValueError:  # gRPC's word for a closed channel
            self._require_open()
            raise

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
