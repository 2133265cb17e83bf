"""Requests → tokens: blanks with labels, printed options left out, positions of the text as given, rules enforced."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianzi_models.cloze.reading.blanks import Reading, Token, read_request
from tianzi_models.cloze.reading.options import Option
from tianzi_models.cloze.reading.visible import clean
from tianzi_models.cloze.segment import folding
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput

TABLE = folding({"國": "国", "貓": "猫", "魚": "鱼"})


def read(document: str | tuple[str, ...], **fields: object) -> Reading:
    return read_request(ClozeRequest(document, **fields), TABLE)  # type: ignore[arg-type]


def spelled(tokens: list[Token]) -> str:
    return "".join("_" if token.blank else token.folded for token in tokens)


def blanks(reading: Reading) -> list[tuple[str, int, str, int]]:
    return [(t.text, t.start, t.label, t.length) for tokens in reading for t in tokens if t.blank]


def test_a_number_is_no_text() -> None:
    reading = read("小兔吃____（1）____，它拔__2__。\n（3）____\n1. ____")
    assert spelled(reading.document) == "小兔吃_，它拔_。_1._"
    assert blanks(reading) == [
        ("____（1）____", 3, "1", 0),
        ("__2__", 17, "2", 0),
        ("____", 27, "3", 0),
        ("____", 35, "", 0),
    ]


def test_the_characters_of_one_word() -> None:
    assert blanks(read("今天[MASK][MASK]很好，画□添足")) == [("[MASK][MASK]", 2, "", 2), ("□", 18, "", 1)]


def test_bracketed_numbers_are_blanks_only_where_nothing_else_is() -> None:
    assert [label for _, _, label, _ in blanks(read("今天(1)很好，(2)散步"))] == ["1", "2"]
    assert [text for text, *_ in blanks(read("今天(1)很好，(2)散步。____"))] == ["____"]
    assert [text for text, *_ in blanks(read("见(1)。", query="他____"))] == ["____"]


def test_tokens() -> None:
    reading = read(("猫", "（）", "\u200b", " [mask] ", "__1__", "□□", "小\u200b狗", "X_X", "密码XXXXXX"))
    assert blanks(reading) == [("（）", 1, "", 0), ("[mask]", 3, "", 0), ("__1__", 4, "1", 0), ("□□", 5, "", 2)]
    assert [t.text for t in reading.document if not t.blank] == ["猫", "小狗", "X_X", "密码XXXXXX"]


@pytest.mark.parametrize(
    "hidden", ["\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\ufe0f", " ", "\u00a0", "　", "\u200b "]
)
def test_what_nobody_sees_does_not_change_the_words(hidden: str) -> None:
    plain, text = (
        "小猫钓鱼，小猫很高兴，____笑了。",
        hidden.join("小猫钓鱼") + f"，小{hidden}猫很高兴，____{hidden}笑了。",
    )
    reading = read(text)
    words = [(token.text, token.folded) for token in read(plain).document]
    assert [(token.text, token.folded) for token in reading.document] == words
    assert text[reading.document[0].start : reading.document[0].end] == f"小{hidden}猫"


def test_invisible_characters_in_a_blank_and_around_a_text() -> None:
    reading = read("\ufeff今天_\u200b_，[MA\u00adSK]", marker="今\u200b天")
    assert [(text, start) for text, start, *_ in blanks(reading)] == [("今天", 1), ("__", 3), ("[MASK]", 7)]


def test_ends_of_lines_part_words() -> None:
    assert [t.text for t in read("小\n猫 __").document] == ["小", "猫", "__"]
    assert [t.text for t in read("I am 小 a 猫__").document] == ["I", "am", "小", "a", "猫", "__"]


def test_printed_options_are_not_read() -> None:
    reading = read("他（1）____去了。她（2）____。\n1. A. 本来 B. 原来\n2. A. 来 B. 去\n后来好了。")
    assert spelled(reading.document) == "他_去了。她_。后来好了。"
    assert reading.options == (
        (Option("本来", "A"), Option("原来", "B")),
        (Option("来", "A"), Option("去", "B")),
    )


def test_candidates_go_before_printed_options_which_are_left_out_all_the_same() -> None:
    reading = read(
        "一、选词填空。\n高兴　难过\n1. 他很（　　）。\n2. 我很（　　）。", candidates=("A. 高兴", "B. 难过")
    )
    assert spelled(reading.document) == "1.他很_。2.我很_。"
    assert reading.options == ((Option("高兴", "A"), Option("难过", "B")),) * 2


def test_a_query_with_its_options() -> None:
    reading = read("小猫钓鱼。\nA. 甲方", query="____钓鱼。\nA. 小猫 B. 小狗")
    assert (spelled(reading.document), spelled(reading.query)) == ("小猫钓鱼。A.甲方", "_钓鱼。")
    assert reading.options == ((Option("小猫", "A"), Option("小狗", "B")),)
    assert read("选词填空：小猫 小狗\n好。", query="____钓鱼。").options == ((Option("小猫"), Option("小狗")),)


def test_a_query_that_the_document_holds_takes_no_options_of_its_own() -> None:
    reading = read("猫爱____。鱼爱____。", query="鱼爱（ ）。", candidates=("猫",))
    assert reading.query == [] and len(reading.options) == 2


def test_a_reading_unpacks_to_document_and_query() -> None:
    document, query = read("猫。", query="__")
    assert spelled(document) == "猫。" and spelled(query) == "_"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"document": "猫__", "source": "web"}, "source: 'web', must be any or text"),
        ({"document": "猫__", "source": "text", "candidates": ("鱼",)}, "source: 'text' beside candidates"),
        (
            {"document": "__，__", "candidates": ("魚", "鱼"), "each_once": True},
            "candidates: 1 different ones, each_once needs 2",
        ),
        ({"document": "__，__\n备选词：鱼 魚", "each_once": True}, "candidates: 1 different ones, each_once needs 2"),
        ({"document": "猫#，#1#", "marker": "#"}, "marker: '#' stands both by itself and around numbers"),
        ({"document": ("猫", "#", "#1#"), "marker": "#"}, "marker: '#' stands both by itself and around numbers"),
        ({"document": "猫__", "marker": "#"}, "marker: '#' stands neither in the text nor in the query"),
        ({"document": ("猫#", "__"), "marker": "#"}, "marker: '#' stands neither in the text nor in the query"),
        ({"document": "猫__\u200b", "marker": "\u200b"}, "marker: only spaces"),
        ({"document": "\u200b\ufeff "}, "text: empty"),
        ({"document": "猫__", "candidates": ("鱼", "\u200b")}, "candidates: candidate 1 is empty"),
        ({"document": "密码XXXXXX"}, "text: no blank in it: mark it with XXXXX, ____, [MASK], □ or （ ）"),
        ({"document": "猫\n______\n鱼"}, "text: no blank in it"),
        ({"document": "猫__", "query": "- [ ] 鱼"}, "query: no blank in it"),
        ({"document": ("猫", "密码XXXXXX")}, "tokens: no blank in it"),
    ],
)
def test_bad_requests(fields: dict[str, object], error: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(error)):
        read(**fields)  # type: ignore[arg-type]


def test_each_once_without_options_asks_for_no_number() -> None:
    assert len(read("__，__", each_once=True).options) == 2
    assert read("__，__", each_once=True, candidates=("猫", "鱼")).options[0] == (Option("猫"), Option("鱼"))


ALPHABET = "猫鱼國小 \n\r\t，。!：XAB.1a_＿（）()[]【】<>MASK□①\u200b\ufeff　#│选词填空高兴"
TEXTS = st.one_of(st.text(st.sampled_from(ALPHABET), max_size=60), st.text(max_size=40))


@settings(deadline=None)
@given(TEXTS, TEXTS, st.sampled_from(["", "", "#", "1", "\u200b", "猫\n"]), st.lists(TEXTS, max_size=3), st.booleans())
def test_any_request_is_refused_or_its_positions_fit(
    document: str, query: str, marker: str, candidates: list[str], each_once: bool
) -> None:
    try:
        reading = read(document, query=query, marker=marker, candidates=tuple(candidates), each_once=each_once)
    except InvalidInput:
        return
    for text, tokens in zip((document, query), reading, strict=True):
        end = 0
        for token in tokens:
            assert end <= token.start < token.end <= len(text)
            end = token.end
            assert clean(text[token.start : token.end]) == (clean(token.text) if token.blank else token.text)
    assert len(reading.options) == len(blanks(reading)) == len(reading.idiom_characters())


@settings(deadline=None)
@given(st.lists(TEXTS, max_size=8), st.lists(TEXTS, max_size=3))
def test_any_tokens_are_refused_or_counted_as_given(document: list[str], query: list[str]) -> None:
    try:
        reading = read(tuple(document), query=tuple(query) or "")
    except InvalidInput:
        return
    assert all(token.end == token.start + 1 <= len(document) for token in reading.document)
