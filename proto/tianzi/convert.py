"""Plain Python ↔ protobuf, once for both clients; and lists that are given as one text."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tianzi.errors import InvalidInput
from tianzi.images import put_image
from tianzi.types import (
    Blank,
    Character,
    Filling,
    ImageSource,
    Limits,
    ModelInfo,
    Question,
    Reading,
    Recognition,
    ServerInfo,
    Word,
)
from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2

UINT32_MAX = 2**32 - 1
_BETWEEN = re.compile(r"[,，、;；|\n\t]")
"""Any of these parts words; spaces do where there is none of these."""

SOURCES = {
    cloze_pb2.SOURCE_UNSPECIFIED: "text",  # as older servers answer, which know no other
    cloze_pb2.SOURCE_ANY: "any",
    cloze_pb2.SOURCE_TEXT: "text",
    cloze_pb2.SOURCE_CANDIDATES: "candidates",
    cloze_pb2.SOURCE_LEXICON: "lexicon",
}
"""What a word's source is called."""
ASKED = {"any": cloze_pb2.SOURCE_ANY, "text": cloze_pb2.SOURCE_TEXT}
"""What may be asked for."""


def recognize_request(image: ImageSource, top_k: int, allowed: str | Sequence[str] = ()) -> ocr_pb2.RecognizeRequest:
    """Writes an image and what is asked of it down.

    Raises:
        InvalidInput: it is none of the kinds of image, or cannot be read.
    """
    request = ocr_pb2.RecognizeRequest(top_k=_top_k(top_k), allowed=[allowed] if isinstance(allowed, str) else allowed)
    put_image(image, request)
    return request


def fill_request(question: Question) -> cloze_pb2.FillRequest:
    """Writes a question down.

    Raises:
        InvalidInput: it holds something other than text.
    """
    request = cloze_pb2.FillRequest(
        marker=_text("marker", question.marker),
        candidates=_words("candidates", question.candidates),
        top_k=_top_k(question.top_k),
        source=_source(question.source),
        each_once=question.each_once,
    )
    if isinstance(question.document, str):
        request.text = _text("text", question.document)
    else:
        request.tokens.tokens.extend(_words("tokens", question.document))
    if isinstance(question.query, str):
        if question.query:  # set but empty would be a query without a blank
            request.query_text = _text("query_text", question.query)
    elif question.query:
        request.query_tokens.tokens.extend(_words("query_tokens", question.query))
    return request


def _source(name: str) -> "cloze_pb2.Source.ValueType":
    if name not in ASKED:
        raise InvalidInput(f"source: {name!r}, must be {' or '.join(ASKED)}", field="source")
    return ASKED[name]


def split_words(text: str, field: str = "candidates") -> list[str]:
    """The words of a list in one text: 猫,狗 or 猫、狗 or 猫；狗 or 猫|狗 or 猫 狗 or ["猫", "狗"].

    Raises:
        InvalidInput: it is a single word, most likely a list with something else between its words; or broken JSON.
    """
    words = _parsed(text, field) if text.lstrip().startswith("[") else _split(text)
    if len(words) == 1:
        shown = words[0][:40]
        raise InvalidInput(
            f"{field}: 1 word, {shown!r}, must be 2 at least, with commas, 、, ;, | or spaces between", field=field
        )
    return words


def split_tokens(text: str) -> list[str]:
    """A segmented text: a JSON list, or tokens with spaces between; commas are tokens themselves."""
    return _parsed(text, "tokens") if text.lstrip().startswith('["') else text.split()


def recognition(response: ocr_pb2.RecognizeResponse) -> Recognition:
    """Reads the answer for an image."""
    candidates = tuple(Character(c.text, c.confidence) for c in response.candidates)
    return Recognition(candidates, response.rejected, response.model_version)


def reading(response: ocr_pb2.RecognizeSequenceResponse) -> Reading:
    """Reads the answer for a row of images."""
    return Reading(response.text, tuple(map(recognition, response.characters)), response.model_version)


def filling(response: cloze_pb2.FillResponse, question: Question) -> Filling:
    """Reads the answer for a question."""
    blanks = tuple(
        Blank(
            tuple(
                Word(
                    c.text,
                    c.confidence,
                    tuple((span.start, span.end) for span in c.positions),
                    SOURCES.get(c.source, "other"),
                    c.label,
                )
                for c in blank.candidates
            ),
            (blank.position.start, blank.position.end),
            blank.in_query,
            blank.rejected,
            blank.label,
        )
        for blank in response.blanks
    )
    return Filling(blanks, response.model_version, question)


def server_info(response: server_pb2.GetInfoResponse) -> ServerInfo:
    """Reads what a server says of itself."""
    models = tuple(
        ModelInfo(m.name, m.version, m.provider, m.max_top_k, m.vocabulary_size, m.graph_bytes) for m in response.models
    )
    limits = response.limits
    return ServerInfo(
        response.version,
        models,
        Limits(
            limits.max_message_bytes,
            limits.max_batch_items,
            limits.max_image_side_px,
            limits.max_characters,
            limits.max_blanks,
            limits.max_candidates,
        ),
    )


def _text(field: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: {type(value).__name__}, must be text", field=field)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{field}: character {error.start} is a lone surrogate", field=field) from error
    return value


def _words(field: str, values: Any) -> list[str]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidInput(f"{field}: {type(values).__name__}, must be a sequence of words", field=field)
    return [_text(field, value) for value in values]


def model_version(value: int) -> int:
    """Raises InvalidInput unless it can be a version's number, or 0 for the newest."""
    return _whole("model_version", value, 0)


def _top_k(value: int) -> int:
    return _whole("top_k", value, 1)


def _whole(field: str, value: int, least: int) -> int:
    if not isinstance(value, int) or not least <= value <= UINT32_MAX:
        raise InvalidInput(f"{field}: {value}, must be a whole number from {least}", field=field)
    return value


def _split(text: str) -> list[str]:
    parts = _BETWEEN.split(text) if _BETWEEN.search(text) else text.split()
    return [part.strip() for part in parts if part.strip()]


def _parsed(text: str, field: str) -> list[str]:
    try:
        words = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{field}: begins as a JSON list, but is none: {error}", field=field) from None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidInput(f"{field}: a JSON list must hold texts only", field=field)
    return words
