"""Allowed sets: the classes that a request lets the recogniser choose among."""

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tianzi_models.errors import InvalidInput

PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
# What number plates of mainland China show: no I and no O, and the last characters of special plates.
PLATE = PROVINCES + "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789港澳学警领使挂"
MAX_CHARACTERS = 20_000
# A logit lower by this much leaves nothing after the softmax.
PENALTY = -1e4
CACHED_SETS = 256


def is_hanzi(char: str) -> bool:
    """Whether a character is a CJK ideograph."""
    return "\u3400" <= char <= "\u9fff" or char == "〇" or char >= "\U00020000"


KINDS: dict[str, Callable[[str], bool]] = {
    "digits": lambda char: char in string.digits,
    "uppercase": lambda char: char in string.ascii_uppercase,
    "lowercase": lambda char: char in string.ascii_lowercase,
    "letters": lambda char: char in string.ascii_letters,
    "hanzi": is_hanzi,
    "punctuation": lambda char: not (char in string.ascii_letters + string.digits or is_hanzi(char)),
    "plate": lambda char: char in PLATE,
}
"""The sets that have a name: name → whether it holds a character."""


@dataclass(frozen=True)
class AllowedSet:
    """penalties: (C + 1,) float32, added to the logits: 0 where allowed, PENALTY where not; "nothing" always may be.

    texts: class → the form to answer with, for all classes that are allowed.
    """

    penalties: npt.NDArray[np.float32]
    texts: dict[int, str]


class AllowedSets:
    """Turns names and characters into sets of classes; those asked for last are kept."""

    def __init__(self, charset: Sequence[str]) -> None:
        """charset: the forms of each class, the one that is answered first."""
        self._charset = charset
        self._number = {form: number for number, forms in enumerate(charset) for form in forms}
        self.everything = self._make({number: forms[0] for number, forms in enumerate(charset)})
        self._find = lru_cache(CACHED_SETS)(self._resolve)

    def find(self, allowed: Sequence[str]) -> AllowedSet:
        """The set of the named kinds and of all characters of the other strings; everything where there are none.

        A class that stands for several forms is answered with the one that was asked for.

        Raises:
            InvalidInput: a character that the model cannot answer, or too many.
        """
        return self._find(tuple(allowed)) if allowed else self.everything

    def _resolve(self, allowed: tuple[str, ...]) -> AllowedSet:
        size = sum(len(part) for part in allowed)
        if size > MAX_CHARACTERS:
            raise InvalidInput("allowed", f"{size} characters, at most {MAX_CHARACTERS}")
        texts: dict[int, str] = {}
        for part in allowed:
            if part in KINDS:
                texts |= {n: forms[0] for n, forms in enumerate(self._charset) if KINDS[part](forms[0])}
                continue
            for char in part:
                number = self._number.get(char)
                if number is None:
                    names = ", ".join(KINDS)
                    raise InvalidInput("allowed", f"{char!r}, must be a character that the model reads, or {names}")
                texts.setdefault(number, char)
        if not texts:
            raise InvalidInput("allowed", "no character in it, must hold one or be left out")
        return self._make(texts)

    def _make(self, texts: dict[int, str]) -> AllowedSet:
        penalties = np.full(len(self._charset) + 1, PENALTY, np.float32)
        penalties[[*texts, -1]] = 0.0
        return AllowedSet(penalties, texts)
