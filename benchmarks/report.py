"""The load benchmark's results as a table, as aims met or missed, as a plot, and as a part of results.md."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bare import Bare
from targets import ALONE, ONE

HERE = Path(__file__).parent
PLOT = HERE / "load.png"
RESULTS = HERE / "results.md"
TABLE = "load.md"
"""Beside RESULTS: the aims and all rows."""
HEAD = (
    "| server | calls | loop | callers | images/s | p50 ms | p99 ms | server CPU ms an image | refused |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One line of the table. cpu_ms: of the server's processes, an image. callers: 0 in an open loop."""

    server: str
    shape: str
    loop: str
    callers: int
    rate: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    failed: int


@dataclass(frozen=True)
class Results:
    """Of one run. network, whole: bare onnxruntime, without and with decoding. overhead_us: by
    callers, the server's processor time of a single call without decoding and network."""

    machine: dict[str, str]
    rows: Sequence[Row]
    network: Bare
    whole: Bare
    overhead_us: Mapping[int, float]
    start_s: float

    def best(self, server: str, shape: str, callers: int | None = None) -> Row | None:
        """The row of the highest rate, in a closed loop of so many callers or of any; None where there is none.

        server: "tianzi" or "MLServer" for whichever of its arrangements did best, or one of them.
        """
        rows = [
            row
            for row in self.rows
            if (row.shape, row.loop) == (shape, "closed")
            and server in (row.server, row.server.partition(",")[0])
            and callers in (None, row.callers)
        ]
        return max(rows, key=lambda row: row.rate, default=None)

    def most(self, shape: str) -> float | None:
        """Images a second where a call costs what it costs gRPC alone, its caller, and bare onnxruntime with decoding,
        and nothing else: all of them share the cores."""
        alone = self.best(ALONE, shape)
        return 1 / (1 / alone.rate + 1 / self.whole.rate) if alone and alone.rate else None


def line(row: Row) -> str:
    """A line of the table."""
    callers = str(row.callers) if row.callers else "Poisson"
    figures = f"{row.rate:.0f} | {row.p50_ms:.1f} | {row.p99_ms:.1f} | {row.cpu_ms:.2f} | {row.failed}"
    return f"| {row.server} | {row.shape} | {row.loop} | {callers} | {figures} |"


def aims(results: Results) -> str:
    """What was aimed at, what came out."""
    lines = ["| aim | measured | |", "|---|---|---|"]

    def add(aim: str, measured: str, met: bool) -> None:
        lines.append(f"| {aim} | {measured} | {'met' if met else 'missed'} |")

    for shape in ("batch", "stream"):
        row = results.best("tianzi", shape)
        if row:
            share = row.rate / results.whole.rate
            against = f"{row.rate:.0f} of {results.whole.rate:.0f} images/s = {share:.0%}, {row.server}"
            if most := results.most(shape):
                against += f"; with gRPC alone at most {most:.0f} = {most / results.whole.rate:.0%}"
            add(f"{shape}: ≥ 90 % of bare onnxruntime with decoding", against, share >= 0.9)
    for callers, us in results.overhead_us.items():
        alone = results.best(ALONE, "unary", callers)
        beside = f", of them {1000 * alone.cpu_ms:.0f} gRPC alone" if alone else ""
        aim = f"{callers} callers: ≤ 300 µs of CPU a call beyond decoding and network"
        add(aim, f"{us:.0f} µs{beside}", us <= 300)
    row = results.best("tianzi", "unary", 64)
    if row:
        ratio = row.p99_ms / row.p50_ms
        add("64 callers: p99 ≤ 3 × p50", f"{row.p99_ms:.1f} of {row.p50_ms:.1f} ms = {ratio:.1f} ×", ratio <= 3)
    for ours_shape, theirs_shape in (("unary", "OIP unary"), ("batch", "OIP batch")):
        ours, theirs = results.best("tianzi", ours_shape), results.best("MLServer", theirs_shape)
        if ours and theirs:
            ratio = ours.rate / theirs.rate
            measured = f"{ours.rate:.0f} and {theirs.rate:.0f} images/s = {ratio:.1f} ×, {ours.server}"
            if most := results.most(ours_shape):
                measured += f"; with gRPC alone at most {most:.0f} = {most / theirs.rate:.1f} ×"
            add(f"{ours_shape}: ≥ 3 × MLServer's throughput", measured, ratio >= 3)
    ours, theirs = results.best("tianzi", "unary", 64), results.best("MLServer", "OIP unary", 64)
    if ours and theirs:
        share = ours.p99_ms / theirs.p99_ms
        measured = f"{ours.p99_ms:.1f} and {theirs.p99_ms:.1f} ms = {share:.2f}"
        add("64 callers: p99 ≤ 1/3 of MLServer's", measured, share <= 1 / 3)
    for several in sorted({row.server for row in results.rows if row.server.startswith("tianzi, ")} - {ONE}):
        for shape in ("unary", "batch", "stream"):
            one, more = results.best(ONE, shape), results.best(several, shape)
            if one and more:
                gain = more.rate / one.rate
                measured = f"{more.rate:.0f} and {one.rate:.0f} images/s = {gain:.2f} ×"
                add(f"{several}, {shape}: ≥ 1.2 × one", measured, gain >= 1.2)
    add("from the process's start until it listens: ≤ 3 s", f"{results.start_s:.1f} s", results.start_s <= 3)
    return "\n".join(lines)


def write(results: Results, command: str) -> None:
    """Draws the plot, puts the part of results.md between its marks, or at the end, and writes load.md."""
    plot(results, PLOT)
    facts = ", ".join(f"{key} {value}" for key, value in results.machine.items())
    bare = "\n".join(
        f"- bare onnxruntime, {what}: {way.rate:.0f} images/s, batch {way.batch}, {way.how}"
        for what, way in (("network alone", results.network), ("decoding and network", results.whole))
    )
    judged = aims(results)
    met = judged.count("| met |")
    table = "\n".join([HEAD, *map(line, results.rows)])
    part = f"""## Load

`{command}` on {facts}. Callers, server and bare runs share
the cores; a batch is 32 images, a stream keeps 32 under way. The images are the golden requests, each as often as any
other. Callers write HTTP/2 to their sockets themselves (`benchmarks/wire.py`): through gRPC for Python they would take
as much as a server does. MLServer 1.7.1 runs the same bundle with the same decoding, in its own process or in a
worker's. gRPC alone answers the same calls with recorded bytes: what such a call and its caller cost, beside bare
onnxruntime on the same cores, is the most that a server on this gRPC can answer.

![Images a second and latency by callers]({PLOT.name})

{bare}

{met} of {met + judged.count("| missed |")} aims are met. Which, and each server, way of calling and number of callers:
[{TABLE}]({TABLE}).
"""
    note = "Written by `benchmarks/load.py --write`; what the columns mean: [results.md](results.md#load)."
    RESULTS.with_name(TABLE).write_text(
        f"# Load, aims and all rows\n\n{note}\n\n{judged}\n\n{table}\n", encoding="utf-8"
    )
    put("load", "benchmarks/load.py", part)


def put(name: str, script: str, part: str) -> None:
    """Puts a part of results.md between its marks, or at the end. script: what writes it."""
    marked = f"<!-- {name}: written by {script} --write -->\n\n{part}\n<!-- end of {name} -->\n"
    text = RESULTS.read_text(encoding="utf-8")
    marks = re.compile(rf"<!-- {name}: .*?<!-- end of {name} -->\n", re.DOTALL)
    text = marks.sub(lambda _: marked, text) if marks.search(text) else f"{text.rstrip()}\n\n{marked}"
    RESULTS.write_text(text, encoding="utf-8")


def plot(results: Results, path: Path) -> None:
    """Throughput and latency by callers; without gRPC alone, whose batches would dwarf all else."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (rates, latencies) = pyplot.subplots(1, 2, figsize=(12, 4.5), layout="constrained")
    drawn_rows = [row for row in results.rows if row.loop == "closed" and not row.server.startswith(ALONE)]
    curves = sorted({(row.server, row.shape) for row in drawn_rows})
    for server, shape in curves:
        rows = [r for r in drawn_rows if (r.server, r.shape) == (server, shape)]
        if len(rows) < 2:
            continue
        style = {"marker": "o", "linestyle": "--" if server.startswith("MLServer") else "-"}
        callers = [row.callers for row in rows]
        rates.plot(callers, [row.rate for row in rows], label=f"{server}: {shape}", **style)
        if "unary" in shape:
            (drawn,) = latencies.plot(callers, [r.p99_ms for r in rows], label=f"{server}: {shape}, p99", **style)
            latencies.plot(callers, [r.p50_ms for r in rows], color=drawn.get_color(), alpha=0.4)
    rates.axhline(results.network.rate, color="grey", linestyle=":", label="onnxruntime, network alone")
    rates.axhline(results.whole.rate, color="black", linestyle=":", label="onnxruntime with decoding")
    rates.set(xscale="log", xlabel="callers", ylabel="images/s", ylim=(0, None), title="Throughput")
    latencies.set(xscale="log", yscale="log", xlabel="callers", ylabel="ms", title="Single calls: p99, pale p50")
    for axes in (rates, latencies):
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
