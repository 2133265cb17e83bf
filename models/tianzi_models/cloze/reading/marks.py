"""The blanks of a text with their labels, put together of the signs that notation.py describes and finds."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tianzi_models.cloze.reading.notation import CIRCLED, Sign, signs
from tianzi_models.cloze.reading.visible import SPACE

HINT = "mark it with XXXXX, ____, [MASK], □ or （ ）"


@dataclass(frozen=True)
class Mark:
    """A blank at [start, end) of a text; what stands from skip to start is no text either.

    label: its number, "" for none. length: how many characters it asks for, 0 for any number.
    """

    start: int
    end: int
    label: str
    length: int
    skip: int


_BEGINNING = re.compile(rf"^{SPACE}*+", re.MULTILINE)
_GAP = re.compile(rf"{SPACE}{{0,2}}")
_ENUMERATES = frozenset("。；：！？;:!?")

_BLANK_CHARACTER = re.compile(rf"[_＿\\X（(\[【<□]|{CIRCLED}")


def find_blanks(text: str, marker: str = "") -> list[Mark]:
    """The blanks of a text from left to right; none overlap. marker: what else is one, see markers()."""
    return list(_labelled(text, list(_joined(signs(text, marker)))))


def find_numbers(text: str) -> list[Mark]:
    """The bracketed numbers that stand for blanks in a text that has no other ones."""
    beginnings = _beginnings(text)
    found = [
        Mark(sign.start, sign.end, sign.label, 0, sign.start)
        for sign in signs(text, "")
        if sign.kind == "number"
        and text[sign.start] in "（("
        and sign.start not in beginnings
        and text[max(0, sign.start - 3) : sign.start].rstrip()[-1:] not in _ENUMERATES
    ]
    return found if len({mark.label for mark in found}) == len(found) else []


def whole(token: str, marker: str = "") -> Mark | None:
    """The blank that a token is; None for one that holds anything else."""
    if not marker and not _BLANK_CHARACTER.search(token):
        return None
    marks = find_blanks(token, marker)
    return marks[0] if len(marks) == 1 and (marks[0].skip, marks[0].end) == (0, len(token)) else None


def _joined(found: Iterator[Sign]) -> Iterator[Sign]:
    """Adjacent [MASK] or □ as one blank of so many characters."""
    run: list[Sign] = []
    for sign in found:
        if run and not (sign.kind == run[0].kind in ("mask", "box") and sign.start == run[-1].end):
            yield _of_run(run)
            run = []
        run.append(sign)
    if run:
        yield _of_run(run)


def _of_run(run: Sequence[Sign]) -> Sign:
    """One sign for adjacent ones."""
    return run[0] if len(run) == 1 else replace(run[0], end=run[-1].end, length=len(run))


def _labelled(text: str, found: Sequence[Sign]) -> Iterator[Mark]:
    """The blanks with the numbers that belong to them."""
    beginnings = _beginnings(text)
    i = 0
    while i < len(found):
        sign, following = found[i], found[i + 1 : i + 4]
        if sign.kind == "number":
            if following and _takes(following[0]) and _near(text, sign, following[0]):
                blank = following[0]
                start = blank.start if sign.start in beginnings else sign.start
                yield Mark(start, blank.end, sign.label, blank.length, sign.start)
                i += 1
        elif sign.kind == "line" and not sign.label and _are_adjacent(found[i : i + 2], "number"):
            # ____（1）____ is one blank; ____（1）____（2） are two.
            within = _are_adjacent(found[i + 1 : i + 3], "line") and not _are_adjacent(found[i + 2 : i + 4], "number")
            last = following[1 if within and not following[1].label else 0]
            yield Mark(sign.start, last.end, following[0].label, 0, sign.start)
            i += 2 if last is not following[0] else 1
        else:
            yield Mark(sign.start, sign.end, sign.label, sign.length, sign.start)
        i += 1


def _takes(sign: Sign) -> bool:
    """Whether a number before this sign can be its label."""
    return sign.kind != "number" and not sign.label


def _near(text: str, sign: Sign, following: Sign) -> bool:
    """Whether nothing but a space or two stands between two signs, on one line."""
    return bool(_GAP.fullmatch(text, sign.end, following.start))


def _are_adjacent(pair: Sequence[Sign], kind: str) -> bool:
    """Whether a sign of this kind follows the first one at once."""
    return len(pair) == 2 and pair[1].kind == kind and pair[0].end == pair[1].start


def _beginnings(text: str) -> set[int]:
    """Where lines begin, spaces left out."""
    return {match.end() for match in _BEGINNING.finditer(text)}
