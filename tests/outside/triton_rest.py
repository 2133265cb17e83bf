"""tritonclient's HTTP client: python -m tests.outside.triton_rest ADDRESS, a server of the fake models."""

import sys

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("ocr", "7")
assert client.get_server_metadata()["name"] == "tianzi"
assert client.get_model_metadata("ocr")["inputs"][0]["name"] == "image"
assert client.get_model_config("ocr")["platform"] == "onnxruntime_onnx"
for binary in (True, False):
    pixels = triton.InferInput("pixels", [1, 2, 3], "UINT8")
    pixels.set_data_from_numpy(np.zeros((1, 2, 3), np.uint8), binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("character", "confidence")]
    answer = client.infer("ocr", [pixels], outputs=wanted, request_id="mine", parameters={"top_k": 2})
    assert answer.as_numpy("confidence").tolist() == [0.5]
    (character,) = answer.as_numpy("character")
    assert (character.decode() if isinstance(character, bytes) else character) == chr(ord("一") + 6)
    assert answer.get_response()["id"] == "mine"
image = triton.InferInput("image", [2], "BYTES")
image.set_data_from_numpy(np.array([b"abc", b"\xff"], object), binary_data=True)
assert client.infer("ocr", [image]).as_numpy("candidates").shape == (2, 5)
try:
    client.infer("nobody", [image])
except InferenceServerException as error:
    assert "nobody" in error.message()  # noqa: PT017
else:
    raise AssertionError("no error")
