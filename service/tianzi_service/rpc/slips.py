"""Requests that can be answered, but hardly mean what they say."""

import difflib
import re
from functools import lru_cache

from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.allowed import KINDS

_WORD = re.compile(r"[A-Za-z]{3,}")
LIKE = 0.8
"""How much of a name a word must share to be taken for it, misspelt."""


@lru_cache(256)
def require_allowed(allowed: tuple[str, ...]) -> None:
    """Refuses what reads like the name of a set, but is none: "digit" would allow d, g, i and t.

    Letters are taken for letters where they stand in the alphabet's order, or are capitals.

    Raises:
        InvalidInput: with the names there are.
    """
    for part in allowed:
        if part in KINDS or not _WORD.fullmatch(part):
            continue
        near = difflib.get_close_matches(part.lower(), KINDS, n=1, cutoff=LIKE)
        if near or (not part.isupper() and list(part) != sorted(part)):
            meant = f" ({near[0]} is meant?)" if near else ""
            names = ", ".join(KINDS)
            in_order = "".join(sorted(set(part)))
            raise InvalidInput(
                "allowed", f"{part[:40]!r} is none of the sets {names}{meant}; for its letters say {in_order[:40]!r}"
            )
