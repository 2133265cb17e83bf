"""The log of a training run as a picture."""

import json
from pathlib import Path


def draw_curve(log: Path, target: Path) -> None:
    """Loss and validation figures over steps, as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    figures = [line for line in lines if "validation" in line]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    if losses:
        left.plot(*zip(*losses, strict=True), lw=0.8)
    left.set(xlabel="step", ylabel="training loss", title=log.parent.name)
    for name in figures[-1]["validation"] if figures else ():
        right.plot([f["step"] for f in figures], [f["validation"].get(name) for f in figures], marker=".", label=name)
    right.set(xlabel="step", title="validation")
    if figures:
        right.legend(fontsize=8)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    temporary = target.with_suffix(".tmp")
    figure.savefig(temporary, format="png", dpi=110)
    pyplot.close(figure)
    temporary.replace(target)
