"""Where the blanks of a text are, in the ways that people write them.

A blank:
    XXXXX (five X or more), ____ (two _ or more, also \\_\\_ and _ _), ＿ (one or more), （） () 【】 with any spaces
    inside, [ ] with spaces inside, [MASK] [mask] <mask> 【MASK】, □; underscores or X alone in brackets: （____）.
One blank of several characters: □□, [MASK][MASK]; of one: □. A single [MASK] is a word of any length.
A number that belongs to a blank is its label and no text. It stands in the blank (__1__, __①__, ____（1）____,
[MASK1], <extra_id_0>), directly before it (（1）____, ①（ ）) or directly behind underscores (____（1）). At the
beginning of a line it numbers the line as well: it stays outside the blank. 1. and 1、 number a list: they are text.
Where nothing else is a blank, bracketed numbers are: 他(1)很快. Not if one number comes twice, and not at the beginning
of a line or behind 。；：！？, where they enumerate.

No blank:
    XXXXX beside a Latin letter; six X or more beside a digit, or behind a word for a secret or a number: 密码XXXXXX;
    underscores in a name: __init__, a__b (two underscores between a Latin letter and a Latin letter or digit);
    a rule: a line of nothing but underscores, in a text with other lines;
    a call: () directly behind a Latin letter, digit, _, ) or ]. Of print(____), the underscores are the blank;
    an index or a link: [ ] directly behind one of these, or before (;
    a checkbox: [ ] or □ and a space at the beginning of a line or a list item; several □ in a line, each behind a space
    or a colon and before a letter;
    anything in an address: https://…
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from tianzi_models.cloze.reading.visible import SPACE


@dataclass(frozen=True)
class Sign:
    """A blank, or a number by itself. kind: the name of its group in _SIGN, or "literal"."""

    start: int
    end: int
    kind: str
    label: str = ""
    length: int = 0


DIGITS = "[0-9０-９]{1,3}"
CIRCLED = "[①-⒛❶-❿㉑-㉟㊱-㊿]"
BRACKETED = rf"[（(]{SPACE}{{0,3}}(?:{DIGITS}|{CIRCLED}){SPACE}{{0,3}}[）)]"
_LINE = rf"(?:[_＿]{{2,}}+|＿|(?:\\_){{2,}}+|_(?:{SPACE}{{1,2}}_(?![_＿]))++)"
_SIGN = re.compile(
    rf"""(?=[_＿\\X（(\[【<□]|{CIRCLED})(?:
    (?P<named>[_＿]{{2,}}+{SPACE}?(?P<name>{DIGITS}|{CIRCLED}|[A-Z]){SPACE}?[_＿]{{2,}}+)
  | (?P<framed>（{SPACE}*+{_LINE}{SPACE}*+）|\({SPACE}*+{_LINE}{SPACE}*+\)|\[{SPACE}*+{_LINE}{SPACE}*+\]
      |【{SPACE}*+{_LINE}{SPACE}*+】|（XXXXX）|\(XXXXX\))
  | (?P<line>{_LINE})
  | (?P<x>X{{5,}}+)
  | (?P<mask>(?:\[(?i:mask)\]|【(?i:mask)】|<(?i:mask)>))
  | (?P<masked>\[(?i:mask)[_ -]?(?P<mask_name>{DIGITS})\]|<(?i:mask)[_ -]?(?P<mask_name2>{DIGITS})>
      |<extra_id_(?P<extra_name>{DIGITS})>)
  | (?P<bracket>（{SPACE}*+[）)]|【{SPACE}*+】)
  | (?P<half>\({SPACE}*+[）)])
  | (?P<square>\[{SPACE}++\])
  | (?P<box>□)
  | (?P<number>{BRACKETED}|{CIRCLED}))
    """,
    re.VERBOSE,
)
_NAMES = ("name", "mask_name", "mask_name2", "extra_name")
_SPARED = re.compile(
    rf"""(?:https?|ftp)://[!-~]++ | \bwww\.[!-~]++
      | (?<![A-Za-z0-9_])__[A-Za-z][A-Za-z0-9]++(?:_[A-Za-z0-9]++)*+__(?![A-Za-z0-9_])
      | (?<=[A-Za-z])__(?=[A-Za-z0-9])
      | ^{SPACE}*+(?:(?:[-*+]|[0-9]{{1,3}}[.)]){SPACE}++\[{SPACE}\]|(?:[-*+]{SPACE}++)?+□)(?={SPACE})
    """,
    re.VERBOSE | re.MULTILINE,
)
_RULE = re.compile(rf"^{SPACE}*+(?:(?:\\_|[_＿])++{SPACE}*+)++\r?$", re.MULTILINE)
_CHECKBOX = re.compile(r"(?:^|(?<=[\s:：]))□(?=[^\W_])", re.MULTILINE)
_WRITTEN_LINE = re.compile(r"^[^\n]*\S[^\n]*$", re.MULTILINE)
_LINE_ALONE = re.compile(_LINE)
_CALLER = re.compile(r"[A-Za-z0-9_)\]]")
_SECRET = re.compile(
    r"(?:密[码碼]|口令|[账帐帳卡编編单單证證学學工]号|[账帐帳卡编編单單证證学學工]號|号码|號碼|电话|電話|手机|手機|车牌|車牌|ID)"
    r"(?:[是为為:：]|\s){0,3}$"
)


def markers(marker: str) -> re.Pattern[str]:
    """What a request's marker finds. The group name is the blank's number.

    A marker without digits finds itself, and itself twice around a number: # finds #1#. One that encloses a number
    finds its siblings as well: {1} finds {2}. Any other finds itself.
    """
    literal = re.escape(marker)
    if enclosed := re.fullmatch(r"(\D+)(\d{1,3})(\D+)", marker):
        return re.compile(f"{re.escape(enclosed[1])}(?P<name>{DIGITS}){re.escape(enclosed[3])}")
    around = "" if re.search(r"\d", marker) else f"{literal}(?P<name>{DIGITS}){literal}|"
    return re.compile(f"{around}{literal}")


def number(label: str) -> str:
    """A label's number in digits: （1）, ①, １ → 1. A letter stays."""
    values = [unicodedata.numeric(char, -1) for char in label]
    digits = "".join(str(int(value)) for value in values if value >= 0)
    return str(int(digits)) if digits else label


def signs(text: str, marker: str) -> Iterator[Sign]:
    """Blanks and numbers from left to right; a request's marker goes before all else."""
    cuts: list[tuple[int, int, Sign | None]] = [(*span, None) for span in _spared(text)]
    if marker:
        for match in markers(marker).finditer(text):
            cuts.append((*match.span(), Sign(*match.span(), "literal", number(match.groupdict().get("name") or ""))))
    start = 0
    for cut_start, cut_end, sign in sorted(cuts, key=lambda cut: cut[:2]):
        yield from _between(text, start, cut_start)
        if sign:
            yield sign
        start = max(start, cut_end)
    yield from _between(text, start, len(text))


def _spared(text: str) -> Iterator[tuple[int, int]]:
    """What looks like a blank and is none, except where the characters beside it decide, see _between."""
    for match in _SPARED.finditer(text):
        yield match.span()
    lines = list(_WRITTEN_LINE.finditer(text))
    if len(lines) > 1:
        for match in _RULE.finditer(text):
            yield match.span()
    for line in lines:
        boxes = list(_CHECKBOX.finditer(text, *line.span()))
        if len(boxes) > 1:
            for box in boxes:
                yield box.span()


def _between(text: str, start: int, end: int) -> Iterator[Sign]:
    """The signs of text[start:end] by what they are and by the characters beside them."""
    for match in _SIGN.finditer(text, start, end):
        kind, (first, last) = str(match.lastgroup), match.span()
        before, after = text[max(0, first - 1) : first], text[last : last + 1]
        if kind in ("framed", "half", "square") and text[first] in "([" and _CALLER.match(before):
            if kind != "framed":
                continue
            line = _LINE_ALONE.search(text, first, last)
            first, last = line.span() if line else (first + 1, last - 1)
        elif (kind == "square" and after == "(") or (kind == "x" and _is_masking(text, first, last)):
            continue
        label = next((match[name] for name in _NAMES if match[name]), match[0] if kind == "number" else "")
        length = 1 if kind == "box" else 0
        yield Sign(first, last, "line" if kind == "named" else kind, number(label), length)


def _is_masking(text: str, start: int, end: int) -> bool:
    """Whether a run of X hides something: a part of a name, of a number, a password."""
    beside = text[max(0, start - 1) : start] + text[end : end + 1]
    if any(char.isascii() and char.isalpha() for char in beside):
        return True
    return end - start > 5 and (any(map(str.isdigit, beside)) or bool(_SECRET.search(text[max(0, start - 8) : start])))
