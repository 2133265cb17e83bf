"""What our interceptors share: they wrap the handlers of our own services, each once."""

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

OUR_METHODS = ("/tianzi.v1.", "/inference.")

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]
Behaviour: TypeAlias = Callable[[Any, Context], Awaitable[Any]]


class WrappingInterceptor(grpc.aio.ServerInterceptor):
    """Health and reflection go by untouched."""

    def __init__(self) -> None:
        # By method: the handler, and what it was wrapped in. To wrap anew costs each call 20 µs.
        self._wrapped: dict[str, tuple[Any, Any]] = {}

    @abstractmethod
    def wrap(self, method: str, handler: Any) -> Any:
        """The handler to call in place of this one."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(OUR_METHODS):
            return handler
        known = self._wrapped.get(method)
        if known is None or known[0] is not handler:
            known = self._wrapped[method] = (handler, self.wrap(method, handler))
        return known[1]


def rewrapped(handler: Any, answer: Behaviour, parse: Callable[[bytes], Any]) -> Any:
    """A handler of the same kind around another behaviour; ours are coroutines, from message to message or streams."""
    kind = grpc.stream_stream_rpc_method_handler if handler.stream_stream else grpc.unary_unary_rpc_method_handler
    return kind(answer, parse, handler.response_serializer)


def metadata_value(context: Context, key: str) -> Any:
    """The first value of a key that the caller sent, or None."""
    return next((value for name, value in context.invocation_metadata() or () if name == key), None)
