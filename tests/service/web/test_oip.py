"""/v2: requests as KServe's and Triton's REST clients send them, by hand and by those clients themselves."""

import base64
import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.service.calls import nth
from tianzi_service.rpc.oip.tensors import LENGTH

B64 = base64.b64encode(b"abc").decode()
IMAGE = {"name": "image", "datatype": "BYTES", "shape": [2], "data": [B64, "YQ=="]}
TEXT = {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["____好"]}


async def test_tensors_in_json(web: Any) -> None:
    async with web() as client:
        asked = {"id": "mine", "parameters": {"top_k": 2}, "inputs": [IMAGE], "outputs": [{"name": "candidates"}]}
        answer = (await client.post("/v2/models/ocr/versions/7/infer", json=asked)).json()
        assert answer == {
            "model_name": "ocr",
            "model_version": "7",
            "id": "mine",
            "outputs": [
                {
                    "name": "candidates",
                    "datatype": "BYTES",
                    "shape": [2, 2],
                    "data": [nth(3), nth(4), nth(1), nth(2)],
                }
            ],
        }
        pixels = {"name": "pixels", "datatype": "UINT8", "shape": [1, 2, 3], "data": [[[0, 0, 0], [0, 0, 0]]]}
        outputs = (await client.post("/v2/models/ocr/infer", json={"inputs": [pixels]})).json()["outputs"]
        told = {output["name"]: output["data"] for output in outputs}
        assert told["character"] == [nth(6)]
        assert told["rejected"] == [False]
        assert told["confidence"] == [0.5]
        filled = (await client.post("/v2/models/cloze/infer", json={"inputs": [TEXT]})).json()["outputs"]
        assert {output["name"]: output["data"] for output in filled}["answer"] == ["5"]


async def test_tensors_as_bytes_behind_the_json(web: Any) -> None:
    """Triton's binary extension, also beside an input in JSON."""
    behind = LENGTH.pack(len("____好".encode())) + "____好".encode()
    text = {"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(behind)}}
    words = {"name": "words", "datatype": "BYTES", "shape": [1, 2], "data": ["小猫", "小狗"]}
    head = json.dumps({"inputs": [text, words], "parameters": {"binary_data_output": True}}).encode()
    async with web() as client:
        length = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
        answer = await client.post("/v2/models/cloze/infer", content=head + behind, headers=length)
        assert answer.status_code == 200, answer.text
        cut = int(answer.headers["inference-header-content-length"])
        outputs = json.loads(answer.content[:cut])["outputs"]
        sizes = [output["parameters"]["binary_data_size"] for output in outputs]
        assert sum(sizes) == len(answer.content) - cut
        assert np.frombuffer(answer.content[cut : cut + sizes[0]], "<i4").tolist() == [1]
        assert "小狗".encode() in answer.content[cut:]


@pytest.mark.parametrize(
    ("asked", "status", "problem"),
    [
        ({"inputs": [{**IMAGE, "shape": [3]}]}, 400, "2 elements"),
        ({"inputs": [{**IMAGE, "data": ["a!", "b"]}]}, 400, "image[0]"),
        ({"inputs": [{**IMAGE, "data": [1, 2]}]}, 400, "image[0]"),
        ({"inputs": [{**IMAGE, "name": "picture"}]}, 400, "'picture'"),
        ({"inputs": [{**IMAGE, "datatype": "FP64"}]}, 400, "datatype"),
        ({"inputs": [{"name": "pixels", "datatype": "UINT8", "shape": [1, 1, 1], "data": [-1]}]}, 400, "UINT8"),
        ({"inputs": [{**IMAGE, "parameters": {"binary_data_size": 5}}]}, 400, "binary_data_size"),
        ({"inputs": [IMAGE], "outputs": [{"name": "nothing"}]}, 400, "'nothing'"),
        ({"inputs": [IMAGE], "parameters": {"top": 1}}, 400, "'top'"),
        ({"inputs": [IMAGE], "parameters": {"top_k": []}}, 400, "'top_k'"),
        ({"inputs": [IMAGE], "input": []}, 400, "'input'"),
        ({"inputs": {}}, 400, "list"),
        ({}, 400, "inputs"),
        ({"inputs": [{**IMAGE, "shape": ["x"]}]}, 400, "whole number"),
    ],
)
async def test_bad_requests_are_told_in_the_protocols_form(
    web: Any, asked: dict[str, Any], status: int, problem: str
) -> None:
    async with web() as client:
        answer = await client.post("/v2/models/ocr/infer", json=asked)
        assert answer.status_code == status
        assert problem in answer.json()["error"]


async def test_metadata_and_readiness(web: Any) -> None:
    async with web() as client:

        async def got(path: str) -> Any:
            return (await client.get(path)).json()

        assert (await got("/v2"))["name"] == "tianzi"
        assert await got("/v2/health/live") == {"live": True}
        assert await got("/v2/health/ready") == {"ready": True}
        model = await got("/v2/models/ocr")
        assert model["versions"] == ["7"]
        assert model["inputs"][1] == {"name": "pixels", "datatype": "UINT8", "shape": [-1, -1, -1]}
        assert await got("/v2/models/cloze/versions/7/ready") == {"name": "cloze", "ready": True}
        assert (await got("/v2/models/ocr/config"))["input"][0]["data_type"] == "TYPE_STRING"
        assert (await got("/v2/models/stats"))["model_stats"][0]["inference_count"] == 0
        assert [one["name"] for one in (await client.post("/v2/repository/index")).json()] == ["ocr", "cloze"]
        for path in ("/v2/models/nobody", "/v2/models/ocr/versions/3", "/v2/models/ocr/versions/x/ready"):
            assert (await client.get(path)).status_code == 404


@pytest.mark.parametrize("script", ["triton_rest", "kserve_rest"])
async def test_a_client_is_served_unchanged(web: Any, script: str) -> None:
    import asyncio

    async with web() as client:
        command = [sys.executable, "-m", f"tests.outside.{script}", client.base_url.netloc.decode()]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "proto"), "PYTHONWARNINGS": "ignore"}
        run = lambda: subprocess.run(  # noqa: E731
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
        )
        done = await asyncio.to_thread(run)
        assert done.returncode == 0, done.stderr
