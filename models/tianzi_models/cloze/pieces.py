"""Words → pieces: the unigram segmentation of a SentencePiece vocabulary, one word at a time."""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

PAD, START, END, UNKNOWN, BLANK, SEPARATOR = range(6)
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>", "<blank>", "<sep>")
"""The first pieces of every vocabulary."""
MAX_PIECES = 6
"""A word is read as at most so many pieces."""
_UNKNOWN_PENALTY = 10.0


class Pieces:
    """Splits a word into the pieces whose scores (log probabilities) add up highest (arXiv:1804.10959 §3.2)."""

    def __init__(self, pieces: Sequence[str], scores: Sequence[float]) -> None:
        """pieces: SPECIAL, then the others. scores: as many."""
        self.pieces, self.scores = list(pieces), list(scores)
        self._ids = {piece: i for i, piece in enumerate(pieces) if i >= len(SPECIAL)}
        self._longest = max(map(len, self._ids), default=1)
        self._unknown = min(self.scores[len(SPECIAL) :], default=0.0) - _UNKNOWN_PENALTY
        self.ids_of = lru_cache(maxsize=1 << 16)(self._split)

    def __len__(self) -> int:
        return len(self.pieces)

    def _split(self, word: str) -> tuple[int, ...]:
        """The ids of a word's pieces, 1 to MAX_PIECES; a character that is in no piece is UNKNOWN."""
        text = unicodedata.normalize("NFKC", word)[:64] or word[:1]
        best = [0.0] + [float("-inf")] * len(text)
        last = [(0, UNKNOWN)] * (len(text) + 1)
        for start in range(len(text)):
            for end in range(start + 1, min(start + self._longest, len(text)) + 1):
                piece = self._ids.get(text[start:end])
                if piece is None:
                    if end > start + 1:
                        continue
                    score, piece = self._unknown, UNKNOWN
                else:
                    score = self.scores[piece]
                if best[start] + score > best[end]:
                    best[end], last[end] = best[start] + score, (start, piece)
        found, end = [], len(text)
        while end:
            end, piece = last[end]
            found.append(piece)
        return tuple(found[::-1][:MAX_PIECES])

    def to_text(self) -> str:
        """A piece and its score a line, as from_text reads them."""
        return "".join(f"{piece}\t{score:.4f}\n" for piece, score in zip(self.pieces, self.scores, strict=True))

    @classmethod
    def from_text(cls, text: str) -> "Pieces":
        """Raises: ValueError: a line is not `piece<tab>score`, or the first are not SPECIAL."""
        rows = [line.split("\t") for line in text.splitlines()]
        pieces, scores = [piece for piece, _ in rows], [float(score) for _, score in rows]
        if tuple(pieces[: len(SPECIAL)]) != SPECIAL:
            raise ValueError(f"must begin with {' '.join(SPECIAL)}")
        return cls(pieces, scores)
