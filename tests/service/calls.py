"""What the tests of the service call a server with, and how they read what came of it."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from tianzi.v1 import ocr_pb2


def image(data: bytes, top_k: int = 1) -> ocr_pb2.RecognizeRequest:
    return ocr_pb2.RecognizeRequest(image=data, top_k=top_k)


def nth(number: int) -> str:
    """What FakeOcr reads in an image of this many bytes."""
    return chr(ord("一") + number)


async def until(condition: Callable[[], object]) -> None:
    """Returns once the condition holds; the test's time limit ends a wait in vain."""
    while not condition():
        await asyncio.sleep(0.005)


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error that the call must end with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def code(call: Any) -> grpc.StatusCode:
    """How the call ends, OK included."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK
