"""When a call's time is up."""

import asyncio
from typing import Any

import grpc


def deadline_s(context: grpc.aio.ServicerContext[Any, Any]) -> float | None:
    """The caller's deadline in the event loop's time; None where there is none."""
    left_s = context.time_remaining()
    return None if left_s is None else asyncio.get_running_loop().time() + left_s
