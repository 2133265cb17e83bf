"""Options and word banks: of a request's candidates, and printed in a text. What only looks like them stays."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianzi_models.cloze.reading.choices import union
from tianzi_models.cloze.reading.marks import find_blanks
from tianzi_models.cloze.reading.options import Option, read_candidates
from tianzi_models.cloze.reading.printed import Printed, find_printed


def printed(text: str, *given: str) -> Printed:
    return find_printed(text, find_blanks(text), set(given))


def words(found: Printed) -> list[str]:
    return [" ".join(option.text for option in options) for options in found.options]


@pytest.mark.parametrize(
    "lettered",
    [
        ("A. 小猫", "B. 小狗"),
        ("A.小猫", "B.小狗"),
        ("A、小猫", "B、小狗"),
        ("A．小猫", "B．小狗"),
        ("A: 小猫", "B: 小狗"),
        ("A) 小猫", "B) 小狗"),
        ("（A）小猫", "（B）小狗"),
        ("(A) 小猫", "(B) 小狗"),
        ("A 小猫", "B 小狗"),
        ("Ａ．小猫", "Ｂ．小狗"),
        (" A. 小猫 ", "B. 小狗\n"),
    ],
)
def test_letters_of_candidates_are_labels(lettered: tuple[str, ...]) -> None:
    assert read_candidates(lettered) == (Option("小猫", "A"), Option("小狗", "B"))


@pytest.mark.parametrize("numbered", [("1. 小猫", "2. 小狗"), ("①小猫", "②小狗"), ("（1）小猫", "（2）小狗")])
def test_numbers_of_candidates_are_labels(numbered: tuple[str, ...]) -> None:
    assert read_candidates(numbered) == (Option("小猫", "1"), Option("小狗", "2"))


@pytest.mark.parametrize(
    "plain",
    [
        (),
        ("A. 小猫",),
        ("A. 小猫", "小狗"),
        ("B. 小猫", "A. 小狗"),
        ("A. 小猫", "A. 小狗"),
        ("A. 小猫", "B. "),
        ("A股", "B股"),
        ("1.5", "2.5"),
        ("3天", "4天"),
    ],
)
def test_candidates_without_labels(plain: tuple[str, ...]) -> None:
    assert read_candidates(plain) == tuple(map(Option, plain))


@pytest.mark.parametrize(
    "options",
    [
        "\nA. 本来 B. 原来 C. 后来",
        "\nA. 本来\nB. 原来\nC. 后来",
        "\r\nA. 本来\r\nB. 原来\r\n\r\nC. 后来\r\n",
        "\nA. 本来 B. 原来\nC. 后来\n",
        "A.本来B.原来C.后来",
        " A. 本来；B. 原来；C. 后来。",
        "\n（A）本来　（B）原来　（C）后来",
        "\nA 本来  B 原来  C 后来",
        "\n1. A、本来\tB、原来\tC、后来",
    ],
)
def test_options_below_a_text(options: str) -> None:
    text = f"他____去了北京。{options}"
    found = printed(text)
    assert found.options == ((Option("本来", "A"), Option("原来", "B"), Option("后来", "C")),)
    left = text
    for start, end in reversed(found.spans):
        left = left[:start] + left[end:]
    assert left.strip() == "他____去了北京。"


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("他____（A. 本来 B. 原来）去。", ["本来 原来"]),
        ("他____(（A）本来 （B）原来)去，____", ["本来 原来", ""]),
        ("他（1）____，她（2）____。\n1. A. 本来 B. 原来\n2. A. 来 B. 去", ["本来 原来", "来 去"]),
        ("他（1）____，她（2）____。\n(2) A. 来 B. 去\n(1) A. 本来 B. 原来", ["本来 原来", "来 去"]),
        ("他__，她__。\n1. A. 本来 B. 原来\n2. A. 来 B. 去", ["本来 原来", "来 去"]),
        ("1. 他__。\nA. 来 B. 去\n2. 她__，又__。\nA. 好 B. 坏", ["来 去", "好 坏", "好 坏"]),
        ("他__，她__。\nA. 来 B. 去", ["来 去", "来 去"]),
        ("他__。\nA. 来 B. 去\n后来__。", ["来 去", ""]),
        ("A 禁止 B 海洋 C 推迟\n1. __大声\n2. 蓝色的__", ["禁止 海洋 推迟"] * 2),
    ],
)
def test_whose_options_they_are(text: str, options: list[str]) -> None:
    assert words(printed(text)) == options


@pytest.mark.parametrize(
    "text",
    [
        "A. 甲方 B. 乙方\n甲方应向____付款",
        "本合同的A. 甲方和B. 乙方同意____。",
        "____是 A 股 B 股",
        "____。\nA. 他说。你听 B. 我听",
        "____。\nA. 只有一个",
        "____。\nB. 本来 C. 原来",
        "____。\nA. 本来 B. ____",
        "____。维生素A. 和B. 都好",
        "__，__，__。\nA. 甲 B. 乙\nA. 丙 B. 丁",
        "A. 甲方\nB. 乙方\n由____和____付。\nC. 丙方",
        f"____。\nA. {'很' * 21} B. 好",
        "他喜欢选词填空。\n春天来了，小草绿了。\n他____",
        "高兴　难过　生气\n他____",
        "（快乐）\n他____",
        "小猫 在 河边 钓鱼 。\n它____",
        "选词填空：高兴",
        "她说词库很大，____。",
    ],
)
def test_what_only_looks_like_options_stays(text: str) -> None:
    found = printed(text)
    assert found.spans == () and not any(found.options)


@pytest.mark.parametrize(
    ("bank", "text"),
    [
        ("一、选词填空。\n高兴　难过　生气", "{}\n1. 他很（　　）。\n2. 我很（　　）。"),
        ("选词填空：[高兴 难过 生气]", "{}\n他很____。"),
        ("（一）选择合适的词语填空（每词限用一次）：\n高兴、难过、生气", "{}\n他很____。"),
        ("備選詞：高兴、难过、生气。", "他很____。\n{}"),
        ("备选词 高兴 难过 生气", "{}\n他很____。"),
        ("选词填空\n高兴 难过\n难过 生气", "{}\n他很____。"),
        ("把下面的词语填入括号\n┌──┐\n│高兴 难过│\n│生气│\n└──┘", "{}\n他很（）。"),
        ("│高兴 难过│\n│生气│", "{}\n他很（）。"),
        ("【高兴　难过　生气】", "{}\n他很（）。"),
        ("选词填空：A. 高兴 B. 难过 C. 生气", "{}\n他很（）。"),
    ],
)
def test_word_banks(bank: str, text: str) -> None:
    found = printed(text.format(bank))
    assert set(words(found)) == {"高兴 难过 生气"}
    assert [text.format(bank)[start:end] for start, end in found.spans] == [bank]


def test_candidates_on_a_line_of_their_own_are_a_word_bank() -> None:
    text = "高兴　难过\n小明很（）。"
    assert printed(text, "高兴", "难过", "生气").spans == ((0, 5),)
    assert printed(text, "高兴").spans == ()


def test_each_exercise_has_its_bank() -> None:
    text = "选词填空：甲 乙\n(1)__\n选词填空：丙 丁\n(1)__，(2)__"
    assert words(printed(text)) == ["甲 乙", "丙 丁", "丙 丁"]


def test_one_list_of_candidates_for_all_blanks() -> None:
    cat, dog, fish = Option("貓", "A"), Option("狗", "B"), Option("鱼", "A")
    candidates, allowed = union(((cat, dog), (), (fish, Option("猫", "B"))), {ord("貓"): "猫"})
    assert candidates == {"猫": cat, "狗": dog, "鱼": fish}
    assert allowed.tolist() == [[True, True, False], [False] * 3, [True, False, True]]
    assert union(((), ()), {})[1].shape == (2, 0)


ALPHABET = "AB.、 \n（）()甲乙__选词填空：，│。1"


@given(st.text(st.sampled_from(ALPHABET), max_size=80), st.sets(st.sampled_from("甲乙"), max_size=2))
def test_spans_are_apart_and_hold_no_blank(text: str, given: set[str]) -> None:
    marks = find_blanks(text)
    found = find_printed(text, marks, given)
    assert len(found.options) == len(marks)
    borders = [place for span in found.spans for place in span]
    assert borders == sorted(borders) and all(0 <= start < end <= len(text) for start, end in found.spans)
    assert not any(start < mark.end and mark.skip < end for start, end in found.spans for mark in marks)


@pytest.mark.parametrize(
    "unit",
    [
        "A. ",
        "A. 甲 B. 乙\n",
        "__(A.",
        "__\nA.甲B.乙\n",
        "选词填空",
        "选词填空\n",
        "选词填空 甲 乙\n__\n",
        "甲 乙\n",
        "│甲│\n",
        "─\n",
        "（甲 乙 丙）\n",
    ],
)
def test_time_grows_with_the_text(unit: str) -> None:
    text = unit * (20_000 // len(unit)) + "__"
    start = time.process_time()
    find_printed(text, find_blanks(text), {"甲", "乙"})
    assert time.process_time() - start < 2, "0.3 s at most, unless it grows with the square: then 10 s and more"
