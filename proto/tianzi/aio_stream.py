"""A bidirectional call for asyncio: both directions flow while neither waits."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any, TypeVar

import grpc
import grpc.aio

from tianzi.errors import DeadlineExceeded, InternalError, TianziError, from_call

Item = TypeVar("Item")

CALL_HAS_ENDED = (grpc.RpcError, asyncio.InvalidStateError)
LAST_WORD_S = 1.0
"""How long a server may take to end a stream whose answers have all come."""


async def in_turn(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items of a plain iterable."""
    for item in items:
        yield item


class Stream:
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
