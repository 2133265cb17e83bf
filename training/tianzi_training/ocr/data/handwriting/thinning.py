"""Ink thinned to its middle lines."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

AROUND = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
"""y and x of the pixels around one, clockwise from the one above."""


def thin_to_lines(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(N, H, W) → the same, thinned until no line is wider than a pixel. Zhang and Suen (1984)."""
    lines = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    changed = True
    while changed:
        changed = False
        for odd in (False, True):
            p = [np.roll(lines, (-dy, -dx), (1, 2)) for dy, dx in AROUND]
            count = sum(part.astype(np.uint8) for part in p)
            turns = sum((~a & b).astype(np.uint8) for a, b in zip(p, p[1:] + p[:1], strict=True))
            north, east, south, west = p[0], p[2], p[4], p[6]
            first, second = (
                (north & east & west, north & south & west) if odd else (north & east & south, east & south & west)
            )
            gone = lines & (count >= 2) & (count <= 6) & (turns == 1) & ~first & ~second
            if gone.any():
                lines, changed = lines & ~gone, True
    lines = lines[:, 1:-1, 1:-1].copy()
    for some, left in zip(ink, lines, strict=True):
        # An even-sided dot is thinned to nothing: its middle stays.
        blots, count = ndimage.label(some, np.ones((3, 3)))
        for number in sorted(set(range(1, count + 1)) - set(blots[left])):
            y, x = np.argwhere(blots == number).mean(axis=0).round().astype(int)
            left[y, x] = True
    return lines
