"""tritonclient for asyncio: python -m tests.outside.triton_aio ADDRESS, a server of the fake models."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from tests.outside.triton import nth, tensor


async def main(address: str) -> None:
    async with aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready() and await client.is_model_ready("cloze")
        assert (await client.get_model_metadata("ocr")).versions == ["7"]
        calls = [client.infer("ocr", [tensor("image", b"x" * n)], request_id=str(n)) for n in range(1, 33)]
        results = await asyncio.gather(*calls)
        assert [result.as_numpy("character")[0] for result in results] == [nth(n) for n in range(1, 33)]
        assert [result.get_response().id for result in results] == [str(n) for n in range(1, 33)]
        with pytest.raises(InferenceServerException) as caught:
            await client.infer("ocr", [tensor("image", b"")])
        assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"

        async def requests() -> AsyncIterator[dict[str, Any]]:
            for n in range(1, 6):
                yield {"model_name": "ocr", "inputs": [tensor("image", b"x" * n)], "request_id": str(n)}

        read = {}
        async for result, error in client.stream_infer(requests()):
            assert error is None
            read[result.get_response().id] = result.as_numpy("character")[0]
        assert read == {str(n): nth(n) for n in range(1, 6)}
        (stats,) = (await client.get_inference_statistics("ocr")).model_stats
        assert stats.inference_count == 37


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
