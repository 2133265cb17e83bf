"""Request → the arrays that the network reads, and what is needed to name its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.inputs import BLANK_CODE, FIRST_CODE, SEPARATOR_CODE, ClozeInput, Ids
from tianzi_models.cloze.lexicon import Lexicon
from tianzi_models.cloze.pieces import BLANK, MAX_PIECES, SEPARATOR
from tianzi_models.cloze.reading.blanks import Reading, Token, read_request
from tianzi_models.cloze.reading.checks import document_field
from tianzi_models.cloze.reading.choices import union
from tianzi_models.cloze.reading.options import Option
from tianzi_models.cloze.segment import folding
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput

MAX_CANDIDATE_CHARACTERS = 64


@dataclass(frozen=True)
class ItemBlank:
    """One blank. position: as in ClozeRequest's document, see types.py. label: see BlankAnswer.

    source: "any", "text" or "candidates". allowed: (K,) which of the item's candidates it may take. length: how many
    characters are asked for, 0 for any number. labels: of candidates, by their numbers. given: whether the caller or
    the text says what to choose among.
    """

    position: tuple[int, int]
    in_query: bool
    label: str
    source: str
    allowed: npt.NDArray[np.bool_]
    length: int
    labels: Mapping[int, str]
    given: bool


@dataclass(frozen=True)
class ClozeItem:
    """A checked request. candidates: K texts with their positions. blanks: Q of them."""

    input: ClozeInput
    candidates: tuple[tuple[str, tuple[tuple[int, int], ...]], ...]
    blanks: tuple[ItemBlank, ...]
    top_k: int
    each_once: bool


class TextEncoder:
    """Turns requests into items with a bundle's vocabularies and limits."""

    def __init__(self, lexicon: Lexicon, limits: Mapping[str, Any]) -> None:
        """limits: max_characters, max_blanks, max_candidates, max_top_k."""
        self.lexicon = lexicon
        self.limits = limits
        self._table = folding(lexicon.variants)

    def encode(self, request: ClozeRequest) -> ClozeItem:
        """Checks a request and encodes it.

        Raises:
            InvalidInput: the request breaks a rule; the message names field, value and limit.
        """
        self._check_sizes(request)
        reading = read_request(request, self._table)
        self._check("blanks", len(reading.options), "blanks")
        options, allowed = union(reading.options, self._table)
        self._check_options(options)
        if request.each_once and not all(reading.options):
            raise InvalidInput("each_once", "needs candidates, or options that the text prints for each blank")
        document = merge_runs(reading.document, set(options)) if options else reading.document
        words = {token.folded: token.text for token in document if is_word(token.folded) and not token.blank}
        if not words and request.source == "text" and not all(reading.options):
            raise InvalidInput(document_field(request), "no word besides the blank to choose from, and source is text")
        characters = reading.idiom_characters()
        given = {folded: option.text for folded, option in options.items()}
        if not all(reading.options):  # some blank may take any word of the document
            given |= {folded: text for folded, text in words.items() if folded not in given}
        given |= {c: c for own in characters for c in own if c not in given}
        tokens = [*document, *([None] if reading.query else []), *reading.query]
        match, positions = _matches(document, len(tokens), list(given))
        blanks = self._blanks(reading, request.source, list(given), allowed, words)
        return ClozeItem(
            encode_tokens(self.lexicon, [_symbol(token) for token in tokens], list(given), match),
            tuple((text, tuple(spans)) for text, spans in zip(given.values(), positions, strict=True)),
            blanks,
            request.top_k,
            request.each_once,
        )

    def _blanks(
        self,
        reading: Reading,
        source: str,
        given: Sequence[str],
        allowed: npt.NDArray[np.bool_],
        words: Mapping[str, str],
    ) -> tuple[ItemBlank, ...]:
        """given: the candidates, folded, the options first. allowed: (Q, options). words: the document's, folded."""
        numbers = {folded: number for number, folded in enumerate(given)}
        places = [(token, False) for token in reading.document if token.blank]
        places += [(token, True) for token in reading.query if token.blank]
        blanks = []
        for i, ((token, in_query), options, characters) in enumerate(
            zip(places, reading.options, reading.idiom_characters(), strict=True)
        ):
            if options:
                chosen, kind = np.flatnonzero(allowed[i]).tolist(), "candidates"
            elif characters:
                chosen, kind = [numbers[character] for character in characters], "candidates"
            else:
                chosen, kind = [numbers[word] for word in words], source
            mask = np.zeros(len(given), bool)
            mask[chosen] = True
            labels = {numbers[o.text.translate(self._table)]: o.label for o in options if o.label}
            length = 0 if kind == "candidates" else token.length
            span = (token.start, token.end)
            blanks.append(ItemBlank(span, in_query, token.label, kind, mask, length, labels, bool(options)))
        return tuple(blanks)

    def _check_sizes(self, request: ClozeRequest) -> None:
        self._check("text", sum(map(len, request.document)) + sum(map(len, request.query)), "characters")
        self._check("candidates", len(request.candidates), "candidates")
        if not 1 <= request.top_k <= self.limits["max_top_k"]:
            raise InvalidInput("top_k", f"{request.top_k}, must be 1 to {self.limits['max_top_k']}")

    def _check(self, field: str, count: int, what: str) -> None:
        limit = self.limits[f"max_{what}"]
        if count > limit:
            raise InvalidInput(field, f"{count} {what}, at most {limit}")

    def _check_options(self, options: Mapping[str, Option]) -> None:
        self._check("candidates", len(options), "candidates")
        for i, option in enumerate(options.values()):
            if len(option.text) > MAX_CANDIDATE_CHARACTERS:
                raise InvalidInput(
                    "candidates", f"candidate {i} has {len(option.text)} characters, at most {MAX_CANDIDATE_CHARACTERS}"
                )


GAP, BREAK = object(), object()
"""A blank, and what stands between a document and its query, beside words (str)."""


def _matches(document: Sequence[Token], length: int, given: Sequence[str]) -> tuple[Ids, list[list[tuple[int, int]]]]:
    """ClozeInput.match of so many words, and where each of the candidates (folded) stands in the document."""
    numbers = {folded: number for number, folded in enumerate(given)}
    match = np.zeros(length, np.int64)
    positions: list[list[tuple[int, int]]] = [[] for _ in given]
    for i, token in enumerate(document):
        number = numbers.get(token.folded)
        if number is not None and not token.blank:
            match[i] = number + 1
            positions[number].append((token.start, token.end))
    return match, positions


def _symbol(token: Token | None) -> str | object:
    if token is None:
        return BREAK
    return GAP if token.blank else token.folded


def encode_tokens(
    lexicon: Lexicon, tokens: Sequence[str | object], candidates: Sequence[str], match: Ids
) -> ClozeInput:
    """Words, GAPs and BREAKs as the network's arrays. match: see ClozeInput.

    Training makes the same arrays of its own questions: tianzi_training.cloze.data.questions.encode.
    """
    codes = {GAP: BLANK_CODE, BREAK: SEPARATOR_CODE}
    own = {GAP: (BLANK,), BREAK: (SEPARATOR,)}
    split = [own[token] if not isinstance(token, str) else lexicon.pieces.ids_of(token) for token in tokens]
    numbers = [codes.setdefault(token, FIRST_CODE + len(codes)) for token in tokens]
    return ClozeInput(
        pieces=pad_pieces(split),
        counts=np.array([len(ids) for ids in split], np.int64),
        codes=np.array(numbers, np.int64),
        match=match,
        blanks=np.array([i for i, token in enumerate(tokens) if token is GAP], np.int64),
        candidate_words=np.array([lexicon.id(word) for word in candidates], np.int64),
        candidate_pieces=pad_pieces([lexicon.pieces.ids_of(word) for word in candidates]),
        candidate_codes=np.array([codes.setdefault(word, FIRST_CODE + len(codes)) for word in candidates], np.int64),
    )


def pad_pieces(split: Sequence[tuple[int, ...]]) -> Ids:
    """(L, MAX_PIECES), 0 = padding."""
    padded = np.zeros((len(split), MAX_PIECES), np.int64)
    for row, ids in zip(padded, split, strict=True):
        row[: len(ids)] = ids
    return padded


def is_word(text: str) -> bool:
    """Whether a token can be an answer: it holds a letter or a digit, hanzi among them."""
    return any(char.isalnum() for char in text)


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
