"""ClozeModel: fills the blanks of a document with the words that fit best."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tianzi_models.base import Model
from tianzi_models.bundle import Bundle
from tianzi_models.cloze.answer import make_answer, to_json
from tianzi_models.cloze.joint import Probs, fill, rounds
from tianzi_models.cloze.segment import warm_up
from tianzi_models.cloze.text import CHARS_PER_WORD, RESERVED, ClozeInput, ClozeItem, TextEncoder, collate
from tianzi_models.cloze.types import DEFAULT_TOP_K, ClozeAnswer, ClozeRequest
from tianzi_models.errors import BundleError, InferenceError, InvalidInput
from tianzi_models.runtime import Session
from tianzi_models.vocab import Vocab

WORDS, CHARS = "words.txt", "chars.txt"
FACTS = ("max_characters", "max_blanks", "max_candidates", "max_top_k", "chars_per_word")
# Shorter documents cost what those of so many words do: the run itself, more than its words.
LEAST_WORDS = 32
# What one run may hold, counted as padded positions × (what each keeps of the text + the blanks that look at it).
RUN_CELLS, STATE_CELLS = 2**20, 16


class ClozeModel(Model[ClozeRequest, ClozeItem, Probs, ClozeAnswer]):
    """The network reads words and their characters, and gives P(candidate) for each blank: (Q, K) an item."""

    name = "cloze"
    contract = 2
    costs_tokens = True

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

    def cost(self, item: ClozeItem) -> int:
        """Words that the network reads, as often as it reads them; see Model.cost."""
        return max(LEAST_WORDS, len(item.input.words)) * rounds(len(item.blanks))

    def run(self, items: Sequence[ClozeItem]) -> list[Probs]:
        return fill([item.input for item in items], self._read)

    def _read(self, inputs: Sequence[ClozeInput]) -> list[Probs]:
        """P(candidate) with every blank for itself."""
        outputs: dict[int, Probs] = {}
        for group in groups(inputs):
            probs = self.session.run(collate([inputs[i] for i in group]))["probs"]
            if not np.isfinite(probs).all():
                raise InferenceError("cloze: the network gave NaN or infinity")
            for row, i in zip(probs, group, strict=True):
                outputs[i] = row[: len(inputs[i].blanks), : len(inputs[i].candidate_words)]
        return [outputs[i] for i in range(len(inputs))]

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


def groups(inputs: Sequence[ClozeInput]) -> Iterator[list[int]]:
    """Numbers of documents of like length, in groups that the network may read at once: each at most RUN_CELLS.

    One long document would have all the others of a batch padded to its length.
    """
    group: list[int] = []
    for i in sorted(range(len(inputs)), key=lambda i: len(inputs[i].words)):
        length = len(inputs[i].words)  # the longest so far
        most_blanks = max(len(inputs[j].blanks) for j in [*group, i])
        if group and (len(group) + 1) * length * (STATE_CELLS + most_blanks) > RUN_CELLS:
            yield group
            group = []
        group.append(i)
    if group:
        yield group


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
