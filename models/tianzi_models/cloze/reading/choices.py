"""The options of all blanks as one list of candidates, and which of them each blank may take."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from tianzi_models.cloze.reading.options import Option


def union(
    options: Sequence[Sequence[Option]], table: Mapping[int, str]
) -> tuple[dict[str, Option], npt.NDArray[np.bool_]]:
    """Folded text → the first option that reads so, K of them, and allowed: (Q, K).

    options: of each blank, as in Reading; a blank without any may take none of the K. table: see segment.folding.
    """
    candidates: dict[str, Option] = {}
    for option in (option for own in options for option in own):
        candidates.setdefault(option.text.translate(table), option)
    numbers = {folded: number for number, folded in enumerate(candidates)}
    allowed = np.zeros((len(options), len(candidates)), bool)
    for row, own in zip(allowed, options, strict=True):
        row[[numbers[option.text.translate(table)] for option in own]] = True
    return candidates, allowed
