"""Vocab: symbol ↔ id, for characters and for words."""

import re
from collections.abc import Iterable, Mapping, Sequence

PAD = 0
UNKNOWN = 1
_RESERVED = re.compile(r"<[a-z]+>")


class Vocab:
    """Symbols with ids counted from 0. Those like <pad>, <unk> are reserved: no text is encoded as one.

    A symbol may have variants that share its id: 國 and 国. The text form is one symbol a line, its
    variants after it, separated by spaces.
    """

    def __init__(self, symbols: Sequence[str], variants: Mapping[str, str] | None = None) -> None:
        """variants: variant → symbol; those of symbols that the vocabulary lacks are left out."""
        self.symbols = list(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols) if not _RESERVED.fullmatch(symbol)}
        self.variants = {v: s for v, s in (variants or {}).items() if s in self._ids and v not in self._ids}

    def __len__(self) -> int:
        return len(self.symbols)

    def id(self, symbol: str) -> int:
        """The symbol's or variant's id, UNKNOWN for any other."""
        return self._ids.get(self.variants.get(symbol, symbol), UNKNOWN)

    def encode(self, symbols: Iterable[str]) -> list[int]:
        """The ids of symbols."""
        return [self.id(symbol) for symbol in symbols]

    def to_text(self) -> str:
        """The text form, as a bundle holds it."""
        variants: dict[str, list[str]] = {}
        for variant, symbol in self.variants.items():
            variants.setdefault(symbol, []).append(variant)
        return "".join(" ".join([symbol, *variants.get(symbol, [])]) + "\n" for symbol in self.symbols)

    @classmethod
    def from_text(cls, text: str) -> "Vocab":
        """Reads the text form."""
        rows = [line.split(" ") for line in text.split("\n") if line]
        return cls([row[0] for row in rows], {variant: row[0] for row in rows for variant in row[1:]})
