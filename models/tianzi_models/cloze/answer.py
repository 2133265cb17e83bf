"""Probabilities of candidates → named answers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.text import ClozeItem
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, WordCandidate


def make_answer(item: ClozeItem, probs: npt.NDArray[np.float32]) -> ClozeAnswer:
    """probs: (Q, K) of the item's blanks and candidates. The best top_k of each blank, ties in the text's order."""
    blanks = []
    for (position, in_query), row in zip(item.blanks, probs, strict=True):
        best = np.argsort(-row, kind="stable")[: item.top_k]
        candidates = (WordCandidate(item.candidates[i][0], float(row[i]), item.candidates[i][1]) for i in best)
        blanks.append(BlankAnswer(tuple(candidates), position, in_query))
    return ClozeAnswer(tuple(blanks))


def to_json(answer: ClozeAnswer) -> dict[str, Any]:
    """{"blanks": [{"candidates": [{"text", "confidence", "positions"}], "position", "in_query"}]}"""
    return {
        "blanks": [
            {
                "candidates": [
                    {"text": c.text, "confidence": c.confidence, "positions": [list(span) for span in c.positions]}
                    for c in blank.candidates
                ],
                "position": list(blank.position),
                "in_query": blank.in_query,
            }
            for blank in answer.blanks
        ]
    }
