"""ClozeModel: fills the blanks of a document with the words that fit best."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from tianzi_models.base import Model
from tianzi_models.bundle import Bundle
from tianzi_models.cloze.answer import make_answer, to_json
from tianzi_models.cloze.distribution import FACTS as THRESHOLDS
from tianzi_models.cloze.distribution import Ranking, Scores, of_length, rank, renumbered, restricted
from tianzi_models.cloze.inputs import FIRST_CODE, ClozeInput, Ids, collate
from tianzi_models.cloze.iterative import each_once, fill, rounds
from tianzi_models.cloze.lexicon import PIECES, VARIANTS, WORDS, Lexicon
from tianzi_models.cloze.reading.idioms import warm_up as warm_up_idioms
from tianzi_models.cloze.segment import warm_up
from tianzi_models.cloze.text import ClozeItem, ItemBlank, TextEncoder, pad_pieces
from tianzi_models.cloze.types import DEFAULT_TOP_K, ClozeAnswer, ClozeRequest
from tianzi_models.errors import BundleError, InferenceError, InvalidInput
from tianzi_models.runtime import Session

LIMITS = ("max_characters", "max_blanks", "max_candidates", "max_top_k")
# Shorter documents cost what those of so many pieces do: the run itself, more than its words.
LEAST_PIECES = 32
# What one run may hold, counted as padded pieces × (what the attention keeps of them + the blanks that look at them).
RUN_CELLS, STATE_CELLS = 2**20, 32
KEYS = {"id", "answer", "text", "tokens", "query", "marker", "candidates", "top_k", "source", "each_once"}


class ClozeModel(Model[ClozeRequest, ClozeItem, list[Ranking], ClozeAnswer]):
    """The network reads words in pieces, and gives for each blank how well words fit and how much the text points at
    them: a Ranking a blank."""

    name = "cloze"
    contract = 3
    costs_tokens = True

    def __init__(self, bundle: Bundle, session: Session) -> None:
        """Raises: BundleError: the bundle's facts or vocabularies are not of this contract."""
        super().__init__(bundle, session)
        for facts, kind in ((LIMITS, int), (THRESHOLDS, float)):
            for fact in facts:
                if type(bundle.facts.get(fact)) is not kind:
                    raise BundleError(f"{bundle.path}: facts: {fact}: missing or of another type than {kind.__name__}")
        try:
            self.lexicon = Lexicon.from_texts({name: bundle.text(name) for name in (WORDS, PIECES, VARIANTS)})
        except (OSError, ValueError) as error:
            raise BundleError(f"{bundle.path}: {error}") from None
        self._encoder = TextEncoder(self.lexicon, bundle.facts)
        self._lengths = np.array([len(word) for word in self.lexicon.words])
        warm_up()
        warm_up_idioms()

    @property
    def vocabulary_size(self) -> int:
        """How many words any text may be answered with; others are offered where a text or a request has them."""
        return len(self.lexicon)

    def preprocess(self, request: ClozeRequest) -> ClozeItem:
        return self._encoder.encode(request)

    def cost(self, item: ClozeItem) -> int:
        """Pieces that the network reads, as often as it reads them; see Model.cost."""
        return max(LEAST_PIECES, int(item.input.counts.sum())) * rounds(len(item.blanks))

    def run(self, items: Sequence[ClozeItem]) -> list[list[Ranking]]:
        def read(inputs: Sequence[ClozeInput], numbers: Sequence[tuple[int, Ids]]) -> list[list[Ranking]]:
            found = self._read(inputs)
            return [
                [
                    self._rank(scores, items[number], items[number].blanks[blank])
                    for scores, blank in zip(own, blanks, strict=True)
                ]
                for (number, blanks), own in zip(numbers, found, strict=True)
            ]

        rankings = fill([item.input for item in items], read, self._spell)
        return [
            each_once(found, len(item.candidates)) if item.each_once else found
            for item, found in zip(items, rankings, strict=True)
        ]

    def _rank(self, scores: Scores, item: ClozeItem, blank: ItemBlank) -> Ranking:
        allowed = np.flatnonzero(blank.allowed)
        words = item.input.candidate_words[allowed]
        ranking = renumbered(
            rank(restricted(scores, allowed), words, blank.source, self.bundle.facts), allowed, len(item.candidates)
        )
        if not blank.length:
            return ranking
        lengths = np.concatenate([[len(text) for text, _ in item.candidates], self._lengths])
        return of_length(ranking, lengths[ranking.numbers] == blank.length)

    def _read(self, inputs: Sequence[ClozeInput]) -> list[list[Scores]]:
        """The scores of every blank by itself."""
        outputs: dict[int, list[Scores]] = {}
        for group in groups(inputs):
            found = self.session.run(collate([inputs[i] for i in group]))
            if not all(np.isfinite(values).all() for values in found.values()):
                raise InferenceError("cloze: the network gave NaN or infinity")
            for n, i in enumerate(group):
                count = len(inputs[i].candidate_words)
                outputs[i] = [
                    Scores(
                        found["fit"][n, q, :count].astype(np.float64),
                        found["point"][n, q, :count].astype(np.float64),
                        found["top"][n, q],
                        found["top_fit"][n, q].astype(np.float64),
                        float(found["lexicon"][n, q]),
                        found["prior"][n, :count].astype(np.float64),
                    )
                    for q in range(len(inputs[i].blanks))
                ]
        return [outputs[i] for i in range(len(inputs))]

    def _spell(self, one: ClozeInput, number: int) -> tuple[Ids, int]:
        """The pieces and the code of a Ranking's word, to be put into its blank."""
        candidates = len(one.candidate_words)
        if number < candidates:
            return one.candidate_pieces[number], int(one.candidate_codes[number])
        word = number - candidates
        unused = FIRST_CODE + 2 * len(one.codes) + candidates  # above every code of the document
        return pad_pieces([self.lexicon.pieces.ids_of(self.lexicon.words[word])])[0], unused + word

    def postprocess(self, item: ClozeItem, output: list[Ranking]) -> ClozeAnswer:
        return make_answer(item, output, self.lexicon.words)

    def request_from_json(self, data: Mapping[str, Any]) -> ClozeRequest:
        """{"text" | "tokens", "query", "marker", "candidates", "top_k", "source", "each_once"}: but for the first,
        each may be left out.

        Raises:
            InvalidInput: a key is unknown, missing or of another type.
        """
        if unknown := data.keys() - KEYS:
            raise InvalidInput(min(unknown), "unknown key")
        if ("text" in data) == ("tokens" in data):
            raise InvalidInput("text", "exactly one of text and tokens is needed")
        key = "text" if "text" in data else "tokens"
        top_k = data.get("top_k", DEFAULT_TOP_K)
        if not isinstance(top_k, int):
            raise InvalidInput("top_k", "must be an integer")
        if not isinstance(data.get("each_once", False), bool):
            raise InvalidInput("each_once", "must be true or false")
        return ClozeRequest(
            document=_text_or_words(key, data[key]),
            query=_text_or_words("query", data.get("query", "")),
            marker=_text("marker", data.get("marker", "")),
            candidates=_words("candidates", data.get("candidates", ())),
            top_k=top_k,
            source=_text("source", data.get("source", "any")),
            each_once=data.get("each_once", False),
        )

    def answer_to_json(self, answer: ClozeAnswer) -> dict[str, Any]:
        return to_json(answer)


def groups(inputs: Sequence[ClozeInput]) -> Iterator[list[int]]:
    """Numbers of documents of like length, in groups that the network may read at once: each at most RUN_CELLS.

    One long document would have all the others of a batch padded to its length.
    """
    group: list[int] = []
    sizes = [int(one.counts.sum()) for one in inputs]
    for i in sorted(range(len(inputs)), key=sizes.__getitem__):
        length = sizes[i]  # the longest so far
        most_blanks = max(len(inputs[j].blanks) for j in [*group, i])
        if group and (len(group) + 1) * max(length, 1) * (STATE_CELLS + most_blanks) > RUN_CELLS:
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
