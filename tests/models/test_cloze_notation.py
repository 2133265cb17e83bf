"""What is a blank in a text, what is none, and whose number is whose."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianzi_models.cloze.reading.marks import Mark, find_blanks, find_numbers, whole
from tianzi_models.cloze.reading.notation import markers

LINES = ["__", "____", "_" * 40, "＿", "＿＿＿", "_＿", r"\_\_", r"\_\_\_\_", "_ _", "_ _ _ _", "_  _"]
BRACKETS = [
    "（）",
    "()",
    "（ ）",
    "( )",
    "（　　）",
    "（\u00a0）",
    "（\t）",
    "（\u2003）",
    "（ )",
    "【】",
    "【 】",
    "[ ]",
    "[　]",
]
FRAMED = ["（____）", "(____)", "[____]", "【____】", "（ ____ ）", "（＿）", "（XXXXX）"]
OTHERS = ["XXXXX", "XXXXXXX", "[MASK]", "[mask]", "<mask>", "<MASK>", "【MASK】"]
NUMBERED = {
    "__1__": "1",
    "___12___": "12",
    "__①__": "1",
    "__１__": "1",
    "__ 3 __": "3",
    "__A__": "A",
    "____（1）____": "1",
    "____(1)____": "1",
    "（1）____": "1",
    "(1)____": "1",
    "( 1 ) ____": "1",
    "①____": "1",
    "⑴____": "1",
    "㉑____": "21",
    "①（　　）": "1",
    "(2)[MASK]": "2",
    "____①": "1",
    "____（1）": "1",
    "[MASK1]": "1",
    "[MASK_2]": "2",
    "<mask3>": "3",
    "<extra_id_0>": "0",
}


def seen(text: str, marker: str = "") -> list[str]:
    return [text[mark.start : mark.end] for mark in find_blanks(text, marker)]


@pytest.mark.parametrize("blank", LINES + BRACKETS + FRAMED + OTHERS)
def test_notations(blank: str) -> None:
    for before, after in (("今天", "很好。"), ("", ""), ("“", "”，他说。"), ("猫 ", " 鱼")):
        start, end = len(before), len(before) + len(blank)
        assert find_blanks(before + blank + after) == [Mark(start, end, "", 0, start)]
    assert whole(blank) == Mark(0, len(blank), "", 0, 0)


@pytest.mark.parametrize(("blank", "label"), NUMBERED.items())
def test_the_number_on_a_blank_is_its_label(blank: str, label: str) -> None:
    assert find_blanks(f"今天{blank}很好。") == [Mark(2, 2 + len(blank), label, 0, 2)]


@pytest.mark.parametrize(
    ("text", "blanks"),
    [
        ("____（1），____（2）。", [("____（1）", "1"), ("____（2）", "2")]),
        ("____（1）____（2）____（3）", [("____（1）", "1"), ("____（2）", "2"), ("____（3）", "3")]),
        ("他（1）____（2）____了", [("（1）____", "1"), ("（2）____", "2")]),
        ("____（1）____，____（2）____", [("____（1）____", "1"), ("____（2）____", "2")]),
        ("他____ (2) ____了", [("____", ""), ("(2) ____", "2")]),
        ("____ ____", [("____", ""), ("____", "")]),
        ("（1）他____", [("____", "")]),
        ("____\n（2）他____", [("____", "")]),
        ("第1____，有10____，____2天", [("____", ""), ("____", ""), ("____", "")]),
        ("____2024____", [("____", ""), ("____", "")]),
        ("1. ____很好\n2、（ ）", [("____", ""), ("（ ）", "")]),
        ("（__1__）", [("__1__", "1")]),
        ("____（5分）", [("____", "")]),
    ],
)
def test_whose_number_it_is(text: str, blanks: list[tuple[str, str]]) -> None:
    assert [(text[mark.start : mark.end], mark.label) for mark in find_blanks(text)] == blanks


def test_a_number_at_the_beginning_of_a_line_stays_outside_the_blank() -> None:
    assert find_blanks("（1）____雪。\n  ② ____") == [Mark(3, 7, "1", 0, 0), Mark(14, 18, "2", 0, 12)]


@pytest.mark.parametrize(
    ("text", "lengths"),
    [("[MASK][MASK]", [2]), ("[MASK] [MASK]", [0, 0]), ("□", [1]), ("□□□□", [4]), ("□，□□", [1, 2]), ("①□□", [2])],
)
def test_one_mark_for_each_character(text: str, lengths: list[int]) -> None:
    assert [mark.length for mark in find_blanks(f"今天{text}很好")] == lengths
    assert [mark.length for mark in find_blanks("[MASK1][MASK2]")] == [0, 0]


@pytest.mark.parametrize(
    ("none", "blank"),
    [
        ("密码XXXXXX", "小猫XXXXXX"),
        ("手机号码是：XXXXXXXX", "他的名字是：XXXXX"),
        ("138XXXXXXXX", "吃了3XXXXX"),
        ("京AXXXXX", "京XXXXX"),
        ("XXXX", "XXXXX"),
        ("snake_case_name", "snake____name"),
        ("调用__init__方法", "调用__1__方法"),
        ("a__b", "甲__乙"),
        ("self.__repr_html__", "他__好__"),
        ("名字：\n______\n日期：", "名字：\n______。\n日期："),
        ("甲\r\n\\_\\_\\_\r\n乙", "______"),
        ("foo()", "学习（）"),
        ("f(x)()", "学习()"),
        ("list[ ]", "列表[ ]"),
        ("[ ](http://a.cn)", "[ ]（网址）"),
        ("- [ ] 买菜", "- 买[ ]"),
        ("1. [ ] 买菜", "1. [ ]很好"),
        ("□ 买菜", "□菜"),
        ("性别：□男 □女", "性别：□性"),
        ("https://a.cn/____/(1)/XXXXX", "https://a.cn/ ____"),
        ("www.a.cn/__1__", "万维网____"),
        ("——", "＿"),
        ("（鱼）", "（　）"),
        ("猫_鱼", "猫__鱼"),
    ],
)
def test_what_is_no_blank_and_what_is_one_beside_it(none: str, blank: str) -> None:
    assert not find_blanks(none) and len(find_blanks(blank)) >= 1


def test_of_a_call_the_underscores_are_the_blank() -> None:
    assert seen("print(____)") == ["____"] and seen("打印(____)") == ["(____)"]


def test_bracketed_numbers_are_blanks_where_nothing_else_is() -> None:
    text = "今天(1)很好，我们（ 2 ）散步，（③）了。"
    assert not find_blanks(text)
    assert [(text[m.start : m.end], m.label) for m in find_numbers(text)] == [
        ("(1)", "1"),
        ("（ 2 ）", "2"),
        ("（③）", "3"),
    ]
    for none in ("由(1)可得(1)", "原因：（1）冷；（2）远。（3）累", "（1）冷\n（2）远", "（2024）", "①冷"):
        assert not find_numbers(none), none


@pytest.mark.parametrize(
    ("marker", "text", "blanks"),
    [
        ("#", "猫#鱼#", [("#", ""), ("#", "")]),
        ("#", "猫#1#鱼#2#", [("#1#", "1"), ("#2#", "2")]),
        ("{1}", "猫{1}鱼{2}", [("{1}", "1"), ("{2}", "2")]),
        ("第1空", "猫第1空鱼第12空", [("第1空", "1"), ("第12空", "12")]),
        ("空1", "猫空1鱼空2", [("空1", "")]),
        ("◇", "猫◇鱼____", [("◇", ""), ("____", "")]),
        ("__a", "__a__", [("__a", ""), ("__", "")]),
        ("foo()", "foo()和bar()", [("foo()", "")]),
    ],
)
def test_markers_of_a_request(marker: str, text: str, blanks: list[tuple[str, str]]) -> None:
    assert [(text[mark.start : mark.end], mark.label) for mark in find_blanks(text, marker)] == blanks
    assert markers(marker).search(text)


@given(
    st.text(st.sampled_from("_＿\\ X（）()[]【】<>maskMASK□①1A.猫\n:：-"), max_size=60),
    st.sampled_from(["", "#", "_", "猫"]),
)
def test_blanks_are_apart_and_in_order(text: str, marker: str) -> None:
    end = 0
    for mark in find_blanks(text, marker):
        assert end <= mark.skip <= mark.start < mark.end <= len(text)
        end = mark.end
    assert all(0 <= mark.start < mark.end <= len(text) for mark in find_numbers(text))


UNITS = [
    "_",
    "X",
    "（",
    "(",
    "[",
    "□",
    "①",
    "＿1",
    "(_",
    "[MASK",
    "[MASK]",
    "__a_",
    "____（1）",
    "__1",
    "<mask",
    "_\n",
    "□\t",
    "-\t[\t]\t",
    "https://",
    "密码XXXXXX",
    "\\_",
    "\\",
    "【",
    "(1)",
    "1)",
]


@pytest.mark.parametrize("unit", [*UNITS, " ", "_ ", "（ ", "\n"])
def test_time_grows_with_the_text(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    start = time.process_time()
    find_blanks(text, "#")
    assert time.process_time() - start < 1, "0.1 s at most, unless it grows with the square: then 10 s and more"
