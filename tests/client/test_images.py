"""What may be given as an image: files of all kinds, and base64 as it is found."""

import base64
import io
import os
from pathlib import Path

import pytest

from tianzi import InvalidInput
from tianzi.convert import recognize_request
from tianzi.images import from_base64

CONTENT = bytes(range(256)) * 3 + b"\xfb\xff"
PLAIN = base64.b64encode(CONTENT).decode()


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.rstrip("="),
        base64.encodebytes(CONTENT).decode(),
        "\r\n".join(PLAIN[at : at + 64] for at in range(0, len(PLAIN), 64)),
        base64.urlsafe_b64encode(CONTENT).decode(),
        base64.urlsafe_b64encode(CONTENT).decode().rstrip("="),
        f"data:image/webp;base64,{PLAIN}",
        f"DATA:;base64,{PLAIN}",
        "data:image/png;base64," + PLAIN.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    ],
)
def test_base64_is_read_in_every_form(text: str) -> None:
    assert from_base64(text) == CONTENT


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("QUJD!", r"no base64: character 4 is '!'"),
        ("QUJDQ", "no base64: 5 characters; is it cut short"),
        ("data:image/png;base64", "a data URL without a comma"),
        ("图片", "no base64: character 0 is '图'"),
    ],
)
def test_what_is_no_base64_says_where(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        from_base64(text)


def test_files_and_data_urls_are_images(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    with (tmp_path / "a").open("rb") as file:
        assert recognize_request(file, 1).image == CONTENT
    for image in (io.BytesIO(CONTENT), memoryview(CONTENT), f"data:image/png;base64,{PLAIN}"):
        assert recognize_request(image, 1).image == CONTENT
    assert recognize_request("data:,a%20b", 1).image == b"a b"


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (io.StringIO("a"), "a file that gives text, must be opened as bytes"),
        ("https://example.com/a.png", "is a URL, which is not fetched"),
        ("/dev/zero", "/dev/zero: is a device, must be a file"),
    ],
)
def test_what_would_not_be_read_is_refused(image: object, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        recognize_request(image, 1)  # type: ignore[arg-type]


def test_a_closed_file_and_a_pipe_are_refused(tmp_path: Path) -> None:
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(InvalidInput, match="image: cannot be read: I/O operation on closed file"):
        recognize_request(closed, 1)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InvalidInput, match=r"pipe.png: is a pipe, must be a file"):
        recognize_request(tmp_path / "pipe.png", 1)


def test_a_pipe_that_was_handed_over_is_read() -> None:
    reading, writing = os.pipe()
    os.write(writing, CONTENT)
    os.close(writing)
    assert recognize_request(f"/dev/fd/{reading}", 1).image == CONTENT
    os.close(reading)
