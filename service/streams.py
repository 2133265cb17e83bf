"""A stream's items answered side by side, with a bound on how many."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from models.errors import InvalidInput


async def answer_stream(
    requests: AsyncIterator[Any],
    context: grpc.aio.ServicerContext[Any, Any],
    window_items: int,
    answer: Callable[[Any], Awaitable[Any]],
) -> None:
    """Writes each item's answer as it is done; `answer` turns an item's error into an answer itself.

    At most window_items are under way, answers that the caller has not yet read among them; then no more is read,
    and gRPC's flow control stops the caller.

    Raises:
        InvalidInput: a message could not be parsed; those before it have been answered.
    """
    window = asyncio.Semaphore(window_items)
    writing = asyncio.Lock()
    unreadable: InvalidInput | None = None

    async def answer_one(request: Any) -> None:
        response = await answer(request)
        async with writing:
            await context.write(response)
        window.release()

    async with asyncio.TaskGroup() as items:
        try:
            async for request in requests:
                await window.acquire()
                items.create_task(answer_one(request))
        except InvalidInput as error:
            unreadable = error
    # Not before the items are answered: gRPC cannot end a call that a write is under way on.
    if unreadable is not None:
        raise unreadable
