"""What a request holds for every kind of image and question, and what is refused before it is sent."""

import array
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tianzi import InvalidInput, Question, convert
from tianzi.v1 import cloze_pb2


def decoded(image: Any) -> Image.Image:
    """The picture that the request for an image holds."""
    return Image.open(io.BytesIO(convert.recognize_request(image, 5).image))


def test_files_go_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "字.jpg"
    file.write_bytes(b"whatever")
    for image in (file, str(file), b"whatever", bytearray(b"whatever")):
        request = convert.recognize_request(image, 3)
        assert (request.image, request.top_k) == (b"whatever", 3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        np.arange(12, dtype=np.uint8).reshape(2, 6)[:, ::2] // 2,
        memoryview(bytes(range(6))).cast("B", (2, 3)),
    ],
    ids=["rows", "columns", "strided", "memoryview"],
)
def test_grey_arrays_go_as_pixels_in_rows(pixels: Any) -> None:
    gray = convert.recognize_request(pixels, 5).gray
    assert (gray.width, gray.height, gray.pixels) == (3, 2, bytes(range(6)))


def test_what_turns_into_an_array_goes_as_one() -> None:
    class Tensor:
        def __array__(self) -> Any:
            return np.zeros((2, 3), np.uint8)

    assert convert.recognize_request(Tensor(), 5).gray.pixels == bytes(6)


@pytest.mark.parametrize(("channels", "mode"), [(3, "RGB"), (4, "RGBA")])
def test_colour_arrays_go_as_png(channels: int, mode: str) -> None:
    pixels = np.arange(6 * channels, dtype=np.uint8).reshape(2, 3, channels)
    image = decoded(pixels)
    assert (image.format, image.mode) == ("PNG", mode)
    assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK", "YCbCr", "HSV", "LAB", "F", "I"])
def test_pil_images_of_every_mode_go_as_png(mode: str) -> None:
    image = decoded(Image.new(mode, (4, 3)))
    assert (image.format, image.size) == ("PNG", (4, 3))


def test_pil_image_keeps_its_rotation_for_the_server() -> None:
    image = Image.new("L", (4, 3))
    image.getexif()[0x0112] = 6
    assert decoded(image).getexif()[0x0112] == 6


def test_damaged_pil_image_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:500])
    with Image.open(file) as image, pytest.raises(InvalidInput, match=r"image: cannot be encoded: .*truncated"):
        convert.recognize_request(image, 5)


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (5, "int is neither path, bytes, file, PIL image nor uint8 array"),
        (None, "NoneType is neither"),
        ("no\0where", "null"),
        ("/", "/: Is a directory"),
        (np.zeros((2, 3)), r"shape \(2, 3\) and format d, must be \(H, W\) or \(H, W, 3 or 4\) uint8"),
        (np.zeros((2, 3), bool), "format ?"),
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((2, 3, 2), np.uint8), r"shape \(2, 3, 2\)"),
        (np.zeros((0, 3), np.uint8), r"shape \(0, 3\)"),
        (array.array("B", [1, 2]), r"shape \(2,\)"),
    ],
)
def test_what_is_no_image_is_refused(image: Any, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem) as error:
        convert.recognize_request(image, 5)
    assert error.value.field == "image"
    assert str(error.value).startswith("image: ")


@pytest.mark.parametrize("top_k", [0, -1, 2**32, 2.5, "5"])
def test_top_k_is_a_number_from_one(top_k: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^top_k: {top_k}, must be"):
        convert.recognize_request(b"a", top_k)


def test_question_of_text() -> None:
    request = convert.fill_request(Question("小____", "____大", "@", ("猫", "狗"), top_k=3))
    assert request == cloze_pb2.FillRequest(
        text="小____", query_text="____大", marker="@", candidates=["猫", "狗"], top_k=3, source=cloze_pb2.SOURCE_ANY
    )


def test_the_source_of_words_is_asked_for_by_name() -> None:
    assert convert.fill_request(Question("小____", source="text")).source == cloze_pb2.SOURCE_TEXT
    for name in ("lexicon", "candidates", "TEXT", ""):
        with pytest.raises(InvalidInput, match=f"source: '{name}', must be any or text"):
            convert.fill_request(Question("小____", source=name))


def test_where_a_word_is_from_and_whether_any_fits() -> None:
    sources = [cloze_pb2.SOURCE_TEXT, cloze_pb2.SOURCE_CANDIDATES, cloze_pb2.SOURCE_LEXICON]
    candidates = [cloze_pb2.WordCandidate(text="猫", source=source) for source in sources]
    # An older server says nothing, and answers with words of the text; a newer one may know a source that we do not.
    candidates += [cloze_pb2.WordCandidate(text="猫"), cloze_pb2.WordCandidate(text="猫", source=9)]  # type: ignore[arg-type]
    response = cloze_pb2.FillResponse(blanks=[cloze_pb2.Blank(candidates=candidates, rejected=True)])
    (blank,) = convert.filling(response, Question("____")).blanks
    assert [word.source for word in blank.candidates] == ["text", "candidates", "lexicon", "text", "other"]
    assert blank.rejected


def test_question_of_tokens() -> None:
    request = convert.fill_request(Question(["小", "XXXXX"], iter(["大", "XXXXX"])))  # type: ignore[arg-type]
    assert (list(request.tokens.tokens), list(request.query_tokens.tokens)) == (["小", "XXXXX"], ["大", "XXXXX"])


@pytest.mark.parametrize("query", ["", (), []])
def test_no_query_is_not_sent(query: Any) -> None:
    assert convert.fill_request(Question("____", query)).WhichOneof("query") is None


@pytest.mark.parametrize(("document", "kind"), [("", "text"), ((), "tokens")])
def test_an_empty_document_is_the_servers_to_refuse(document: Any, kind: str) -> None:
    assert convert.fill_request(Question(document)).WhichOneof("document") == kind


@pytest.mark.parametrize(
    ("question", "field", "problem"),
    [
        (Question("ab\ud800"), "text", "character 2 is a lone surrogate"),
        (Question(["ab", "\udfff"]), "tokens", "character 0 is a lone surrogate"),
        (Question("a", marker="\ud800"), "marker", "character 0 is a lone surrogate"),
        (Question(5), "tokens", "int, must be a sequence of words"),  # type: ignore[arg-type]
        (Question(b"abc"), "tokens", "int, must be text"),  # type: ignore[arg-type]
        (Question(["a", None]), "tokens", "NoneType, must be text"),  # type: ignore[list-item]
        (Question("a", candidates="猫狗"), "candidates", "str, must be a sequence of words"),
        (Question("a", query=3), "query_tokens", "int, must be"),  # type: ignore[arg-type]
        (Question("a", top_k=0), "top_k", "0, must be"),
    ],
)
def test_what_is_no_question_is_refused(question: Question, field: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=f"^{field}: {problem}") as error:
        convert.fill_request(question)
    assert error.value.field == field


def test_several_blanks_are_filled_where_they_stand() -> None:
    word = cloze_pb2.WordCandidate(text="猫狗", confidence=0.5)
    blanks = [
        cloze_pb2.Blank(candidates=[word], position=cloze_pb2.Span(start=start, end=end), in_query=in_query)
        for start, end, in_query in [(1, 3, False), (4, 9, False), (0, 2, True)]
    ]
    response = cloze_pb2.FillResponse(blanks=blanks, model_version=1)
    filling = convert.filling(response, Question("甲__乙XXXXX丙", "__丁"))
    assert (filling.text, filling.query, filling.best) == ("甲猫狗乙猫狗丙", "猫狗丁", ("猫狗",) * 3)
    tokens = convert.filling(cloze_pb2.FillResponse(blanks=blanks[:1]), Question(("甲", "_", "_", "乙")))
    assert tokens.text == "甲猫狗乙"


@pytest.mark.parametrize(
    "text",
    [
        *("风筝,气球", "风筝, 气球", "风筝，气球", "风筝、气球", "风筝;气球", "风筝； 气球", "风筝|气球", "风筝 气球"),
        *("风筝\t气球", "风筝\n气球", '["风筝", "气球"]', "风筝,,气球,"),
    ],
)
def test_a_list_in_one_text_is_taken_apart(text: str) -> None:
    assert convert.split_words(text) == ["风筝", "气球"]


def test_spaces_part_words_only_where_nothing_else_does() -> None:
    assert convert.split_words("New York, Los Angeles") == ["New York", "Los Angeles"]
    assert convert.split_words("") == convert.split_words(" , ") == []
    assert convert.split_tokens("小猫 ， XXXXX 。") == convert.split_tokens('["小猫", "，", "XXXXX", "。"]')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("风筝/气球", "candidates: 1 word, '风筝/气球', must be 2 at least"),
        ("[风筝", "candidates: begins as a JSON list, but is none"),
        ("[1, 2]", "candidates: a JSON list must hold texts only"),
    ],
)
def test_a_list_that_is_none_is_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        convert.split_words(text)
