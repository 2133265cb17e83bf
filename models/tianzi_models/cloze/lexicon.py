"""The words that any text may be answered with, the pieces that all words are read as, and characters' usual forms."""

from collections.abc import Mapping, Sequence

from tianzi_models.cloze.pieces import Pieces

WORDS, PIECES, VARIANTS = "words.txt", "pieces.txt", "variants.txt"
"""Files of a bundle: a word a line; a piece, a tab and its score a line; a variant and its usual character a line."""


class Lexicon:
    """words: of the lexicon, numbered from 0. pieces: see Pieces. variants: variant character → usual one."""

    def __init__(self, words: Sequence[str], pieces: Pieces, variants: Mapping[str, str]) -> None:
        self.words = list(words)
        self.pieces = pieces
        self.variants = dict(variants)
        self._ids = {word: i for i, word in enumerate(words)}

    def __len__(self) -> int:
        return len(self.words)

    def id(self, word: str) -> int:
        """The word's number, -1 for a word that the lexicon lacks."""
        return self._ids.get(word, -1)

    def to_files(self) -> dict[str, bytes]:
        """The texts of a bundle."""
        variants = "".join(f"{variant} {usual}\n" for variant, usual in self.variants.items())
        words = "".join(f"{word}\n" for word in self.words)
        texts = {WORDS: words, PIECES: self.pieces.to_text(), VARIANTS: variants}
        return {name: text.encode() for name, text in texts.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> "Lexicon":
        """The contents of WORDS, PIECES and VARIANTS by name. Raises: ValueError: one of them is of another form."""
        rows = [line.split(" ") for line in texts[VARIANTS].splitlines()]
        if any(len(row) != 2 for row in rows):
            raise ValueError(f"{VARIANTS}: a line is not a variant, a space and its usual form")
        words = texts[WORDS].split("\n")[:-1]
        return cls(words, Pieces.from_text(texts[PIECES]), {row[0]: row[1] for row in rows})
