"""Idioms that lack a character: 画蛇添_, read off jieba's dictionary."""

import re
from functools import lru_cache

from tianzi_models.cloze.segment import dictionary_lines

LENGTH = 4
_ENTRY = re.compile(r"([\u4e00-\u9fff]{4}) \d+ [il]\s*")
"""A word, its count, and its kind: i for idioms, l for set phrases."""


@lru_cache(maxsize=4096)
def idiom_gap(left: str, right: str) -> tuple[str, ...]:
    """The characters that make an idiom of four with what stands directly beside a blank, in the dictionary's order.

    left, right: the text before and after, in simplified characters; the idiom may hold the last three of left and the
    first three of right at most.
    """
    found: dict[str, None] = {}
    for before in range(LENGTH):
        head, tail = left[len(left) - before :], right[: LENGTH - 1 - before]
        if len(head) == before and len(tail) == LENGTH - 1 - before and (head + tail).isalpha():
            found |= dict.fromkeys(re.findall(f"^{head}(.){tail}$", _idioms(), re.MULTILINE))
    return tuple(found)


@lru_cache(maxsize=1)
def _idioms() -> str:
    """Every idiom of four characters on a line of its own."""
    return "\n".join(match[1] for match in map(_ENTRY.fullmatch, dictionary_lines()) if match)


def warm_up() -> None:
    """Reads the dictionary, once: 0.3 s, which must not fall on the first request."""
    _idioms()
