"""What is put around the handlers of our own services: it sees each call, and what comes of it."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

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


def metadata_value(context: Context, key: str) -> Any:
    """The first value of a key that the caller sent, or None."""
    for name, value in context.invocation_metadata() or ():
        if name == key:
            return value
    return None
