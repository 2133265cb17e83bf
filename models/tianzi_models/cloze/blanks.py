"""Reads a request into tokens: finds its blanks, segments the text between them, keeps every offset."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tianzi_models.cloze.segment import segment
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput

MARKERS = r"X{5,}|[_＿]{2,}|\[MASK\]|[（(][ \u3000]+[）)]"
HINT = "mark it with XXXXX, ____, [MASK] or （ ）"
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class Token:
    """A word or a blank. text: as it stands there. folded: in simplified characters.

    start, end: [start, end) in characters of the text, or in tokens where tokens were given.
    """

    text: str
    folded: str
    start: int
    end: int
    blank: bool = False


def read_request(request: ClozeRequest, table: Mapping[int, str]) -> tuple[list[Token], list[Token]]:
    """The tokens of the document and of the query; the query's are empty where the document holds it.

    table: see segment.folding.

    Raises:
        InvalidInput: empty text or token, no blank, lone surrogates, a marker that stands nowhere.
    """
    field = "text" if isinstance(request.document, str) else "tokens"
    _check_strings(field, request.document)
    _check_strings("query", request.query)
    _check_strings("marker", request.marker)
    _check_strings("candidates", request.candidates)
    if request.query and isinstance(request.query, str) != isinstance(request.document, str):
        raise InvalidInput("query", "must be text beside a text, tokens beside tokens")
    pattern = _pattern(request)
    document = _tokenize(field, request.document, pattern, table)
    if not document:
        raise InvalidInput(field, "empty")
    query = _tokenize("query", request.query, pattern, table) if request.query else []
    in_document, in_query = (any(token.blank for token in tokens) for tokens in (document, query))
    if request.query and not in_query:
        raise InvalidInput("query", f"no blank in it: {HINT}")
    if not in_document and not in_query:
        raise InvalidInput(field, f"no blank in it: {HINT}")
    if in_document and in_query and _letters(query) in _letters(document):
        return document, []
    return document, query


def _pattern(request: ClozeRequest) -> re.Pattern[str]:
    if not request.marker:
        return re.compile(MARKERS)
    if not request.marker.strip():
        raise InvalidInput("marker", "only spaces")
    if request.marker not in request.document and request.marker not in request.query:
        raise InvalidInput("marker", f"{request.marker[:20]!r} stands neither in the text nor in the query")
    return re.compile(f"{re.escape(request.marker)}|{MARKERS}")


def _tokenize(
    field: str, document: str | tuple[str, ...], pattern: re.Pattern[str], table: Mapping[int, str]
) -> list[Token]:
    if not isinstance(document, str):
        for i, text in enumerate(document):
            if not text:
                raise InvalidInput(field, f"token {i} is empty")
        return [
            Token(text, text.translate(table), i, i + 1, blank=any(map(pattern.fullmatch, (text, text.strip()))))
            for i, text in enumerate(document)
            if not text.isspace()
        ]
    tokens: list[Token] = []
    start = 0
    for blank in pattern.finditer(document):
        tokens += _segment(document, start, blank.start(), table)
        tokens.append(Token(blank[0], blank[0], blank.start(), blank.end(), blank=True))
        start = blank.end()
    return tokens + _segment(document, start, len(document), table)


def _segment(text: str, start: int, end: int, table: Mapping[int, str]) -> list[Token]:
    """The words of text[start:end], spaces left out."""
    tokens = []
    for word in segment(text[start:end].translate(table)):
        if not word.isspace():
            tokens.append(Token(text[start : start + len(word)], word, start, start + len(word)))
        start += len(word)
    return tokens


def _check_strings(field: str, value: str | tuple[str, ...]) -> None:
    for text in (value,) if isinstance(value, str) else value:
        if found := _SURROGATE.search(text):
            raise InvalidInput(field, f"lone surrogate U+{ord(found[0]):04X}, which is no character")


def _letters(tokens: list[Token]) -> str:
    """Letters only, a blank as \\0: copies of a sentence differ in quotation marks and segmentation."""
    return "".join("\0" if t.blank else "".join(c for c in t.folded if c.isalnum()) for t in tokens)
