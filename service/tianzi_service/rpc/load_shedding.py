"""How our methods are found, and how single calls are refused before they are read while there is no time for them."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import grpc

from tianzi_service.rpc.deadline import deadline_s
from tianzi_service.rpc.errors import parsed
from tianzi_service.rpc.middleware import Context, Wrap


class Gate(Protocol):
    """Says which single calls are refused, whatever is in them."""

    def is_narrow(self) -> bool:
        """Whether any may be refused now. Asked in every call, so told in microseconds."""

    def require(self, deadline_s: float | None) -> None:
        """Raises what a call with this deadline, in the event loop's time, is refused with."""


class Handlers(grpc.GenericRpcHandler):
    """Stands for the gRPC server where generated code adds a service, and finds the handlers, wrapped, in every call.

    They are wrapped once: an interceptor of gRPC is asked in every call, and costs each of them 30 µs. Nor are they
    registered by method: gRPC then waits for the next call of each method anew, whenever one comes.
    """

    def __init__(self, wrap: Wrap, gates: Mapping[str, Gate]) -> None:
        """gates: of methods with one request and one response, such as "/tianzi.v1.OcrService/Recognize"."""
        self._wrap = wrap
        self._gates = gates
        self._handlers: dict[str, Any] = {}
        self._careful: dict[str, tuple[Gate, Any]] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call, or None."""
        method = handler_call_details.method
        gate, careful = self._careful.get(method, (None, None))
        return careful if gate is not None and gate.is_narrow() else self._handlers.get(method)

    def add_generic_rpc_handlers(self, _: Iterable[grpc.GenericRpcHandler]) -> None:
        """Generated code names the same handlers twice; the second time by method."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """handlers: by the method's own name."""
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            self._handlers[method] = self._wrap(method, handler)
            if gate := self._gates.get(method):
                self._careful[method] = gate, self._wrap(method, _asking_first(gate, handler))


def _asking_first(gate: Gate, handler: Any) -> Any:
    """To gRPC a stream in both directions, for only these begin before their request is there; to the caller the same.

    What is refused so costs less; what is answered costs more, as it is not sent in one go with the status.
    """
    behaviour = handler.unary_unary

    async def answer(_: Any, context: Context) -> None:
        gate.require(deadline_s(context))
        request = await context.read()
        if request is grpc.aio.EOF:
            raise asyncio.CancelledError  # the caller has left, or gRPC has ended the call: its request was too large
        await context.write(await behaviour(parsed(request), context))

    return grpc.stream_stream_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)
