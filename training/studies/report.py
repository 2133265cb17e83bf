"""What a study leaves: a table and a figure, in a folder or in the document that tells of them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.special import stdtrit


@dataclass(frozen=True)
class Options:
    """What the command says. Folders are looked into only by the studies that need them."""

    out: Path = Path("runs/studies")
    quick: bool = False  # a few seconds, to see that it works: its figures say nothing
    size: str = "small"  # of fashion-mnist: small, for one core, or full, for a GPU
    seeds: int = 3
    digits: Path = Path("data/mnist")
    fashion: Path = Path("data/fashion-mnist")
    text: Path = Path("data/text")
    cache: Path = Path(".cache/cloze")

    def figure(self, name: str) -> Path:
        """Where the figure of a study goes; its folder is made."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / f"{name}.png"


@dataclass(frozen=True)
class Table:
    """One table. notes: what was run, a sentence each."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()

    def markdown(self) -> str:
        """The table as Markdown, its notes below."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join([table, *([" ".join(self.notes)] if self.notes else [])])


def mean_sd(values: Sequence[float], scale: float = 100.0, digits: int = 2) -> str:
    """ "mean ± sd" of one value a seed; in percent where nothing else is said."""
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values) * scale:.{digits}f} ± {spread * scale:.{digits}f}"


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Mean of paired differences with its 95 % interval (Student's t), which takes two of them at least."""
    mean, count = statistics.fmean(differences), len(differences)
    half = stdtrit(count - 1, 0.975) * statistics.stdev(differences) / math.sqrt(count)
    return mean, mean - half, mean + half


def show_interval(differences: Sequence[float], scale: float = 100.0, digits: int = 2) -> str:
    """ "+0.31 (−0.10 to +0.72)"; in percentage points where nothing else is said."""
    mean, low, high = (signed(value * scale, digits) for value in interval(differences))
    return f"{mean} ({low} to {high})"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, a true minus among them."""
    return f"{value:+.{digits}f}".replace("-", "−")


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Any, Any]:
    """A matplotlib figure and its axes (rows, columns), drawn without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False, **options)


def save(figure: Any, path: Path) -> None:
    """Writes a figure and forgets it."""
    from matplotlib import pyplot

    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def record(document: Path, name: str, table: Table) -> None:
    """Puts a study's table between its two marks in a document.

    Raises:
        ValueError: the document has no such marks.
    """
    begin, end = f"<!-- {name}: written by studies -->", f"<!-- end of {name} -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{document}: no {begin} … {end}")
    document.write_text(f"{before}{begin}\n\n{table.markdown()}\n\n{end}{after}", encoding="utf-8")
