"""Requests → tokens and arrays: blanks found, offsets kept, rules enforced."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.tiny_cloze import LIMITS, VARIANTS, tiny_lexicon
from tianzi_models.cloze.inputs import BLANK_CODE, FIRST_CODE, SEPARATOR_CODE
from tianzi_models.cloze.pieces import BLANK, MAX_PIECES, SEPARATOR, UNKNOWN
from tianzi_models.cloze.reading.visible import clean
from tianzi_models.cloze.segment import folding, segment
from tianzi_models.cloze.text import ClozeItem, TextEncoder
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput

LEXICON = tiny_lexicon()
ENCODER = TextEncoder(LEXICON, LIMITS)


def encode(document: str | tuple[str, ...], **fields: object) -> ClozeItem:
    return ENCODER.encode(ClozeRequest(document, **fields))  # type: ignore[arg-type]


def blanks(item: ClozeItem) -> list[tuple[tuple[int, int], bool]]:
    """Position and whether in the query, of each blank."""
    return [(blank.position, blank.in_query) for blank in item.blanks]


def candidates(item: ClozeItem) -> dict[str, tuple[tuple[int, int], ...]]:
    return dict(item.candidates)


@pytest.mark.parametrize(
    "marker", ["XXXXX", "XXXXXXX", "__", "____", "＿＿", "[MASK]", "（ ）", "( )", "（　　）", "(   )"]
)
def test_blank_markers(marker: str) -> None:
    item = encode(f"猫吃{marker}，鱼怕猫。")
    assert blanks(item) == [((2, 2 + len(marker)), False)]
    assert item.input.pieces[item.input.blanks].tolist() == [[BLANK] + [0] * (MAX_PIECES - 1)]
    assert item.input.codes[item.input.blanks].tolist() == [BLANK_CODE]
    assert candidates(item)["猫"] == ((0, 1), (5 + len(marker), 6 + len(marker)))


@pytest.mark.parametrize("text", ["猫吃鱼。", "XXXX", "猫_鱼", "（鱼）"])
def test_what_is_no_blank(text: str) -> None:
    with pytest.raises(InvalidInput, match="text: no blank in it: mark it with XXXXX"):
        encode(text)


def test_a_marker_of_the_request_and_the_usual_ones() -> None:
    item = encode("猫吃◇，XXXXX怕猫。", marker="◇")
    assert [span for span, _ in blanks(item)] == [(2, 3), (4, 9)]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"document": ""}, "text: empty"),
        ({"document": " \n　"}, "text: empty"),
        ({"document": ()}, "tokens: empty"),
        ({"document": ("猫", "", "XXXXX")}, "tokens: token 1 is empty"),
        ({"document": "XXXXX", "source": "text"}, "text: no word besides the blank to choose from, and source is text"),
        ({"document": "（ ）。", "source": "text"}, "text: no word besides the blank to choose from"),
        ({"document": ("。", "__"), "source": "text"}, "tokens: no word besides the blank to choose from"),
        ({"document": "猫吃__", "source": "lexicon"}, "source: 'lexicon', must be any or text"),
        ({"document": "猫吃__", "source": ""}, "source: '', must be any or text"),
        ({"document": "猫吃__", "source": "text", "candidates": ("鱼",)}, "source: 'text' beside candidates"),
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
    assert blanks(item) == [((3, 4), False)]
    assert item.input.match.tolist() == [1, 2, 0, 0, 1]


def test_the_query_stands_behind_a_separator() -> None:
    item = encode("国王和猫。", query="猫有XXXXX。")
    first = item.input.pieces[:, 0].tolist()
    assert first.index(SEPARATOR) == first.index(BLANK) - 3
    assert item.input.codes[first.index(SEPARATOR)] == SEPARATOR_CODE
    assert blanks(item) == [((2, 7), True)]
    assert candidates(item)["猫"] == ((3, 4),), "positions count in the document alone"


def test_a_query_that_the_document_holds_is_asked_once() -> None:
    item = encode(("猫", "爱", "XXXXX", "。"), query=("猫爱", "XXXXX"))
    assert blanks(item) == [((2, 3), False)]
    both = encode("猫爱XXXXX。", query="鱼爱XXXXX。")
    assert [in_query for _, in_query in blanks(both)] == [False, True]


def test_given_candidates() -> None:
    item = encode(("小", "花猫", "和", "__"), candidates=("鱼", "小花猫", "鱼"))
    assert item.candidates == (("鱼", ()), ("小花猫", ((0, 2),))), "split words are found, repeated ones folded"
    assert item.input.match.tolist() == [2, 0, 0]
    assert encode("__", candidates=("鱼",)).candidates == (("鱼", ()),)


def test_traditional_text_is_read_as_simplified_and_answered_in_its_own_characters() -> None:
    traditional, simplified = encode("國王愛貓!國王__"), encode("国王愛猫！国王__")
    for name in ("pieces", "counts", "codes", "match", "candidate_words", "candidate_pieces", "candidate_codes"):
        assert getattr(traditional.input, name).tolist() == getattr(simplified.input, name).tolist()
    assert candidates(traditional)["國王"] == ((0, 2), (5, 7))


def test_reserved_symbols_in_a_text_are_ordinary_words() -> None:
    item = encode(("<pad>", "<blank>", "__"))
    assert [set(row) - {0} for row in item.input.pieces.tolist()] == [{UNKNOWN}, {UNKNOWN}, {BLANK}]


def test_words_are_read_by_their_pieces_and_coded_by_their_form() -> None:
    item = encode(("国王", "爱", "猫", "__", "，", "国王", "龘"))
    king, cat = ([*LEXICON.pieces.ids_of(word)] for word in ("国王", "猫"))
    assert len(king) == 2 and len(cat) == 1
    assert [[i for i in row if i] for row in item.input.pieces.tolist()] == [
        king, [UNKNOWN], cat, [BLANK], [UNKNOWN], king, [UNKNOWN]
    ]  # fmt: skip
    assert item.input.counts.tolist() == [2, 1, 1, 1, 1, 2, 1]
    codes = item.input.codes.tolist()
    assert codes[0] == codes[5] and len(set(codes)) == 6, "words that are read alike are told apart"
    assert codes[3] == BLANK_CODE and min(set(codes) - {BLANK_CODE}) >= FIRST_CODE


def test_candidates_are_numbered_by_the_lexicon_and_coded_as_the_text() -> None:
    item = encode(("国王", "爱", "鱼", "__"))
    assert item.input.candidate_words.tolist() == [LEXICON.id("国王"), -1, LEXICON.id("鱼")] == [0, -1, 2]
    assert item.input.candidate_codes.tolist() == item.input.codes[:3].tolist()
    assert item.input.candidate_pieces.tolist() == item.input.pieces[:3].tolist()
    given = encode(("国王", "爱", "__"), candidates=("猫", "国王"))
    assert given.input.candidate_codes[1] == given.input.codes[0]
    assert given.input.candidate_codes[0] not in given.input.codes


def test_sources() -> None:
    assert encode("猫吃__").blanks[0].source == "any"
    assert encode("猫吃__", source="text").blanks[0].source == "text"
    assert encode("猫吃__", candidates=("鱼",)).blanks[0].source == "candidates"
    assert encode("__").candidates == () == encode("（ ）。", source="any").candidates, "any word may fill it"


@settings(deadline=None)  # of a busy machine
@given(st.text(max_size=80))
def test_segments_join_to_the_text(text: str) -> None:
    folded = text.translate(folding(VARIANTS))
    assert "".join(segment(folded)) == folded and len(folded) == len(text)


@settings(deadline=None)  # of a busy machine
@given(st.text(st.sampled_from("猫鱼國 \n，!Xa_（）[MASK]"), max_size=60))
def test_any_text_is_refused_or_its_positions_fit(text: str) -> None:
    text += "__猫"
    try:
        item = encode(text)
    except InvalidInput:
        return
    for word, spans in item.candidates:
        assert spans and clean(text[slice(*spans[0])]) == word
    for (start, end), in_query in blanks(item):
        assert not in_query and 0 <= start < end <= len(text)
