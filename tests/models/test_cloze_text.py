"""Requests → tokens and arrays: blanks found, offsets kept, rules enforced."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.tiny_cloze import LIMITS, vocabularies
from tianzi_models.cloze.segment import folding, segment
from tianzi_models.cloze.text import BLANK, SEPARATOR, ClozeItem, TextEncoder, collate, word_chars
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput
from tianzi_models.vocab import UNKNOWN, Vocab

WORDS, CHARS = vocabularies()
ENCODER = TextEncoder(WORDS, CHARS, LIMITS)


def encode(document: str | tuple[str, ...], **fields: object) -> ClozeItem:
    return ENCODER.encode(ClozeRequest(document, **fields))  # type: ignore[arg-type]


def candidates(item: ClozeItem) -> dict[str, tuple[tuple[int, int], ...]]:
    return dict(item.candidates)


@pytest.mark.parametrize(
    "marker", ["XXXXX", "XXXXXXX", "__", "____", "＿＿", "[MASK]", "（ ）", "( )", "（　　）", "(   )"]
)
def test_blank_markers(marker: str) -> None:
    item = encode(f"猫吃{marker}，鱼怕猫。")
    assert item.blanks == (((2, 2 + len(marker)), False),)
    assert item.input.words[item.input.blanks].tolist() == [BLANK]
    assert candidates(item)["猫"] == ((0, 1), (5 + len(marker), 6 + len(marker)))


@pytest.mark.parametrize("text", ["猫吃鱼。", "XXXX", "猫_鱼", "[mask]", "猫（）鱼", "（鱼）"])
def test_what_is_no_blank(text: str) -> None:
    with pytest.raises(InvalidInput, match="text: no blank in it: mark it with XXXXX"):
        encode(text)


def test_a_marker_of_the_request_and_the_usual_ones() -> None:
    item = encode("猫吃◇，XXXXX怕猫。", marker="◇")
    assert [span for span, _ in item.blanks] == [(2, 3), (4, 9)]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"document": ""}, "text: empty"),
        ({"document": " \n　"}, "text: empty"),
        ({"document": ()}, "tokens: empty"),
        ({"document": ("猫", "", "XXXXX")}, "tokens: token 1 is empty"),
        ({"document": "XXXXX"}, "text: no word besides the blank to choose from"),
        ({"document": "（ ）。"}, "text: no word besides the blank to choose from"),
        ({"document": "猫" * 196 + "XXXXX"}, "text: 201 characters, at most 200"),
        ({"document": "猫__" * 4}, "blanks: 4 blanks, at most 3"),
        ({"document": "猫吃__", "marker": "◇"}, "marker: '◇' stands neither in the text nor in the query"),
        ({"document": "猫 吃__", "marker": " "}, "marker: only spaces"),
        ({"document": "猫吃__", "query": "没有"}, "query: no blank in it"),
        ({"document": "猫吃__", "query": ("__",)}, "query: must be text beside a text"),
        ({"document": "猫吃__", "candidates": ("鱼", " ")}, "candidates: candidate 1 is empty"),
        ({"document": "猫吃__", "candidates": ("鱼" * 65,)}, "candidates: candidate 0 has 65 characters, at most 64"),
        ({"document": "猫吃__", "candidates": tuple("一二三四五")}, "candidates: 5 candidates, at most 4"),
        ({"document": "猫吃__\ud83d"}, "text: lone surrogate U+D83D"),
        ({"document": "猫吃__", "query": "\udc00__"}, "query: lone surrogate U+DC00"),
        ({"document": "猫吃__", "candidates": ("\udc00",)}, "candidates: lone surrogate U+DC00"),
        ({"document": "猫吃__", "marker": "\udc00"}, "marker: lone surrogate U+DC00"),
        ({"document": "猫吃__", "top_k": 0}, "top_k: 0, must be 1 to 10"),
        ({"document": "猫吃__", "top_k": 11}, "top_k: 11, must be 1 to 10"),
    ],
)
def test_bad_requests(fields: dict[str, object], error: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(error)):
        ENCODER.encode(ClozeRequest(**fields))  # type: ignore[arg-type]


def test_tokens_are_counted_as_given() -> None:
    item = encode(("国王", " ", "爱", "XXXXX", "，", "国王"))
    assert candidates(item) == {"国王": ((0, 1), (5, 6)), "爱": ((2, 3),)}
    assert item.blanks == (((3, 4), False),)
    assert item.input.match.tolist() == [1, 2, 0, 0, 1]


def test_the_query_stands_behind_a_separator() -> None:
    item = encode("国王和猫。", query="猫有XXXXX。")
    words = item.input.words.tolist()
    assert words.index(SEPARATOR) == words.index(BLANK) - 3
    assert item.blanks == (((2, 7), True),)
    assert candidates(item)["猫"] == ((3, 4),), "positions count in the document alone"


def test_a_query_that_the_document_holds_is_asked_once() -> None:
    item = encode(("猫", "爱", "XXXXX", "。"), query=("猫爱", "XXXXX"))
    assert item.blanks == (((2, 3), False),)
    both = encode("猫爱XXXXX。", query="鱼爱XXXXX。")
    assert [in_query for _, in_query in both.blanks] == [False, True]


def test_given_candidates() -> None:
    item = encode(("小", "花猫", "和", "__"), candidates=("鱼", "小花猫", "鱼"))
    assert item.candidates == (("鱼", ()), ("小花猫", ((0, 2),))), "split words are found, repeated ones folded"
    assert item.input.match.tolist() == [2, 0, 0]
    assert encode("__", candidates=("鱼",)).candidates == (("鱼", ()),)


def test_traditional_text_is_read_as_simplified_and_answered_in_its_own_characters() -> None:
    traditional, simplified = encode("國王愛貓!國王__"), encode("国王愛猫！国王__")
    for name in ("words", "chars", "match", "candidate_words"):
        assert getattr(traditional.input, name).tolist() == getattr(simplified.input, name).tolist()
    assert candidates(traditional)["國王"] == ((0, 2), (5, 7))


def test_reserved_symbols_in_a_text_are_ordinary_words() -> None:
    item = encode(("<pad>", "<blank>", "__"))
    assert item.input.words.tolist() == [UNKNOWN, UNKNOWN, BLANK]


def test_characters_of_words() -> None:
    chars = Vocab(["<pad>", "<unk>", *"甲乙丙丁"])
    assert [word_chars(chars, w) for w in ("甲", "甲乙", "甲乙丙", "甲乙丙丁", "甲乙丙丁某")] == [
        [2, 0, 0, 2],
        [2, 3, 0, 3],
        [2, 3, 4, 4],
        [2, 3, 4, 5],
        [2, 3, 4, 1],
    ]


def test_vocabulary_round_trip() -> None:
    again = Vocab.from_text(CHARS.to_text())
    assert (again.symbols, again.variants) == (CHARS.symbols, CHARS.variants)
    assert again.id("國") == again.id("国") != UNKNOWN and again.id("龘") == again.id("<pad>") == UNKNOWN


def test_collate_pads_with_zero() -> None:
    short, long = encode("猫__").input, encode("猫爱鱼__，__").input
    batch = collate([short, long])
    for name, array in batch.items():
        for row, one in zip(array, (short, long), strict=True):
            own = getattr(one, name)
            assert row[: len(own)].tolist() == own.tolist() and not row[len(own) :].any()
            assert array.dtype == np.int64


@given(st.text(max_size=80))
def test_segments_join_to_the_text(text: str) -> None:
    folded = text.translate(folding(CHARS.variants))
    assert "".join(segment(folded)) == folded and len(folded) == len(text)


@given(st.text(st.sampled_from("猫鱼國 \n，!Xa_（）[MASK]"), max_size=60))
def test_any_text_is_refused_or_its_positions_fit(text: str) -> None:
    text += "__猫"
    try:
        item = encode(text)
    except InvalidInput:
        return
    for word, spans in item.candidates:
        assert spans and text[spans[0][0] : spans[0][1]] == word
    for (start, end), in_query in item.blanks:
        assert not in_query and 0 <= start < end <= len(text)
