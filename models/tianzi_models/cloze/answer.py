"""Rankings → named answers."""

from collections.abc import Sequence
from typing import Any

from tianzi_models.cloze.distribution import Ranking
from tianzi_models.cloze.text import ClozeItem, ItemBlank
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, WordCandidate


def make_answer(item: ClozeItem, rankings: Sequence[Ranking], words: Sequence[str]) -> ClozeAnswer:
    """The best top_k of each blank, ties in the text's order. words: of the lexicon."""
    blanks = []
    for blank, ranking in zip(item.blanks, rankings, strict=True):
        best = zip(ranking.numbers[: item.top_k].tolist(), ranking.probs[: item.top_k].tolist(), strict=True)
        candidates = tuple(_candidate(item, blank, number, prob, words) for number, prob in best)
        blanks.append(BlankAnswer(candidates, blank.position, blank.in_query, ranking.rejected, blank.label))
    return ClozeAnswer(tuple(blanks))


def _candidate(item: ClozeItem, blank: ItemBlank, number: int, prob: float, words: Sequence[str]) -> WordCandidate:
    if number >= len(item.candidates):
        return WordCandidate(words[number - len(item.candidates)], prob, (), "lexicon")
    text, positions = item.candidates[number]
    source = "text" if positions else "candidates" if blank.given else "lexicon"
    return WordCandidate(text, prob, positions, source, blank.labels.get(number, ""))


def to_json(answer: ClozeAnswer) -> dict[str, Any]:
    """{"blanks": [{"candidates": [{"text", "confidence", "positions", "source", "label"}], "position", "in_query",
    "rejected", "label"}]}.
    """
    return {
        "blanks": [
            {
                "candidates": [
                    {
                        "text": c.text,
                        "confidence": c.confidence,
                        "positions": [list(span) for span in c.positions],
                        "source": c.source,
                        "label": c.label,
                    }
                    for c in blank.candidates
                ],
                "position": list(blank.position),
                "in_query": blank.in_query,
                "rejected": blank.rejected,
                "label": blank.label,
            }
            for blank in answer.blanks
        ]
    }
