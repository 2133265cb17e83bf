"""What gpu.py found: a table on the terminal, and a part of results.md."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from floor import Peaks
from report import put
from rich.console import Console
from rich.table import Table

from tianzi_models.registry import GOLDEN_TOLERANCE

HEAD = ("model", "way", "rows", "first ms", "ms", "rows/s", "of the floor", "max Δ", "same best")
RATE_AIM = 1e6
SCORE_AIM = 0.6
WIDTH = 110
"""Of the table, in characters."""


@dataclass(frozen=True)
class Row:
    """One way with one bucket: its first run, the median of later ones, and how far it is from the CPU's fp32.

    problem: why there is no figure, else empty.
    """

    model: str
    way: str
    rows: int
    first_ms: float = 0.0
    ms: float = 0.0
    rate: float = 0.0
    floor_ms: float = 0.0
    worst: float = 0.0
    same: float = 0.0
    problem: str = ""

    def cells(self) -> list[str]:
        worst = f"{self.worst:.1e}" + ("" if self.worst <= GOLDEN_TOLERANCE else " too far")
        times = [f"{self.first_ms:.2f}", f"{self.ms:.3f}", f"{self.rate:,.0f}", f"{self.floor_ms / self.ms:.0%}"]
        return [self.model, self.way, str(self.rows), *times, worst, f"{self.same:.1%}"]


@dataclass(frozen=True)
class Results:
    """Of one call. device: "cuda" or "cpu". score_rate: crops a second through score's engine, 0 if not asked for."""

    machine: dict[str, str]
    device: str
    peaks: Peaks
    rows: Sequence[Row]
    score_rate: float = 0.0
    score_items: int = 0

    def best(self, model: str) -> Row | None:
        """The row of the highest rate among those that answer as the CPU does."""
        good = [row for row in self.rows if row.model == model and not row.problem and row.worst <= GOLDEN_TOLERANCE]
        return max(good, key=lambda row: row.rate, default=None)


def card(device: str) -> str:
    """The card's name and driver."""
    if device == "cpu":
        return "none"
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    if shutil.which(asked[0]) is None:
        return "unknown"
    return subprocess.run(asked, capture_output=True, text=True).stdout.strip() or "unknown"


def lines(results: Results) -> list[str]:
    """What to know beside the table."""
    facts = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    flops = ", ".join(f"{8 * size} bit {rate / 1e12:.2f} TFLOP/s" for size, rate in sorted(results.peaks.flops.items()))
    found = [f"On {facts}.", f"Largest product: {flops}; largest copy: {results.peaks.bytes_s / 1e9:.0f} GB/s."]
    if results.device == "cpu":
        found.append("No graphics card was used: these are the CPU's figures, and what needs CUDA was not run.")
    found += [f"{row.model}, {row.way}: {row.problem}." for row in results.rows if row.problem]
    best = results.best("ocr")
    if best is not None:
        found.append(f"Best: {best.rate:,.0f} characters/s ({best.way}, {best.rows} rows){_met(best.rate, results)}.")
    if best is not None and results.score_rate:
        share = results.score_rate / best.rate
        verdict = "" if results.device == "cpu" else f", {'met' if share >= SCORE_AIM else 'missed'}: aim 60 %"
        found.append(f"Through score, from pixels: {results.score_rate:,.0f} characters/s, {share:.0%} of it{verdict}.")
    return found


def _met(rate: float, results: Results) -> str:
    if results.device == "cpu":
        return ""
    return f", {'met' if rate >= RATE_AIM else 'missed'}: aim {RATE_AIM:,.0f}"


def show(results: Results) -> None:
    """Prints it for people."""
    table = Table()
    for name in HEAD:
        table.add_column(name, no_wrap=True)
    for row in results.rows:
        if not row.problem:
            table.add_row(*row.cells())
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(table)
    for line in lines(results):
        console.print(line, highlight=False)


def write(results: Results) -> None:
    """Puts it into results.md."""
    table = [HEAD, ["---"] * len(HEAD), *(row.cells() for row in results.rows if not row.problem)]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in table)
    told = "\n".join(f"- {line}" for line in lines(results))
    part = f"""## Graphics card

`./run bench-gpu --write`: every bucket of both models, each way to run it. *Of the floor* is the shortest time that the
card's own largest product and copy would allow, as a share of the median; *max Δ* the largest difference of a
probability from the CPU's in fp32.

{told}

{text}
"""
    put("gpu", "benchmarks/gpu.py", part)
