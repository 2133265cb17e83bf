"""A stream's items answered side by side, with a bound on how many."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from tianzi_models.errors import InvalidInput
from tianzi_service.rpc.errors import parsed


async def answer_stream(
    context: grpc.aio.ServicerContext[Any, Any], window_items: int, answer: Callable[[Any], Awaitable[Any]]
) -> None:
    """Reads a stream to its end and writes each item's answer as it is done; `answer` turns an item's error into an
    answer itself.

    At most window_items are under way, answers that the caller has not yet read among them; then no more is read,
    and gRPC's flow control stops the caller.

    Raises:
        InvalidInput: a message could not be parsed; those before it have been answered.
    """
    window = asyncio.Semaphore(window_items)
    done: deque[Any] = deque()
    writing = False
    unreadable: InvalidInput | None = None

    async def answer_one(request: Any) -> None:
        nonlocal writing
        done.append(await answer(request))
        if writing:
            return  # who is at it writes this one too: a lock would wake a task for each
        writing = True
        while done:
            await context.write(done.popleft())
            window.release()
        writing = False

    async with asyncio.TaskGroup() as items:
        try:
            # The iterator that gRPC offers reads so, too, through two generators more.
            while (request := await context.read()) is not grpc.aio.EOF:
                readable = parsed(request)
                await window.acquire()
                items.create_task(answer_one(readable))
        except InvalidInput as error:
            unreadable = error
    # Not before the items are answered: gRPC cannot end a call that a write is under way on.
    if unreadable is not None:
        raise unreadable
