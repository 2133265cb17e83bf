"""Request → the arrays that the network reads, and what is needed to name its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.blanks import Token, read_request
from tianzi_models.cloze.segment import folding
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput
from tianzi_models.vocab import PAD, Vocab

BLANK = 2
SEPARATOR = 3
RESERVED = ("<pad>", "<unk>", "<blank>", "<sep>")
"""The first symbols of both vocabularies, words and characters."""
CHARS_PER_WORD = 4
"""A word is read as its first three characters and its last one."""
MAX_CANDIDATE_CHARACTERS = 64

Ids: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClozeInput:
    """What the network reads of one document, all int64, 0 = padding.

    words: (T,). chars: (T, C). blanks: (Q,) positions in words. candidate_words: (K,).
    candidate_chars: (K, C). match: (T,) 1 + the candidate that stands there, 0 = none.
    """

    words: Ids
    chars: Ids
    blanks: Ids
    candidate_words: Ids
    candidate_chars: Ids
    match: Ids


@dataclass(frozen=True)
class ClozeItem:
    """A checked request. Positions as in ClozeRequest's document, see types.py.

    candidates: K texts with their positions. blanks: ((start, end), in_query), Q of them.
    """

    input: ClozeInput
    candidates: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    blanks: tuple[tuple[tuple[int, int], bool], ...]
    top_k: int


class TextEncoder:
    """Turns requests into items with a bundle's vocabularies and limits."""

    def __init__(self, words: Vocab, chars: Vocab, limits: Mapping[str, Any]) -> None:
        """limits: max_characters, max_blanks, max_candidates, max_top_k."""
        self.words = words
        self.chars = chars
        self.limits = limits
        self._table = folding(chars.variants)

    def encode(self, request: ClozeRequest) -> ClozeItem:
        """Checks a request and encodes it.

        Raises:
            InvalidInput: the request breaks a rule; the message names field, value and limit.
        """
        self._check_sizes(request)
        document, query = read_request(request, self._table)
        given = self._given_candidates(request.candidates)
        if given:
            document = merge_runs(document, set(given))
        else:
            for token in document:
                if is_word(token.folded) and not token.blank:
                    given.setdefault(token.folded, token.text)
        if not given:
            field = "text" if isinstance(request.document, str) else "tokens"
            raise InvalidInput(field, "no word besides the blank to choose from")
        blanks = [(token, False) for token in document if token.blank]
        blanks += [(token, True) for token in query if token.blank]
        self._check("blanks", len(blanks), "blanks")
        numbers = {folded: number for number, folded in enumerate(given)}
        positions: list[list[tuple[int, int]]] = [[] for _ in given]
        match = np.zeros(len(document) + bool(query) + len(query), np.int64)
        for i, token in enumerate(document):
            number = numbers.get(token.folded)
            if number is not None and not token.blank:
                match[i] = number + 1
                positions[number].append((token.start, token.end))
        tokens = [*document, *([None] if query else []), *query]
        return ClozeItem(
            ClozeInput(
                words=np.array([self._word_id(token) for token in tokens], np.int64),
                chars=np.array([self._char_ids(token) for token in tokens], np.int64),
                blanks=np.array([i for i, token in enumerate(tokens) if token and token.blank], np.int64),
                candidate_words=np.array(self.words.encode(given), np.int64),
                candidate_chars=np.array([word_chars(self.chars, word) for word in given], np.int64),
                match=match,
            ),
            tuple((text, tuple(spans)) for text, spans in zip(given.values(), positions, strict=True)),
            tuple(((token.start, token.end), in_query) for token, in_query in blanks),
            request.top_k,
        )

    def _check_sizes(self, request: ClozeRequest) -> None:
        self._check("text", sum(map(len, request.document)) + sum(map(len, request.query)), "characters")
        self._check("candidates", len(request.candidates), "candidates")
        if not 1 <= request.top_k <= self.limits["max_top_k"]:
            raise InvalidInput("top_k", f"{request.top_k}, must be 1 to {self.limits['max_top_k']}")

    def _check(self, field: str, count: int, what: str) -> None:
        limit = self.limits[f"max_{what}"]
        if count > limit:
            raise InvalidInput(field, f"{count} {what}, at most {limit}")

    def _given_candidates(self, candidates: Sequence[str]) -> dict[str, str]:
        """Folded form → the text as given; repeated ones are one candidate."""
        given: dict[str, str] = {}
        for i, text in enumerate(candidates):
            word = "".join(text.split())
            if not word:
                raise InvalidInput("candidates", f"candidate {i} is empty")
            if len(word) > MAX_CANDIDATE_CHARACTERS:
                raise InvalidInput(
                    "candidates", f"candidate {i} has {len(word)} characters, at most {MAX_CANDIDATE_CHARACTERS}"
                )
            given.setdefault(word.translate(self._table), text)
        return given

    def _word_id(self, token: Token | None) -> int:
        if token is None:
            return SEPARATOR
        return BLANK if token.blank else self.words.id(token.folded)

    def _char_ids(self, token: Token | None) -> list[int]:
        if token is None:
            return special_chars(SEPARATOR)
        return special_chars(BLANK) if token.blank else word_chars(self.chars, token.folded)


def is_word(text: str) -> bool:
    """Whether a token can be an answer: it holds a letter or a digit, hanzi among them."""
    return any(char.isalnum() for char in text)


def word_chars(chars: Vocab, word: str) -> list[int]:
    """The ids of a word's first three characters, padded, and of its last."""
    head = chars.encode(word[: CHARS_PER_WORD - 1])
    return head + [PAD] * (CHARS_PER_WORD - 1 - len(head)) + [chars.id(word[-1])]


def special_chars(symbol: int) -> list[int]:
    """The characters of a blank or a separator."""
    return [symbol] + [PAD] * (CHARS_PER_WORD - 2) + [symbol]


def merge_runs(tokens: Sequence[Token], words: set[str]) -> list[Token]:
    """tokens with each run that spells one of the words (folded) made one token, the longest run first.

    Segmentation may have split a candidate: 小 | 松鼠.
    """
    longest = max(map(len, words))
    merged: list[Token] = []
    i = 0
    while i < len(tokens):
        spelled, end = "", i + 1
        for j in range(i, len(tokens)):
            if tokens[j].blank or len(spelled) >= longest:
                break
            spelled += tokens[j].folded
            if spelled in words:
                end = j + 1
        run = tokens[i:end]
        if len(run) > 1:
            text, folded = ("".join(getattr(token, name) for token in run) for name in ("text", "folded"))
            merged.append(Token(text, folded, run[0].start, run[-1].end))
        else:
            merged += run
        i = end
    return merged


def collate(inputs: Sequence[ClozeInput]) -> dict[str, Ids]:
    """One array for each field of ClozeInput, (N, …), padded with 0 to the longest."""
    batch = {}
    for field in fields(ClozeInput):
        arrays = [getattr(one, field.name) for one in inputs]
        padded = np.zeros((len(arrays), max(map(len, arrays)), *arrays[0].shape[1:]), np.int64)
        for row, array in zip(padded, arrays, strict=True):
            row[: len(array)] = array
        batch[field.name] = padded
    return batch
