"""tritonclient, synchronous: python -m tests.outside.triton ADDRESS, a server of the fake models."""

import queue
import sys
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as triton
from tritonclient.utils import InferenceServerException


def nth(number: int) -> bytes:
    """What the fake OCR reads in so many bytes or pixels."""
    return chr(ord("一") + number).encode()


def tensor(name: str, *items: bytes) -> triton.InferInput:
    made = triton.InferInput(name, [len(items)], "BYTES")
    made.set_data_from_numpy(np.array(items, dtype=object))
    return made


def failure(call: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call()
    return caught.value.status(), caught.value.message()


def metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("ocr", "7")
    assert client.get_server_metadata().name == "tianzi"
    ocr = client.get_model_metadata("ocr")
    assert [(t.name, t.datatype, list(t.shape)) for t in ocr.inputs] == [
        ("image", "BYTES", [-1]),
        ("pixels", "UINT8", [-1, -1, -1]),
    ]
    config = client.get_model_config("cloze", as_json=True)["config"]
    assert [(t["name"], t["data_type"], t.get("optional")) for t in config["input"]] == [
        ("text", "TYPE_STRING", None),
        ("query", "TYPE_STRING", True),
        ("words", "TYPE_STRING", True),
    ]
    assert config["parameters"]["max_blanks"] == {"string_value": "32"}
    index = client.get_model_repository_index(as_json=True)["models"]
    assert index == [{"name": name, "version": "7", "state": "READY"} for name in ("ocr", "cloze")]


def infer(client: triton.InferenceServerClient) -> None:
    images = [tensor("image", b"a", b"bb", b"c" * 1000)]
    result = client.infer("ocr", images, request_id="mine", parameters={"top_k": 2})
    assert result.get_response().id == "mine"
    assert result.as_numpy("character").tolist() == [nth(1), nth(2), nth(1000)]
    assert result.as_numpy("candidates").tolist() == [[nth(n), nth(n + 1)] for n in (1, 2, 1000)]
    assert result.as_numpy("confidences").tolist() == [[0.5, 0.25]] * 3
    assert result.as_numpy("rejected").tolist() == [False] * 3

    pixels = triton.InferInput("pixels", [2, 2, 3], "UINT8")
    pixels.set_data_from_numpy(np.array([np.zeros((2, 3)), np.full((2, 3), 255)], np.uint8))
    outputs = [triton.InferRequestedOutput("rejected"), triton.InferRequestedOutput("character")]
    result = client.infer("ocr", [pixels], outputs=outputs)
    assert [output.name for output in result.get_response().outputs] == ["rejected", "character"]
    assert result.as_numpy("character").tolist() == [nth(6), b""]

    result = client.infer("cloze", [tensor("text", "____好".encode(), b"__"), tensor("query", b"", b"abc")])
    assert result.as_numpy("blanks").tolist() == [1, 1]
    assert result.as_numpy("answer").tolist() == [[b"5"], [b"2"]]
    assert result.as_numpy("candidates")[:, 0, :2].tolist() == [[b"5", b"0"], [b"2", b"3"]]


def stream(client: triton.InferenceServerClient) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for number in range(1, 6):
        client.async_stream_infer("ocr", [tensor("image", b"x" * number)], request_id=str(number))
    client.async_stream_infer("ocr", [tensor("image", b"x", b"")])
    got = [answers.get(timeout=20) for _ in range(6)]
    client.stop_stream()
    read = {result.get_response().id: result.as_numpy("character")[0] for result, error in got if not error}
    assert read == {str(number): nth(number) for number in range(1, 6)}
    assert [error.message() for _, error in got if error] == ["image[1]: empty"]


def errors(client: triton.InferenceServerClient) -> None:
    bad_row = failure(lambda: client.infer("ocr", [tensor("image", b"a", b"", b"c")]))
    assert bad_row == ("StatusCode.INVALID_ARGUMENT", "image[1]: empty")
    assert failure(lambda: client.infer("nobody", [tensor("image", b"a")]))[0] == "StatusCode.NOT_FOUND"
    assert failure(lambda: client.infer("ocr", [tensor("image", b"a")], model_version="8"))[0] == "StatusCode.NOT_FOUND"
    assert failure(lambda: client.get_model_metadata("nobody"))[0] == "StatusCode.NOT_FOUND"
    assert failure(lambda: client.infer("ocr", [tensor("image", b"poison")]))[0] == "StatusCode.INTERNAL"
    assert failure(lambda: client.load_model("ocr"))[0] == "StatusCode.UNIMPLEMENTED"


def statistics(client: triton.InferenceServerClient) -> None:
    (ocr,) = client.get_inference_statistics("ocr").model_stats
    assert (ocr.name, ocr.version) == ("ocr", "7")
    assert ocr.inference_count >= 10 and ocr.execution_count >= 1
    assert ocr.inference_stats.success.count == ocr.inference_stats.compute_infer.count == ocr.inference_count
    assert ocr.inference_stats.fail.count >= 2
    assert ocr.last_inference > 1_700_000_000_000, "milliseconds since 1970"
    assert len(client.get_inference_statistics().model_stats) == 2


if __name__ == "__main__":
    with triton.InferenceServerClient(sys.argv[1]) as connected:
        for check in (metadata, infer, stream, errors, statistics):
            check(connected)
