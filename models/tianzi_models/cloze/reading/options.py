"""Lettered options: in a request's candidates, and printed in a text for its blanks.

Printed options are two or more in a row, lettered from A on, all in one style (A. A、 A: A) （A）, or A and a space).
Each has at most 20 characters, no 。！？ and no blank. They stand
    on lines of their own, which a number may begin (1. A. 本来 B. 原来), one or several to a line;
    at the end of a line, behind 。！？ or a space;
    in brackets directly behind a blank: ____（A. 本来 B. 原来）.
Whom they belong to, by the first of these rules that holds for all lists but those in brackets:
    1. each list has a number, and some number is a blank's label: the blank of that label;
    2. a blank stands between each list and the list before it: the blanks between them;
    3. there are two or more lists, as many as blanks, the first behind a blank: one each, in order;
    4. the only list has three options or more and stands on lines of its own before every blank: all blanks.
Where none holds the lists are text like any other.
"""

import re
import string
import unicodedata
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tianzi_models.cloze.reading.marks import Mark
from tianzi_models.cloze.reading.notation import BRACKETED, CIRCLED, DIGITS, number
from tianzi_models.cloze.reading.visible import SPACE, clean

MAX_OPTION_CHARACTERS = 20
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Option:
    """A word to choose. label: its letter or number, "" for none."""

    text: str
    label: str = ""


@dataclass
class OptionList:
    """Options that stand together. spans: [start, end) of the text, one a line. number: of the list, "" for none.

    own_lines: nothing else stands on its lines. mark: the blank that it follows in brackets.
    """

    options: list[Option] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    number: str = ""
    own_lines: bool = True
    mark: int | None = None


_LABEL = re.compile(
    rf"(?<![A-Za-z0-9])(?:[（(]{SPACE}?(?P<round>[A-ZＡ-Ｚ]){SPACE}?[）)]|(?P<point>[A-ZＡ-Ｚ])[.．、:：)）]"
    rf"|(?P<bare>[A-Z])(?={SPACE}))"
)
_LINE = re.compile(
    rf"^(?P<lead>{SPACE}*+(?:(?P<number>{DIGITS}[.．、)）]|{BRACKETED}|{CIRCLED}){SPACE}*+)?+)(?:[^\s][^\n]*+)$",
    re.MULTILINE,
)
_BEFORE_TAIL = re.compile(r"[\s。！？!?…”’」』）)]")
_AROUND = string.whitespace + "\xa0\u3000；;，,。、"
_SENTENCE_END = re.compile(r"[。！？!?\n]")
_CANDIDATE = re.compile(
    rf"{SPACE}*+(?:[（(]{SPACE}?(?P<round>[A-Za-zＡ-Ｚ]|{DIGITS}){SPACE}?[）)]|(?P<point>[A-Za-zＡ-Ｚ])[.．、:：)）]"
    rf"|(?P<number>{DIGITS})[.．、:：)）](?![0-9])|(?P<circled>{CIRCLED})|(?P<bare>[A-Z]){SPACE})(?P<word>.*)",
    re.DOTALL,
)


def read_candidates(candidates: Sequence[str]) -> tuple[Option, ...]:
    """Candidates without their labels: A. 小猫 is 小猫 with the label A.

    Two or more must all have labels of one style, in ascending order, with a word behind each; else none has a label.
    """
    matches = [match for match in map(_CANDIDATE.fullmatch, candidates) if match]
    styles = [next(name for name, value in match.groupdict().items() if value) for match in matches]
    labels = [number(unicodedata.normalize("NFKC", match[style])) for match, style in zip(matches, styles, strict=True)]
    words = [match["word"].strip() for match in matches]
    order = [(len(label), label) for label in labels]
    is_list = len(matches) == len(candidates) > 1 and len(set(styles)) == 1 and order == sorted(set(order))
    if not is_list or not all(words):
        return tuple(map(Option, candidates))
    return tuple(map(Option, words, labels))


def find_lists(text: str, marks: Sequence[Mark]) -> list[OptionList]:
    """The lists of options that a text prints, those without a blank to belong to among them. marks: its blanks."""
    lists = list(_in_brackets(text, marks))
    starts = [mark.start for mark in marks]
    last = OptionList()
    for line in _LINE.finditer(text):
        lead, first, end = line["number"] or "", line.end("lead"), line.end()
        if not lead and last.options and (more := parse_options(text, first, end, starts, len(last.options))):
            last.options += more
            last.spans.append(line.span())
            continue
        last = OptionList(parse_options(text, first, end, starts), [line.span()], number(lead))
        if not last.options and (tail := _tail(text, first, end)):
            last = OptionList(parse_options(text, tail, end, starts), [(tail, end)], own_lines=False)
        if last.options and (last.own_lines or len(last.options) > 1):
            lists.append(last)
    return sorted((one for one in lists if len(one.options) > 1), key=lambda one: one.spans)


def owners(lists: Sequence[OptionList], marks: Sequence[Mark]) -> dict[int, OptionList]:
    """Number of a blank → its list; empty where the lists are for no blank."""
    belongs = {one.mark: one for one in lists if one.mark is not None}
    others = [one for one in lists if one.mark is None]
    free = [i for i in range(len(marks)) if i not in belongs]
    if not others or not free:
        return belongs
    labels = {marks[i].label: i for i in free if marks[i].label}
    if all(one.number for one in others) and any(one.number in labels for one in others):
        return belongs | {labels[one.number]: one for one in others if one.number in labels}
    between = _between(others, [marks[i].start for i in free])
    if all(between):
        return belongs | {free[j]: one for one, owned in zip(others, between, strict=True) for j in owned}
    if len(others) == len(free) > 1 and between[0]:
        return belongs | dict(zip(free, others, strict=True))
    only = others[0]
    if len(others) == 1 and len(only.options) > 2 and only.own_lines and only.spans[-1][1] <= marks[free[0]].start:
        return belongs | dict.fromkeys(free, only)
    return belongs


def _between(lists: Sequence[OptionList], starts: Sequence[int]) -> list[list[int]]:
    """For each list the blanks between the list before and itself."""
    between: list[list[int]] = []
    i = 0
    for one in lists:
        owned = []
        while i < len(starts) and starts[i] < one.spans[0][0]:
            owned.append(i)
            i += 1
        between.append(owned)
    return between


def _in_brackets(text: str, marks: Sequence[Mark]) -> Iterator[OptionList]:
    """Lists in brackets directly behind their blanks."""
    for i, mark in enumerate(marks):
        if text[mark.end : mark.end + 1] in ("（", "("):
            end = _closing(text, mark.end)
            following = [other.start for other in marks[i + 1 : i + 2]]
            following = [other.start for other in marks[i + 1 : i + 2]]
            options = parse_options(text, mark.end + 1, end - 1, following) if end else []
            if len(options) > 1:
                yield OptionList(options, [(mark.end, end)], own_lines=False, mark=i)


def _closing(text: str, start: int) -> int:
    """The end of the brackets that open at start; 0 if they do not close within some twenty options."""
    depth = 0
    for i in range(start, min(len(text), start + 20 * MAX_OPTION_CHARACTERS)):
        if text[i] == "\n":
            return 0
        depth += (text[i] in "（(") - (text[i] in "）)")
        if not depth:
            return i + 1
    return 0


def _tail(text: str, start: int, end: int) -> int:
    """Where the last A within a line stands that a list may begin with; 0 for none."""
    found = 0
    for match in _LABEL.finditer(text, start, end):
        if match["bare"] is None and _letter(match) == "A" and _BEFORE_TAIL.match(text, match.start() - 1):
            found = match.start()
    return found


def parse_options(text: str, start: int, end: int, blanks: Sequence[int], first: int = 0) -> list[Option]:
    """The options that fill [start, end), lettered from LETTERS[first] on; none if anything else stands there.

    blanks: where blanks start, ascending.
    """
    if bisect_left(blanks, start) != bisect_left(blanks, end):
        return []
    labels: list[re.Match[str]] = []
    for match in _LABEL.finditer(text, start, end):
        if not labels and match.start() != start:
            return []
        if _letter(match) != LETTERS[first + len(labels) :][:1]:
            if not labels:
                return []
        elif not labels or match.lastgroup == labels[0].lastgroup:
            labels.append(match)
    ends = [match.start() for match in labels[1:]] + [end]
    words = [text[match.end() : stop].strip(_AROUND) for match, stop in zip(labels, ends, strict=False)]
    fit = [0 < len(word) <= MAX_OPTION_CHARACTERS and not _SENTENCE_END.search(word) for word in words]
    if not words or not all(fit):
        return []
    return [Option(clean(word), _letter(match)) for word, match in zip(words, labels, strict=True)]


def _letter(match: re.Match[str]) -> str:
    """A label's letter, half-width."""
    return unicodedata.normalize("NFKC", match[str(match.lastgroup)])
