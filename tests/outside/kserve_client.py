"""kserve's InferenceGRPCClient: python -m tests.outside.kserve_client ADDRESS, a server of the fake models."""

import asyncio
import sys

import grpc
import numpy as np
import pytest
from kserve import InferenceGRPCClient, InferInput, InferRequest


def nth(number: int) -> str:
    """What the fake OCR reads in so many bytes or pixels."""
    return chr(ord("一") + number)


async def main(address: str) -> None:
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready("ocr")

        # Typed contents in, typed contents out.
        image = InferInput("image", [2], "BYTES", data=[b"a", b"bbb"])
        answer = await client.infer(InferRequest("ocr", [image], request_id="mine", parameters={"top_k": 2}))
        assert (answer.id, answer.model_name, answer.model_version) == ("mine", "ocr", "7")
        outputs = {output.name: output for output in answer.outputs}
        assert list(outputs["character"].data) == [nth(1).encode(), nth(3).encode()]
        assert outputs["confidences"].as_numpy().tolist() == [[0.5, 0.25]] * 2
        assert outputs["rejected"].as_numpy().tolist() == [False, False]

        # Raw contents in, raw contents out.
        pixels = InferInput("pixels", [1, 2, 3], "UINT8")
        pixels.set_data_from_numpy(np.zeros((1, 2, 3), np.uint8), binary_data=True)
        answer = await client.infer(InferRequest("ocr", [pixels]))
        outputs = {output.name: output for output in answer.outputs}
        assert outputs["candidates"].as_numpy().shape == (1, 5)
        assert outputs["character"].as_numpy().tolist() == [nth(6).encode()]

        text = InferInput("text", [1], "BYTES", data=["____好"])
        answer = await client.infer(InferRequest("cloze", [text]))
        outputs = {output.name: output for output in answer.outputs}
        assert list(outputs["answer"].data) == [b"5"]

        for name, data, code in (("ocr", [b""], "INVALID_ARGUMENT"), ("nobody", [b"a"], "NOT_FOUND")):
            with pytest.raises(grpc.RpcError) as caught:
                await client.infer(InferRequest(name, [InferInput("image", [1], "BYTES", data=data)]))
            assert caught.value.code() is grpc.StatusCode[code]


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
