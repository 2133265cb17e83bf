"""Several blanks of one document: the surest are filled first, the others with those answers in their places."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from tianzi_models.cloze.assignment import assign
from tianzi_models.cloze.distribution import Ranking
from tianzi_models.cloze.inputs import ClozeInput, Ids

ROUNDS = 2
"""How often a document is read at most: in each round the surest of its open blanks are filled."""

Read: TypeAlias = Callable[[Sequence[ClozeInput], Sequence[tuple[int, Ids]]], Sequence[list[Ranking]]]
Spell: TypeAlias = Callable[[ClozeInput, int], tuple[Ids, int]]


def rounds(blanks: int) -> int:
    """How often a document with so many blanks is read."""
    return max(1, min(blanks, ROUNDS))


@dataclass
class _Open:
    """A document with the blanks that are still to be filled: their numbers in the request."""

    number: int
    input: ClozeInput
    blanks: Ids
    found: list[Ranking | None]


def fill(inputs: Iterable[ClozeInput], read: Read, spell: Spell) -> list[list[Ranking]]:
    """A Ranking of each blank of each document, given the answers that were surer.

    read: documents, their numbers and those of their open blanks → Rankings, every blank for itself. spell: a document
    and a Ranking's number → the pieces (P,) and the code of that word.
    """
    documents = [
        _Open(number, one, np.arange(len(one.blanks)), [None] * len(one.blanks)) for number, one in enumerate(inputs)
    ]
    for left in range(ROUNDS, 0, -1):
        still = [document for document in documents if len(document.blanks)]
        if not still:
            break
        rankings = read([one.input for one in still], [(one.number, one.blanks) for one in still])
        for document, found in zip(still, rankings, strict=True):
            _settle(document, found, -(-len(document.blanks) // left), spell)
    return [[ranking for ranking in document.found if ranking is not None] for document in documents]


def _settle(document: _Open, found: Sequence[Ranking], count: int, spell: Spell) -> None:
    """Fills the surest blanks, so many."""
    order = np.argsort([-ranking.probs[0] for ranking in found], kind="stable")
    now, later = order[:count], np.sort(order[count:])
    for i in now:
        document.found[document.blanks[i]] = found[i]
    if len(later):
        one = document.input
        pieces, counts, codes = one.pieces.copy(), one.counts.copy(), one.codes.copy()
        for i in now:
            if found[i].rejected:
                continue  # better a gap than a word that does not fit
            place = one.blanks[i]
            pieces[place], codes[place] = spell(one, int(found[i].numbers[0]))
            counts[place] = np.count_nonzero(pieces[place])
        document.input = replace(one, pieces=pieces, counts=counts, codes=codes, blanks=one.blanks[later])
    document.blanks = document.blanks[later]


def each_once(rankings: Sequence[Ranking], candidates: int) -> list[Ranking]:
    """The rankings with the jointly best choice first, in which no candidate fills two blanks."""
    logs = np.full((len(rankings), candidates), -1e3)
    for row, ranking in zip(logs, rankings, strict=True):
        inside = ranking.numbers < candidates
        row[ranking.numbers[inside]] = np.log(np.maximum(ranking.probs[inside], 1e-30))
    chosen = []
    for number, ranking in zip(assign(logs), rankings, strict=True):
        order = np.argsort(ranking.numbers != number, kind="stable")
        chosen.append(replace(ranking, numbers=ranking.numbers[order], probs=ranking.probs[order]))
    return chosen
