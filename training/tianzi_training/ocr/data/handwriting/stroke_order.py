"""The order and direction in which somebody may have written strokes that are known by their lines alone.

KanjiVG's drawings tell both: nearly all of their strokes run as is guessed here, and more of them follow each other so
than where they are put in order by their beginnings alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Stroke = npt.NDArray[np.float64]
"""(n, 2): x and y of points along a line, in pixels of a glyph."""

DOWN = 2.0  # a stroke goes to the right, but downwards rather than that
OVERLAP_PX = 2.0  # parts of a character side by side may reach into each other by so much


def in_order(strokes: Sequence[Stroke]) -> list[Stroke]:
    """Parts from left to right, or else from top to bottom, and so on within them; strokes from the upper left."""
    onward = [line if (line[-1] - line[0]) @ (1.0, DOWN) >= 0 else line[::-1] for line in strokes]
    if not onward:
        return []
    low, high = (np.array([reach(line, axis=0) for line in onward]) for reach in (np.min, np.max))
    lateness = [float((line[0] + line.mean(axis=0)).sum()) for line in onward]

    def sort(numbers: list[int]) -> list[int]:
        for axis in (0, 1):
            parts = _apart(numbers, low[:, axis], high[:, axis])
            if len(parts) > 1:
                return [number for part in parts for number in sort(part)]
        return sorted(numbers, key=lambda number: lateness[number])

    return [onward[number] for number in sort(list(range(len(onward))))]


def _apart(numbers: list[int], low: Floats, high: Floats) -> list[list[int]]:
    """Strokes by what they share of one axis."""
    parts: list[list[int]] = []
    end = -np.inf
    for number in sorted(numbers, key=lambda number: float(low[number])):
        if low[number] > end - OVERLAP_PX:
            parts.append([])
        parts[-1].append(number)
        end = max(end, float(high[number]))
    return parts
