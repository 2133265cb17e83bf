"""Reads a request into tokens: finds its blanks and options, segments the text between them, keeps every offset."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from tianzi_models.cloze.reading.checks import check_each_once, check_marker, check_request, document_field
from tianzi_models.cloze.reading.idioms import idiom_gap
from tianzi_models.cloze.reading.marks import HINT, Mark, find_blanks, find_numbers, whole
from tianzi_models.cloze.reading.notation import markers
from tianzi_models.cloze.reading.options import Option, read_candidates
from tianzi_models.cloze.reading.printed import find_printed
from tianzi_models.cloze.reading.visible import Visible, clean, close_up, visible
from tianzi_models.cloze.segment import segment
from tianzi_models.cloze.types import ClozeRequest
from tianzi_models.errors import InvalidInput


@dataclass(frozen=True)
class Token:
    """A word or a blank. text: as it stands there, without invisible characters and spaces between hanzi.

    folded: text in simplified characters. start, end: [start, end) in characters of the text, or in tokens where tokens
    were given. label: a blank's number, "" for none. length: how many characters a blank asks for, 0 for any number.
    """

    text: str
    folded: str
    start: int
    end: int
    blank: bool = False
    label: str = ""
    length: int = 0


@dataclass(frozen=True)
class Reading:
    """What a request says; it unpacks to document, query. query: empty where the document holds it.

    options: what each blank is to be chosen among, the document's blanks before the query's; () for any word. They are
    the request's candidates, or else what the text prints for the blank. What it prints is not among the tokens.
    """

    document: list[Token]
    query: list[Token]
    options: tuple[tuple[Option, ...], ...]

    def __iter__(self) -> Iterator[list[Token]]:
        return iter((self.document, self.query))

    def idiom_characters(self) -> list[tuple[str, ...]]:
        """For each blank the characters that make an idiom with the text beside it, see idiom_gap; () for most."""
        found: list[tuple[str, ...]] = []
        for tokens in self:
            for i, token in enumerate(tokens):
                if token.blank:
                    left = "".join(_until_blank(tokens[max(0, i - 3) : i][::-1])[::-1])
                    right = "".join(_until_blank(tokens[i + 1 : i + 4]))
                    found.append(idiom_gap(left[-3:], right[:3]) if token.length < 2 else ())
        return found


def read_request(request: ClozeRequest, table: Mapping[int, str]) -> Reading:
    """The tokens of the document and of the query, and what to choose among.

    table: see segment.folding.

    Raises:
        InvalidInput: empty text or token, no blank, lone surrogates, a marker that stands nowhere, fields that
            contradict each other.
    """
    check_request(request)
    reading = _read_texts(request, table) if isinstance(request.document, str) else _read_tokens(request, table)
    if not reading.document:
        raise InvalidInput(document_field(request), "empty")
    in_document, in_query = (sum(token.blank for token in tokens) for tokens in reading)
    if request.query and not in_query:
        raise InvalidInput("query", f"no blank in it: {HINT}")
    if not in_document and not in_query:
        raise InvalidInput(document_field(request), f"no blank in it: {HINT}")
    if in_document and in_query and _letters(reading.query) in _letters(reading.document):
        reading = replace(reading, query=[], options=reading.options[:in_document])
    if candidates := read_candidates([clean(text).strip() for text in request.candidates]):
        reading = replace(reading, options=(candidates,) * len(reading.options))
    if request.each_once and all(reading.options):
        different = {option.text.translate(table) for options in reading.options for option in options}
        check_each_once(different, len(reading.options))
    return reading


def _read_texts(request: ClozeRequest, table: Mapping[int, str]) -> Reading:
    document, query = visible(str(request.document)), visible(str(request.query))
    marker = visible(request.marker).text
    if request.marker:
        check_marker(marker, [document.text, query.text])
    first, second = find_blanks(document.text, marker), find_blanks(query.text, marker)
    if not first and not second:
        first, second = find_numbers(document.text), find_numbers(query.text)
    # One text for both: a query may print the options of a blank in the document, and the other way round.
    offset = len(document.text) + 1
    moved = [
        replace(mark, start=mark.start + offset, end=mark.end + offset, skip=mark.skip + offset) for mark in second
    ]
    given = {option.text for option in read_candidates([clean(text).strip() for text in request.candidates])}
    printed = find_printed(f"{document.text}\n{query.text}", [*first, *moved], given)
    return Reading(
        _tokens(document, first, printed.spans, table),
        _tokens(query, second, [(start - offset, end - offset) for start, end in printed.spans], table),
        printed.options,
    )


def _read_tokens(request: ClozeRequest, table: Mapping[int, str]) -> Reading:
    marker = visible(request.marker).text.strip()
    documents = [[visible(token).text.strip() for token in tokens] for tokens in (request.document, request.query)]
    if request.marker:
        check_marker(marker, [text for texts in documents for text in texts if markers(marker).fullmatch(text)])
    document, query = (
        [_token(text, i, whole(text, marker), table) for i, text in enumerate(texts) if text] for texts in documents
    )
    return Reading(document, query, ((),) * sum(token.blank for token in [*document, *query]))


def _token(text: str, i: int, mark: Mark | None, table: Mapping[int, str]) -> Token:
    """The i-th token of a request."""
    if mark:
        return Token(text, text, i, i + 1, blank=True, label=mark.label, length=mark.length)
    word = clean(text)
    return Token(word, word.translate(table), i, i + 1)


def _tokens(
    text: Visible, marks: Sequence[Mark], printed: Sequence[tuple[int, int]], table: Mapping[int, str]
) -> list[Token]:
    """The words and blanks of a text, without what it prints to choose among."""
    tokens: list[Token] = []
    start = 0
    cuts = [(mark.skip, mark.end, mark) for mark in marks] + [(first, last, None) for first, last in printed]
    for first, last, mark in sorted(cuts, key=lambda cut: cut[:2]):
        tokens += _words(text, start, first, table)
        if mark:
            token = text.text[mark.start : mark.end]
            tokens.append(Token(token, token, *text.span(mark.start, mark.end), True, mark.label, mark.length))
        start = max(start, last)
    return tokens + _words(text, start, len(text.text), table)


def _words(text: Visible, start: int, end: int, table: Mapping[int, str]) -> list[Token]:
    """The words of text[start:end], spaces left out."""
    if start >= end:
        return []
    part = close_up(text.part(start, end))
    tokens = []
    first = 0
    for word in segment(part.text.translate(table)):
        last = first + len(word)
        if not word.isspace():
            tokens.append(Token(part.text[first:last], word, *part.span(first, last)))
        first = last
    return tokens


def _until_blank(tokens: Sequence[Token]) -> list[str]:
    """The folded words before the first blank."""
    return [token.folded for token in takewhile(lambda token: not token.blank, tokens)]


def _letters(tokens: list[Token]) -> str:
    """Letters only, a blank as \\0: copies of a sentence differ in quotation marks and segmentation."""
    return "".join("\0" if t.blank else "".join(c for c in t.folded if c.isalnum()) for t in tokens)
