"""A moment of what ./run fuzz does for long: any bytes are read, or refused as bad input."""

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from fuzz.targets import MAX_SIDE_PX, TARGETS, image, seeds, tensors, text
from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.image import FORMATS, decode_image

short = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(kind: str) -> bytes:
    """A small picture in one of the formats."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(24 * 24, dtype=np.uint8).reshape(24, 24)).save(buffer, kind)
    return buffer.getvalue()


PICTURES = {kind: encoded(kind) for kind in FORMATS}


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Good input with some bytes changed, cut out or put in."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = start + draw(st.sampled_from([0, 1, 4, 1000]))
        data[start:end] = draw(st.binary(max_size=6))
    return bytes(data)


@short
@given(damaged(st.sampled_from(sorted(PICTURES.values()))))
@example(PICTURES["PNG"])
def test_damaged_pictures(data: bytes) -> None:
    image(data)


@short
@given(damaged(st.sampled_from(list(seeds("tensors")))) | st.binary(max_size=200))
def test_damaged_tensors(data: bytes) -> None:
    tensors(data)


@short
@given(damaged(st.sampled_from(list(seeds("text")))) | st.text(max_size=80).map(str.encode))
def test_damaged_texts(data: bytes) -> None:
    text(data)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_good(name: str) -> None:
    target: Callable[[bytes], None] = TARGETS[name]
    for seed in seeds(name):
        target(seed)


def test_formats_that_are_not_allowed_are_no_images() -> None:
    for kind in ("PPM", "ICO", "TGA", "PDF", "EPS"):
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, kind)
        with pytest.raises(InvalidInput, match="not an image in one of the formats"):
            decode_image(buffer.getvalue(), MAX_SIDE_PX)


@pytest.mark.parametrize("side_px", [MAX_SIDE_PX + 1, 50_000])
def test_a_bomb_is_refused_by_its_header(side_px: int) -> None:
    """Of the second, decoded, 2.5 GB would come out of some kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (side_px, 1)).save(buffer, "PNG")
    bomb = bytearray(buffer.getvalue())
    header = bytearray(b"IHDR" + side_px.to_bytes(4, "big") + side_px.to_bytes(4, "big") + bomb[24:29])
    bomb[12:33] = header + zlib.crc32(header).to_bytes(4, "big")
    with pytest.raises(InvalidInput, match=r"px, at most|pixels, at most"):
        decode_image(bytes(bomb), MAX_SIDE_PX)
