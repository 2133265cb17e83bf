"""kserve's InferenceRESTClient: python -m tests.outside.kserve_rest ADDRESS, a server of the fake models."""

import asyncio
import base64
import sys

import httpx
import numpy as np
import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig


async def main(base: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=20))
    assert await client.is_server_live(base) and await client.is_server_ready(base)
    assert await client.is_model_ready(base, "ocr")
    image = InferInput("image", [1], "BYTES", data=[base64.b64encode(b"abc").decode()])
    answer = await client.infer(base, InferRequest("ocr", [image], request_id="mine"), model_name="ocr")
    outputs = {output.name: output for output in answer.outputs}
    assert list(outputs["character"].data) == [chr(ord("一") + 3)]
    pixels = InferInput("pixels", [1, 2, 3], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 2, 3), np.uint8), binary_data=True)
    answer = await client.infer(base, InferRequest("ocr", [pixels]), model_name="ocr")
    assert {output.name: output for output in answer.outputs}["confidence"].as_numpy().tolist() == [0.5]
    with pytest.raises(httpx.HTTPStatusError, match="nobody"):
        await client.infer(base, InferRequest("nobody", [image]), model_name="nobody")


if __name__ == "__main__":
    asyncio.run(main(f"http://{sys.argv[1]}"))
