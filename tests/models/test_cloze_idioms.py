"""Idioms with a gap of one character."""

import pytest

from tianzi_models.cloze.reading.blanks import read_request
from tianzi_models.cloze.reading.idioms import idiom_gap, warm_up
from tianzi_models.cloze.segment import folding
from tianzi_models.cloze.types import ClozeRequest


@pytest.mark.parametrize(
    ("left", "right", "character"),
    [
        ("画", "添足", "蛇"),
        ("画蛇添", "", "足"),
        ("一", "当先", "马"),
        ("他总是守株", "兔", "待"),
        ("", "有成竹", "胸"),
    ],
)
def test_the_character_that_lacks(left: str, right: str, character: str) -> None:
    assert character in idiom_gap(left, right)


@pytest.mark.parametrize(("left", "right"), [("", ""), ("我去", "买菜"), ("小猫", "。"), ("a.", "[("), ("中华", "族")])
def test_no_idiom(left: str, right: str) -> None:
    assert idiom_gap(left, right) == ()


def test_every_reading_of_the_gap_is_offered() -> None:
    assert {"心", "言"} & set(idiom_gap("一", "一意")) and len(idiom_gap("一", "一意")) == len(
        set(idiom_gap("一", "一意"))
    )


@pytest.mark.parametrize(
    "text",
    ["画__添足", "他画□添足。", "不要画[MASK]添足", "畫（ ）添足", "画 ____ 添 足", "__，画__添足", "画__\n添足"],
)
def test_of_a_request(text: str) -> None:
    warm_up()
    assert ("蛇",) in read_request(ClozeRequest(text), folding({"畫": "画"})).idiom_characters()


def test_other_blanks_and_longer_ones_have_none() -> None:
    assert read_request(ClozeRequest("画□□足，我去__买菜"), {}).idiom_characters() == [(), ()]
    assert read_request(ClozeRequest(("画", "__", "添足")), {}).idiom_characters() == [("蛇",)]
