"""The load benchmark's callers speak HTTP/2 by themselves: what they send gRPC takes, what it answers they read."""

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))
wire: Any = importlib.import_module("wire")

LONG = "why it is so, at length. " * 20


class Answers(grpc.GenericRpcHandler):
    """Echoes messages; fails, waits or doubles them where a call is so named."""

    def __init__(self) -> None:
        async def echo(request: bytes, context: Any) -> bytes:
            return request

        async def fail(request: bytes, context: Any) -> bytes:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, LONG)
            raise AssertionError

        async def wait(request: bytes, context: Any) -> bytes:
            await asyncio.sleep(60)
            return request

        async def each(_: Any, context: Any) -> None:
            while (request := await context.read()) is not grpc.aio.EOF:
                await context.write(request * 2)

        self._handlers = {
            "/x.X/Echo": grpc.unary_unary_rpc_method_handler(echo),
            "/x.X/Fail": grpc.unary_unary_rpc_method_handler(fail),
            "/x.X/Wait": grpc.unary_unary_rpc_method_handler(wait),
            "/x.X/Each": grpc.stream_stream_rpc_method_handler(each),
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self._handlers.get(handler_call_details.method)


@asynccontextmanager
async def connected() -> AsyncIterator[Any]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Answers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    connection = await wire.Connection.open(f"127.0.0.1:{port}")
    try:
        yield connection
    finally:
        connection.close()
        await server.stop(0)


async def test_replies_of_any_size_are_read() -> None:
    async with connected() as connection:
        for size in (0, 1, 16_384, 300_000, 3_000_000):  # within a frame, a window, and beyond them
            message = bytes(range(256)) * (size // 256) + bytes(size % 256)
            assert await wire.unary(connection, "/x.X/Echo", message, bytes) == message
        many = await asyncio.gather(
            *(wire.unary(connection, "/x.X/Echo", b"%d" % n, int, timeout_s=10) for n in range(200))
        )
        assert many == list(range(200))


async def test_failures_are_told_with_their_details() -> None:
    async with connected() as connection:
        for path, code, details, timeout_s in (
            ("/x.X/Fail", grpc.StatusCode.RESOURCE_EXHAUSTED, LONG.strip(), None),
            ("/x.X/None", grpc.StatusCode.UNIMPLEMENTED, "Method not found!", None),
            ("/x.X/Wait", grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", 0.05),
        ):
            with pytest.raises(wire.CallError) as raised:
                await wire.unary(connection, path, b"x", bytes, timeout_s)
            assert (raised.value.code, raised.value.details.strip()) == (code, details)
        waiting = asyncio.create_task(wire.unary(connection, "/x.X/Wait", b"x", bytes))
        await asyncio.sleep(0.05)
        connection.close()
        with pytest.raises(wire.CallError, match="UNAVAILABLE"):
            await waiting


async def test_streams_go_on_in_both_directions() -> None:
    async with connected() as connection:
        call = wire.Call(connection, "/x.X/Each")
        for size in (1, 50_000, 100_000, 7):
            call.write(bytes(size))
            assert await call.read() == bytes(2 * size)
        call.finish()
        assert await call.read() is None
