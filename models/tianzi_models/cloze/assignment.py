"""Each candidate at most once: the assignment of candidates to blanks that is most probable as a whole."""

import numpy as np
import numpy.typing as npt

_IMPOSSIBLE = -1e9
"""Stands for log 0: an assignment that needs it loses against any that does not."""


def assign(log_probs: npt.ArrayLike) -> list[int]:
    """The candidate of each blank, all different, with the highest sum of log_probs: (Q, K), Q at most K.

    The Hungarian method in O(Q² K): blanks enter one by one along a shortest augmenting path, and potentials keep the
    reduced costs at 0 or more (Jonker and Volgenant 1987).

    Raises:
        ValueError: fewer candidates than blanks.
    """
    costs = -np.nan_to_num(np.asarray(log_probs, np.float64), nan=_IMPOSSIBLE, neginf=_IMPOSSIBLE)
    blanks, candidates = costs.shape
    if candidates < blanks:
        raise ValueError(f"{candidates} candidates for {blanks} blanks")
    owner = np.full(candidates + 1, -1)  # blank of each candidate; the last column is where a new blank waits
    of_blank, of_candidate = np.zeros(blanks), np.zeros(candidates)  # potentials
    for blank in range(blanks):
        owner[candidates] = blank
        current = candidates
        slack = np.full(candidates, np.inf)
        before = np.full(candidates, candidates)
        reached = np.zeros(candidates + 1, bool)
        while owner[current] >= 0:
            reached[current] = True
            row = owner[current]
            reduced = costs[row] - of_blank[row] - of_candidate
            shorter = ~reached[:-1] & (reduced < slack)
            slack[shorter], before[shorter] = reduced[shorter], current
            current = int(np.where(reached[:-1], np.inf, slack).argmin())
            step = slack[current]
            of_blank[owner[reached]] += step
            of_candidate[reached[:-1]] -= step
            slack[~reached[:-1]] -= step
        while current != candidates:
            owner[current] = owner[before[current]]
            current = int(before[current])
    chosen = {int(blank): candidate for candidate, blank in enumerate(owner[:-1]) if blank >= 0}
    return [chosen[blank] for blank in range(blanks)]
