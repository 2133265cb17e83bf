"""Texts without what nobody sees: invisible characters and spaces between hanzi, with the way back to the text."""

import re
from dataclasses import dataclass

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0001-\U000e007f\U000e0100-\U000e01ef]+"
)
"""Soft hyphen, joiners, direction marks, byte order mark, variation selectors, tags."""
SPACE = r"[^\S\r\n\v\f\x1c-\x1e\x85\u2028\u2029]"
"""A space within a line, of any width."""
HANZI = "[々〇\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_BETWEEN_HANZI = re.compile(f"(?<={HANZI}){SPACE}++(?={HANZI})")


@dataclass(frozen=True)
class Visible:
    """A part of a text with characters left out. offsets: where each character stands in the whole text as given."""

    text: str
    offsets: tuple[int, ...]

    def part(self, start: int, end: int) -> "Visible":
        """The characters [start, end)."""
        return Visible(self.text[start:end], self.offsets[start:end])

    def span(self, start: int, end: int) -> tuple[int, int]:
        """[start, end) in the text as given, for a stretch that is not empty."""
        return self.offsets[start], self.offsets[end - 1] + 1

    def without(self, pattern: re.Pattern[str]) -> "Visible":
        """The same without what matches the pattern."""
        if not pattern.search(self.text):
            return self
        kept: list[int] = []
        end = 0
        for match in pattern.finditer(self.text):
            kept += range(end, match.start())
            end = match.end()
        kept += range(end, len(self.text))
        return Visible("".join(self.text[i] for i in kept), tuple(self.offsets[i] for i in kept))


def visible(text: str) -> Visible:
    """text without invisible characters."""
    return Visible(text, tuple(range(len(text)))).without(INVISIBLE)


def close_up(part: Visible) -> Visible:
    """part without the spaces between two hanzi, which say nothing in Chinese. Ends of lines stay."""
    return part.without(_BETWEEN_HANZI)


def clean(text: str) -> str:
    """What a stretch of a text reads as: no invisible characters, no spaces between hanzi."""
    return close_up(visible(text)).text
