"""Word banks printed in a text: 选词填空：快乐 高兴 难过.

A word bank is two words or more in a row, of at most eight characters each (four, where commas part them), between
spaces 、，；/ | or ·, in brackets or a frame or not, or lettered options. No blank stands on its lines. One of these
tells a bank from text:
    a heading at the beginning of a line (选词填空, 选择…填…, …词…填入…, 备选词, 词库, 词语库, 供选…). The bank stands
    behind it on its line, or is all lines behind it that hold nothing but lists;
    the request's candidates: all the words of a line are among them;
    a frame: │ at both ends of its lines, or brackets around one whole line of three words or more of at most four
    characters.
A blank takes the words of the last bank before it, else those of the first one.
"""

import re
from bisect import bisect_left
from collections.abc import Sequence, Set
from dataclasses import dataclass

from tianzi_models.cloze.reading.marks import Mark
from tianzi_models.cloze.reading.options import Option, parse_options
from tianzi_models.cloze.reading.visible import SPACE, clean

MAX_WORD_CHARACTERS = 8
MAX_FRAMED_CHARACTERS = 4


@dataclass
class WordBank:
    """Words to choose among, for several blanks. [start, end): where it stands, its heading with it."""

    words: list[Option]
    start: int
    end: int


_LINE = re.compile(r"[^\n]+")
_HEADING = re.compile(
    rf"{SPACE}*+[（(\[【]?(?:[一二三四五六七八九十0-9０-９]{{1,3}}[、.．)）])?{SPACE}*+[^\n。：:]{{0,8}}?"
    r"(?:[选選][词詞字][语語]?填空|[选選][择擇用][^\n。：:]{0,12}填|[词詞字][语語]?[^\n。：:]{0,4}填[入在到]"
    r"|[备備][选選][词詞字][语語]?|[词詞][语語]?[库庫]|供[选選])[^\s。：:（(\[【]{0,12}[）)\]】]?[。：:\s]{0,3}"
)
_SEPARATORS = re.compile(rf"(?:{SPACE}|[、，,；;/|｜│┃·])+")
_WORD = re.compile(r"[\w…]+")
_BORDER = re.compile(r"[\s─━—\-=+┌┐└┘├┤┬┴┼┏┓┗┛╔╗╚╝═]+")
_BRACKETS = re.compile(r"[\[【（(｛{〔「](.*)[\]】）)｝}〕」]")
_FRAME = re.compile(r"[│┃](.*)[│┃]")


def find_banks(text: str, marks: Sequence[Mark], given: Set[str]) -> list[WordBank]:
    """The word banks of a text, from its beginning on. marks: its blanks. given: the request's candidates."""
    starts = [mark.start for mark in marks]
    lines = [
        None if bisect_left(starts, line.start()) < bisect_left(starts, line.end()) else line
        for line in _LINE.finditer(text)
    ]
    banks: list[WordBank] = []
    end = 0
    for i, line in enumerate(lines):
        if line and line.start() >= end:
            bank = _headed(line, lines, i) or _framed(line, lines, i) or _of_given(line, given)
            if bank:
                end = bank.end
                banks += [bank] if len(bank.words) > 1 else []
    return banks


def _headed(line: re.Match[str], lines: Sequence[re.Match[str] | None], i: int) -> WordBank | None:
    """The bank behind the heading that line i is or begins with; it may lack words."""
    heading = _HEADING.match(line[0])
    if not heading:
        return None
    words = _words(line[0][heading.end() :].strip().rstrip("。"))
    return _bank(words, line, line) if len(words) > 1 else _bank(*_several(line, lines, i + 1))


def _framed(line: re.Match[str], lines: Sequence[re.Match[str] | None], i: int) -> WordBank | None:
    """The bank in the frame that begins on line i; it may lack words."""
    if _FRAME.fullmatch(line[0].strip()):
        return _bank(*_several(line, lines, i))
    words = _words(line[0].strip()) if _BRACKETS.fullmatch(line[0].strip()) else []
    if len(words) > 2 and all(len(word.text) <= MAX_FRAMED_CHARACTERS for word in words):
        return _bank(words, line, line)
    return None


def _of_given(line: re.Match[str], given: Set[str]) -> WordBank | None:
    """The bank that a line of the request's candidates is."""
    words = _words(line[0].strip()) if given else []
    return _bank(words, line, line) if words and all(word.text in given for word in words) else None


def _several(
    first: re.Match[str], lines: Sequence[re.Match[str] | None], i: int
) -> tuple[list[Option], re.Match[str], re.Match[str]]:
    """The words of the lines from i on that hold nothing else, with the first line and the last one."""
    found: list[Option] = []
    last = first
    while i < len(lines) and (line := lines[i]):
        written = line[0].strip()
        words = _words(written)
        if len(words) < (1 if _FRAME.fullmatch(written) else 2) and not _BORDER.fullmatch(line[0]):
            break
        found += words
        last = line
        i += 1
    return found, first, last


def _words(written: str) -> list[Option]:
    """The words of a list; none for anything else."""
    inner = next((match[1] for match in (_FRAME.fullmatch(written), _BRACKETS.fullmatch(written)) if match), written)
    inner = inner.strip()
    if options := parse_options(inner, 0, len(inner), ()):
        return options
    words = [word for word in _SEPARATORS.split(inner) if word]
    longest = MAX_FRAMED_CHARACTERS if re.search("[，,]", inner) else MAX_WORD_CHARACTERS
    is_list = all(len(word) <= longest and _WORD.fullmatch(word) for word in words)
    return [Option(clean(word)) for word in words] if is_list else []


def _bank(words: Sequence[Option], first: re.Match[str], last: re.Match[str]) -> WordBank:
    """The words, each once, and where they stand."""
    return WordBank(list({word.text: word for word in words[::-1]}.values())[::-1], first.start(), last.end())
