"""/v1: every form of an image and a text is the same request, batches keep order, and slips are told by field."""

import base64
import json
from typing import Any

import pytest

from tests.service.calls import nth
from tests.service.web.conftest import error

B64 = base64.b64encode(b"abc").decode()


async def read(web: Any, **request: Any) -> str:
    async with web() as client:
        response = await client.post("/v1/recognize", **request)
        assert response.status_code == 200, response.text
        return str(response.json()["candidates"][0]["text"])


@pytest.mark.parametrize(
    "request_",
    [
        {"json": {"image": B64}},
        {"json": {"image": f"data:image/png;base64,{B64}"}},
        {"json": {"image": f" {B64[:2]}\n{B64[2:]} "}},
        {"json": {"gray": {"width": 3, "height": 1, "pixels": B64}}},
        {"content": b"abc", "headers": {"content-type": "image/png"}},
        {"content": b"abc", "headers": {"content-type": "application/octet-stream"}},
        {"content": b"abc"},
        {"files": {"image": ("a.png", b"abc")}},
        {"files": {"image": (None, B64)}},
    ],
)
async def test_an_image_may_come_in_any_form(web: Any, request_: dict[str, Any]) -> None:
    assert await read(web, **request_) == nth(3)


@pytest.mark.parametrize("text", ["-_-_", "+/+/", "-_8", "-_8=", "+/8="])
async def test_base64_of_either_alphabet_with_or_without_padding(web: Any, text: str) -> None:
    assert await read(web, json={"image": text}) == nth(len(text.rstrip("=")) * 3 // 4)


async def test_options_come_in_json_query_and_form_alike(web: Any) -> None:
    png = {"content-type": "image/png"}
    async with web() as client:
        for request in (
            {"json": {"image": B64, "top_k": 2}},
            {"json": {"image": B64, "topK": 2}},
            {"content": b"abc", "headers": png, "params": {"top_k": "2"}},
            {"files": {"image": ("a.png", b"abc")}, "data": {"top_k": "2"}},
        ):
            answer = (await client.post("/v1/recognize", **request)).json()
            assert [one["text"] for one in answer["candidates"]] == [nth(3), nth(4)]
            assert answer["rejected"] is False
            assert answer["model_version"] == 7
            assert answer["timing"].keys() == {"queue_us", "preprocess_us", "inference_us", "postprocess_us"}
        allowed = await client.post("/v1/recognize", content=b"abc", headers=png, params={"allowed": ["x", "y"]})
        assert [one["text"] for one in allowed.json()["candidates"]] == ["x", "y"]


async def test_a_text_is_json_a_form_or_the_body_itself(web: Any) -> None:
    async with web() as client:
        for request in (
            {"json": {"text": "____好", "candidates": ["小猫"], "marker": "?"}},
            {"files": [("text", (None, "____好")), ("candidates", (None, "小猫")), ("marker", (None, "?"))]},
            {
                "content": "____好".encode(),
                "headers": {"content-type": "text/plain; charset=utf-8"},
                "params": {"candidates": "小猫", "marker": "?"},
            },
        ):
            (blank,) = (await client.post("/v1/fill", **request)).json()["blanks"]
            assert [one["text"] for one in blank["candidates"]] == ["5", "0", "?", "小猫", "5"]
            assert blank["candidates"][0]["positions"] == [{"start": 5, "end": 6}]
            assert blank["in_query"] is False


async def test_a_batch_keeps_order_and_a_bad_item_is_its_own_error(web: Any) -> None:
    async with web() as client:
        given = await client.post("/v1/recognize:batch", json={"requests": [{"image": B64}, {}, {"image": "YQ"}]})
        files = [("image", ("a", b"abc")), ("image", ("b", b"")), ("image", ("c", b"a")), ("top_k", (None, "1"))]
        formed = await client.post("/v1/recognize:batch", files=files)
        for response, field in ((given, "source"), (formed, "image")):
            first, second, third = response.json()["items"]
            assert [first["ok"]["candidates"][0]["text"], third["ok"]["candidates"][0]["text"]] == [nth(3), nth(1)]
            assert second["error"]["code"] == "INVALID_ARGUMENT"
            assert second["error"]["field"] == field
        texts = await client.post("/v1/fill:batch", json={"requests": [{"text": "____好"}, {"text": "____"}]})
        assert [item["ok"]["blanks"][0]["candidates"][0]["text"] for item in texts.json()["items"]] == ["5", "4"]


async def test_a_sequence_is_read_as_one_text(web: Any) -> None:
    async with web() as client:
        files = [("image", ("a", b"abc")), ("image", ("b", b"a"))]
        answer = (await client.post("/v1/recognize:sequence", files=files)).json()
        assert len(answer["text"]) == len(answer["characters"]) == 2
        failed = await client.post("/v1/recognize:sequence", json={"requests": [{"image": B64}, {"image": ""}]})
        assert error(failed, 400, "INVALID_ARGUMENT")["field"] == "requests[1].image"


@pytest.mark.parametrize(
    ("path", "body", "field", "problem"),
    [
        ("/v1/recognize", "", "body", "empty"),
        ("/v1/recognize", "{", "body", "line 1, column 2"),
        ("/v1/recognize", "[]", "body", "object"),
        ("/v1/recognize", '{"image": 5}', "image", "base64"),
        ("/v1/recognize", '{"image": "a!bc"}', "image", "character 1"),
        ("/v1/recognize", '{"image": "abcde"}', "image", "5 digits"),
        ("/v1/recognize", '{"image": "data:image/png,abc"}', "image", ";base64"),
        ("/v1/recognize", '{"img": "YQ"}', "img", "must be among image, gray, top_k"),
        ("/v1/recognize", '{"image": "YQ", "gray": {}}', "gray", "beside image"),
        ("/v1/recognize", '{"image": "YQ", "top_k": "many"}', "top_k", "whole number"),
        ("/v1/recognize", '{"image": "YQ", "top_k": 1.5}', "top_k", "whole number"),
        ("/v1/recognize", '{"image": "YQ", "top_k": true}', "top_k", "whole number"),
        ("/v1/recognize", '{"image": "YQ", "top_k": -1}', "top_k", "range"),
        ("/v1/recognize", '{"image": "YQ", "allowed": "x"}', "allowed", "list"),
        ("/v1/recognize", '{"image": "YQ", "allowed": [1]}', "allowed[0]", "text"),
        ("/v1/recognize", '{"gray": 5}', "gray", "object"),
        ("/v1/recognize", '{"gray": {"width": "x"}}', "gray.width", "whole number"),
        ("/v1/recognize", '{"top_k": 3}', "source", "missing"),
        ("/v1/fill", '{"text": "\\ud800"}', "text", "surrogate"),
        ("/v1/fill", '{"text": null}', "document", "missing"),
        ("/v1/fill", "[" * 100_000, "body", "not JSON"),
        ("/v1/recognize:batch", '{"requests": [{"image": "YQ"}, {"top_q": 1}]}', "requests[1].top_q", "not known"),
        ("/v1/recognize:batch", '{"requests": []}', "requests", "0 items"),
        ("/v1/recognize:batch", '{"requests": {}}', "requests", "list"),
    ],
)
async def test_bad_json_names_its_field(web: Any, path: str, body: str, field: str, problem: str) -> None:
    async with web() as client:
        response = await client.post(path, content=body, headers={"content-type": "application/json"})
        told = error(response, 400, "INVALID_ARGUMENT")
        assert told["field"] == field
        assert problem in told["message"]


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"content": b"abc", "headers": {"content-type": "multipart/form-data"}}, "content-type"),
        ({"content": b"abc", "headers": {"content-type": "multipart/form-data; boundary=x"}}, "body"),
        ({"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}}, "body"),
        ({"files": {"picture": ("a.png", b"abc")}}, "picture"),
        ({"files": [("image", ("a", b"a")), ("image", ("b", b"b"))]}, "image"),
        ({"content": b"abc", "params": {"top_k": ["1", "2"]}}, "top_k"),
        ({"content": b"abc", "params": {"topp": "1"}}, "topp"),
        ({"json": {"image": "YQ", "top_k": 1}, "params": {"top_k": "1"}}, "top_k"),
    ],
)
async def test_bad_forms_and_queries_name_their_field(web: Any, request_: dict[str, Any], field: str) -> None:
    async with web() as client:
        assert error(await client.post("/v1/recognize", **request_), 400, "INVALID_ARGUMENT")["field"] == field


async def test_other_types_of_bodies_are_refused(web: Any) -> None:
    async with web() as client:
        form = error(await client.post("/v1/fill", data={"text": "____"}), 415, "INVALID_ARGUMENT")
        assert "--json" in form["message"]
        error(await client.post("/v1/recognize:batch", content=b"abc"), 415, "INVALID_ARGUMENT")
        gzip = {"content-encoding": "gzip", "content-type": "image/png"}
        error(await client.post("/v1/recognize", content=b"abc", headers=gzip), 415, "INVALID_ARGUMENT")


async def test_info_names_models_and_limits(web: Any) -> None:
    async with web(max_batch_items=9) as client:
        told = (await client.get("/v1/info")).json()
        assert [(model["name"], model["version"]) for model in told["models"]] == [("ocr", 7), ("cloze", 7)]
        assert told["limits"]["max_batch_items"] == 9
        assert told["limits"]["max_message_bytes"] == str(16 * 2**20)


async def test_large_bodies_are_read_in_a_thread(web: Any) -> None:
    large = json.dumps({"image": base64.b64encode(b"\0" * 100_000).decode()})
    async with web() as client:
        answer = await client.post("/v1/recognize", content=large, headers={"content-type": "application/json"})
        assert answer.json()["candidates"][0]["text"] == nth(100_000)
