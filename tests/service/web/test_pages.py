"""The pages and the description: headers, what they load, and that the description tells of every field."""

import re
from typing import Any

import pytest

from tianzi.v1 import cloze_pb2, ocr_pb2
from tianzi_service.web.pages import FOLDER


async def test_pages_come_with_a_policy_and_a_tag(web: Any) -> None:
    async with web() as client:
        for path in ("/", "/docs", "/static/app.js", "/static/style.css", "/static/icon.svg"):
            page = await client.get(path)
            assert page.status_code == 200
            assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
            again = await client.get(path, headers={"if-none-match": page.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
    async with web(http_page=False) as client:
        assert (await client.get("/")).status_code == 404
        assert (await client.get("/openapi.json")).status_code == 200


@pytest.mark.parametrize("file", sorted(file.name for file in FOLDER.iterdir()))
def test_nothing_is_loaded_from_elsewhere(file: str) -> None:
    text = (FOLDER / file).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    assert not re.findall(r"https?://\w", text)


async def test_the_description_tells_of_every_path_and_field(web: Any) -> None:
    async with web() as client:
        told = (await client.get("/openapi.json")).json()
    assert told["openapi"] == "3.1.0"
    assert set(told["paths"]) == {
        "/v1/recognize",
        "/v1/fill",
        "/v1/recognize:batch",
        "/v1/recognize:sequence",
        "/v1/fill:batch",
        "/v1/info",
    }
    schemas = told["components"]["schemas"]
    for message in (ocr_pb2.RecognizeRequest, cloze_pb2.FillRequest, cloze_pb2.Blank):
        described = schemas[message.DESCRIPTOR.name]["properties"]
        assert list(described) == [field.name for field in message.DESCRIPTOR.fields]
    assert "0 means 5" in schemas["RecognizeRequest"]["properties"]["top_k"]["description"]
    assert schemas["BatchFillResponse.Item"]["properties"]["error"]["$ref"].endswith("/Error")
    for reference in re.findall(r'"\$ref": ?"#/components/(\w+)/([^"]+)"', str(told).replace("'", '"')):
        assert reference[1] in told["components"][reference[0]]
