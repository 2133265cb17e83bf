"""Figures of both models' evaluations: shares with their intervals, and how far confidences can be trusted."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def wilson(right: int, total: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    if total == 0:
        return 0.0, 1.0
    z, p = 1.96, right / total
    centre, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (centre - spread) / (1 + z * z / total), (centre + spread) / (1 + z * z / total)


def accuracy(right: int, total: int) -> dict[str, Any]:
    """{"accuracy", "low", "high", "total"}: a share with its 95 % interval."""
    low, high = wilson(right, total)
    return {"accuracy": round(right / max(1, total), 4), "low": round(low, 4), "high": round(high, 4), "total": total}


def calibration_error(pairs: Sequence[tuple[float, bool]], bins: int) -> float:
    """Expected calibration error of (confidence, right) pairs (arXiv:1706.04599 §2)."""
    sure, right = np.array([c for c, _ in pairs]), np.array([r for _, r in pairs], dtype=np.float64)
    place = np.minimum((sure * bins).astype(int), bins - 1)
    return round(sum(abs(float((right - sure)[place == b].sum())) for b in range(bins)) / max(1, len(pairs)), 4)
