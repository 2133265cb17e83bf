"""ClozeModel: fills the blanks of a document with the words that fit best."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.base import Model
from models.bundle import Bundle
from models.cloze.answer import make_answer, to_json
from models.cloze.segment import warm_up
from models.cloze.text import CHARS_PER_WORD, RESERVED, ClozeItem, TextEncoder, collate
from models.cloze.types import DEFAULT_TOP_K, ClozeAnswer, ClozeRequest
from models.errors import BundleError, InferenceError, InvalidInput
from models.runtime import Session
from models.vocab import Vocab

WORDS, CHARS = "words.txt", "chars.txt"
FACTS = ("max_characters", "max_blanks", "max_candidates", "max_top_k", "chars_per_word")

Probs: TypeAlias = npt.NDArray[np.float32]


class ClozeModel(Model[ClozeRequest, ClozeItem, Probs, ClozeAnswer]):
    """The network reads words and their characters, and gives P(candidate) for each blank: (Q, K) an item."""

    name = "cloze"
    contract = 1

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises: BundleError: the bundle's facts or vocabularies are not of this contract."""
        super().__init__(bundle, session)
        for fact in FACTS:
            if not isinstance(bundle.facts.get(fact), int):
                raise BundleError(f"{bundle.path}: facts: {fact}: missing or no integer")
        if bundle.facts["chars_per_word"] != CHARS_PER_WORD:
            raise BundleError(f"{bundle.path}: facts: chars_per_word: this code reads {CHARS_PER_WORD}")
        words, chars = (Vocab.from_text(bundle.text(name)) for name in (WORDS, CHARS))
        if any(tuple(vocab.symbols[: len(RESERVED)]) != RESERVED for vocab in (words, chars)):
            raise BundleError(f"{bundle.path}: {WORDS}, {CHARS}: must begin with {' '.join(RESERVED)}")
        self._encoder = TextEncoder(words, chars, bundle.facts)
        warm_up()

    @property
    def vocabulary_size(self) -> int:
        """How many words have a vector of their own; others are read through their characters."""
        return len(self._encoder.words)

    def preprocess(self, request: ClozeRequest) -> ClozeItem:
        return self._encoder.encode(request)

    def run(self, items: Sequence[ClozeItem]) -> list[Probs]:
        probs = self.session.run(collate([item.input for item in items]))["probs"]
        if not np.isfinite(probs).all():
            raise InferenceError("cloze: the network gave NaN or infinity")
        return [row[: len(item.blanks), : len(item.candidates)] for row, item in zip(probs, items, strict=True)]

    def postprocess(self, item: ClozeItem, output: Probs) -> ClozeAnswer:
        return make_answer(item, output)

    def request_from_json(self, data: Mapping[str, Any]) -> ClozeRequest:
        """{"text" | "tokens", "query", "marker", "candidates", "top_k"}, all but the first left out at will.

        Raises:
            InvalidInput: a key is unknown, missing or of another type.
        """
        if unknown := data.keys() - {"id", "answer", "text", "tokens", "query", "marker", "candidates", "top_k"}:
            raise InvalidInput(min(unknown), "unknown key")
        if ("text" in data) == ("tokens" in data):
            raise InvalidInput("text", "exactly one of text and tokens is needed")
        key = "text" if "text" in data else "tokens"
        top_k = data.get("top_k", DEFAULT_TOP_K)
        if not isinstance(top_k, int):
            raise InvalidInput("top_k", "must be an integer")
        return ClozeRequest(
            document=_text_or_words(key, data[key]),
            query=_text_or_words("query", data.get("query", "")),
            marker=_text("marker", data.get("marker", "")),
            candidates=_words("candidates", data.get("candidates", ())),
            top_k=top_k,
        )

    def answer_to_json(self, answer: ClozeAnswer) -> dict[str, Any]:
        return to_json(answer)


def _text_or_words(key: str, value: Any) -> str | tuple[str, ...]:
    return value if isinstance(value, str) else _words(key, value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(key, "must be a string")
    return value


def _words(key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise InvalidInput(key, "must be a list of strings")
    return tuple(value)
