"""What is put around the handlers of our own services: it sees each call, and what comes of it."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from tianzi_service.telemetry.observer import Observer

OUR_METHODS = ("/tianzi.v1.", "/inference.")

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]
Wrap: TypeAlias = Callable[[str, Any], Any]
"""Method and handler → the handler to call in its place."""


class Wrapper(ABC):
    """Puts a behaviour around another."""

    @abstractmethod
    def wrap(self, method: str, handler: Any) -> Any:
        """The handler to call in place of this one. method: "/tianzi.v1.OcrService/Recognize"."""


def in_turn(*wrappers: Wrapper) -> Wrap:
    """All of them, from the innermost."""

    def wrap(method: str, handler: Any) -> Any:
        for wrapper in wrappers:
            handler = wrapper.wrap(method, handler)
        return handler

    return wrap


def rewrapped(handler: Any, answer: Behaviour, parse: Callable[[bytes], Any]) -> Any:
    """A handler of the same kind around another behaviour; ours are coroutines, from message to message or streams."""
    kind = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.unary_unary_rpc_method_handler
    return kind(answer, parse, handler.response_serializer)


class WatchWrapper(Wrapper):
    """Tells an observer of each call. Must be the outermost, to see also what the others refuse."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def wrap(self, method: str, handler: Any) -> Any:
        behaviour = handler.stream_stream or handler.unary_unary

        async def answer(request: Any, context: Context) -> Any:
            began = time.perf_counter()
            self._observer.call_began(method, context.invocation_metadata() or ())
            code = grpc.StatusCode.CANCELLED
            try:
                response = await behaviour(request, context)
                code = grpc.StatusCode.OK
                return response
            except grpc.aio.AbortError:
                code = context.code()
                raise
            finally:
                self._observer.call_ended(method, code.name, time.perf_counter() - began)

        return rewrapped(handler, answer, handler.request_deserializer)


def metadata_value(context: Context, key: str) -> Any:
    """The first value of a key that the caller sent, or None."""
    for name, value in context.invocation_metadata() or ():
        if name == key:
            return value
    return None
