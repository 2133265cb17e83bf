"""Tally: what some rows, or a whole run, have come to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeAlias

from tianzi import Filling, Recognition, TianziError

Result: TypeAlias = Recognition | Filling | TianziError

BINS = 20
"""Of the histograms: confidences in steps of 0.05."""
UNCERTAIN = 48
"""How many of the least certain items are kept to be shown."""
SHOWN = ("uncertain", "refused")
"""Of a Tally: the items that are kept so, the answered and the rejected ones."""


@dataclass(frozen=True)
class Uncertain:
    """An item that was answered with little confidence, or rejected. picture: a PNG in base64; text: a piece of what
    was asked."""

    confidence: float
    id: str
    answers: str
    picture: str = ""
    text: str = ""


@dataclass
class Tally:
    """Counts. answered, rejected_bins: how many confidences are in each of BINS steps. examples: an item of each kind
    of error."""

    items: int = 0
    rejected: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    answered: list[int] = field(default_factory=lambda: [0] * BINS)
    rejected_bins: list[int] = field(default_factory=lambda: [0] * BINS)
    versions: list[int] = field(default_factory=list)
    uncertain: list[Uncertain] = field(default_factory=list)
    refused: list[Uncertain] = field(default_factory=list)

    def add(self, name: str, result: Result) -> None:
        """Counts one item."""
        self.items += 1
        if isinstance(result, TianziError):
            kind = error_kind(result)
            self.errors[kind] += 1
            self.examples.setdefault(kind, f"{name}: {result}")
            return
        rejected = isinstance(result, Recognition) and result.rejected
        self.rejected += rejected
        bins = self.rejected_bins if rejected else self.answered
        bins[min(int(confidence(result) * BINS), BINS - 1)] += 1
        if result.model_version not in self.versions:
            self.versions.append(result.model_version)

    def merge(self, other: "Tally") -> None:
        """Adds what other rows have come to. In whatever order this is done, the counts end up the same."""
        self.items += other.items
        self.rejected += other.rejected
        self.errors.update(other.errors)
        self.examples = {**other.examples, **self.examples}
        self.answered = [ours + theirs for ours, theirs in zip(self.answered, other.answered, strict=True)]
        self.rejected_bins = [
            ours + theirs for ours, theirs in zip(self.rejected_bins, other.rejected_bins, strict=True)
        ]
        self.versions = sorted({*self.versions, *other.versions})
        self.uncertain = least_certain([*self.uncertain, *other.uncertain])
        self.refused = least_certain([*self.refused, *other.refused])

    @property
    def failed(self) -> int:
        """Items that ended as an error."""
        return self.errors.total()

    @property
    def rejected_share(self) -> float:
        """Of the items that were answered, in [0, 1]."""
        return self.rejected / max(1, self.items - self.failed)

    def summary(self) -> dict[str, Any]:
        """The counts alone."""
        return {
            "items": self.items,
            "failed": self.failed,
            "errors": dict(self.errors.most_common()),
            "rejected": self.rejected,
            "rejected_share": round(self.rejected_share, 6),
            "model_versions": self.versions,
        }

    def lines(self) -> list[str]:
        """The counts for people."""
        counts = f"{self.items} items, {self.failed} errors, {self.rejected} rejected ({self.rejected_share:.1%})"
        return [counts, *(f"  {number} × {kind}; {self.examples[kind]}" for kind, number in self.errors.most_common())]

    def to_json(self) -> dict[str, Any]:
        """All of it, as from_json reads it."""
        shown = {name: [asdict(item) for item in vars(self)[name]] for name in SHOWN}
        return {**vars(self), "errors": dict(self.errors), **shown}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Tally":
        shown = {name: [Uncertain(**item) for item in data.get(name, [])] for name in SHOWN}
        return cls(**{**data, "errors": Counter(data["errors"]), **shown})


def error_kind(error: TianziError) -> str:
    """What errors are counted by: the class, and the field that is at fault."""
    return f"{type(error).__name__} {error.field}" if error.field else type(error).__name__


def confidence(result: Recognition | Filling) -> float:
    """Of the best candidate; of several blanks, of the one that is least certain."""
    if isinstance(result, Recognition):
        return result.best.confidence
    return min((blank.best.confidence for blank in result.blanks if blank.candidates), default=0.0)


def least_certain(items: Iterable[Uncertain]) -> list[Uncertain]:
    """Those to keep, least certain first; the id settles a tie."""
    return sorted(items, key=lambda item: (item.confidence, item.id))[:UNCERTAIN]
