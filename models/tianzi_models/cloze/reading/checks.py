"""The rules that a request's fields keep, by themselves and beside each other, whatever the texts say."""

import re
from collections.abc import Collection, Sequence

from tianzi_models.cloze.reading.notation import markers
from tianzi_models.cloze.reading.visible import clean
from tianzi_models.cloze.types import SOURCES, ClozeRequest
from tianzi_models.errors import InvalidInput

_SURROGATE = re.compile(r"[\ud800-\udfff]")


def document_field(request: ClozeRequest) -> str:
    """What the caller calls the document: text or tokens."""
    return "text" if isinstance(request.document, str) else "tokens"


def check_request(request: ClozeRequest) -> None:
    """Raises: InvalidInput: a field breaks a rule, or two contradict each other."""
    for field, value in (
        (document_field(request), request.document),
        ("query", request.query),
        ("marker", request.marker),
        ("candidates", request.candidates),
    ):
        _check_strings(field, value)
    if request.query and isinstance(request.query, str) != isinstance(request.document, str):
        raise InvalidInput("query", "must be text beside a text, tokens beside tokens")
    for i, text in enumerate(request.candidates):
        if not clean(text).strip():
            raise InvalidInput("candidates", f"candidate {i} is empty")
    if request.source not in SOURCES:
        raise InvalidInput("source", f"{request.source[:20]!r}, must be {' or '.join(SOURCES)}")
    if request.source == "text" and request.candidates:
        raise InvalidInput("source", "'text' beside candidates: leave one of the two out")


def check_marker(marker: str, texts: Sequence[str]) -> None:
    """marker, texts: without invisible characters.

    Raises:
        InvalidInput: only spaces, or it stands nowhere, or both by itself and around numbers.
    """
    if not marker.strip():
        raise InvalidInput("marker", "only spaces")
    found = [match for text in texts for match in markers(marker).finditer(text)]
    if not found:
        raise InvalidInput("marker", f"{marker[:20]!r} stands neither in the text nor in the query")
    alone = sum(match[0] == marker for match in found)
    if 0 < alone < len(found) and not re.search(r"\d", marker):
        raise InvalidInput("marker", f"{marker[:20]!r} stands both by itself and around numbers")


def check_each_once(candidates: Collection[str], blanks: int) -> None:
    """candidates: different ones. Raises: InvalidInput: fewer than blanks."""
    if len(candidates) < blanks:
        raise InvalidInput(
            "candidates", f"{len(candidates)} different ones, each_once needs {blanks} for as many blanks"
        )


def _check_strings(field: str, value: str | tuple[str, ...]) -> None:
    for i, text in enumerate((value,) if isinstance(value, str) else value):
        if not text and not isinstance(value, str) and field != "candidates":
            raise InvalidInput(field, f"token {i} is empty")
        if found := _SURROGATE.search(text):
            raise InvalidInput(field, f"lone surrogate U+{ord(found[0]):04X}, which is no character")
