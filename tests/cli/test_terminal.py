"""What people see on a terminal."""

import io
import re

import pytest
from rich.console import Console

from tianzi import Blank, Character, Filling, Question, Reading, Recognition, Word
from tianzi_service.cli import explain, show


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Holds what is printed on a terminal of 80 columns without colours."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None, highlight=False)
    monkeypatch.setattr(show, "_console", lambda: console)
    return out


def test_character_in_a_box_beside_its_bars(screen: io.StringIO) -> None:
    show.recognition("字.png", Recognition((Character("填", 0.75), Character("真", 0.25)), False, 1))
    lines = screen.getvalue().splitlines()
    assert "字.png" in lines[0]
    assert "│   填   │" in screen.getvalue()
    assert "75.0%" in lines[1]
    assert "25.0%" in lines[2]


def test_rejected_says_so(screen: io.StringIO) -> None:
    show.recognition("a.png", Recognition((Character("一", 0.1),), True, 1))
    assert "no single readable character" in screen.getvalue()
    assert "│   —   │" in screen.getvalue()


def test_a_row_is_boxes_above_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="standard", highlight=False)
    monkeypatch.setattr(show, "_console", lambda: console)
    shown = [Recognition((Character(char, 0.9),), char == "柳", 1) for char in "电柳机"]
    show.reading(["a/1.png", "2.png", "3.png"], Reading("电视机", tuple(shown), 1))
    *boxes, text = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert text == "→ \x1b[1;36m电\x1b[0m\x1b[1;4;36m视\x1b[0m\x1b[1;36m机\x1b[0m"
    plain = re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(boxes))
    assert [char in plain for char in "电视机柳"] == [True, True, True, False]
    assert "rejected" in plain and "机 90%" in plain and "1.png" in plain and "a/1.png" not in plain


def test_words_stand_in_the_text(screen: io.StringIO) -> None:
    words = (Word("小猫", 0.9, ((0, 2), (5, 7))), Word("狗", 0.1, ()))
    filling = Filling((Blank(words, (8, 12), False),), 1, Question("小猫钓鱼，小猫。____笑了。"))
    show.filling(filling)
    text, _, first, second = (line.rstrip() for line in screen.getvalue().splitlines())
    assert text == "小猫钓鱼，小猫。小猫笑了。"
    assert first.startswith("小猫")
    assert first.endswith("90.0%  2 × in the text")
    assert second.startswith("狗")
    assert second.endswith("10.0%  not in the text")


def test_several_blanks_are_numbered(screen: io.StringIO) -> None:
    blank = (Word("猫", 0.9, ()),)
    filling = Filling((Blank(blank, (0, 2), False), Blank(blank, (0, 2), True)), 1, Question("__好", "__坏"))
    show.filling(filling)
    assert "猫好\n→ 猫坏\n" in screen.getvalue()
    assert "blank 1" in screen.getvalue()
    assert "blank 2" in screen.getvalue()


STORY = Filling(
    (
        Blank(
            (Word("小猫", 0.81, ((0, 2), (5, 7))), Word("狗", 0.18, ((15, 16),)), Word("笑", 0.001, ())), (8, 12), False
        ),
        Blank((Word("狗", 0.9, ((15, 16),)),), (0, 2), True),
    ),
    1,
    Question("小猫钓鱼，小猫。____笑了。狗也笑", "__坏"),
)


def test_an_explanation_marks_each_place_of_each_likely_word(capsys: pytest.CaptureFixture[str]) -> None:
    explain.explanation(STORY)
    assert capsys.readouterr().out.splitlines() == [
        "小猫⟨0.81⟩钓鱼，小猫⟨0.81⟩。____笑了。狗⟨0.18⟩也笑",
        "小猫钓鱼，小猫。____笑了。狗⟨0.90⟩也笑",
    ]


def test_likelier_words_are_shaded_deeper() -> None:
    text = explain.shaded(explain.pieces(STORY, STORY.blanks[0]))
    assert text.plain == "小猫钓鱼，小猫。____笑了。狗也笑"
    styles = {text.plain[span.start : span.end]: str(span.style) for span in text.spans}
    assert styles == {"小猫": "black on #3cebeb", "____": "bold reverse", "狗": "black on #98ebeb"}
