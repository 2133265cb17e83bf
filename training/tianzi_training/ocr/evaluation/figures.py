"""Pictures of the recogniser: what it learns from, a reliability diagram, and the crops that it misread."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from tianzi_models.ocr.image import normalize_crop
from tianzi_models.ocr.types import OcrAnswer
from tianzi_training.ocr.evaluation.test_sets import EvalSet

BINS = 10
CELL_PX = 64
COLUMNS = 16
ROWS = 8


def draw_reliability(sets: Mapping[str, Sequence[tuple[float, bool]]], target: Path) -> None:
    """Share right over confidence, a line a set, above how often each confidence is given."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (top, bottom) = pyplot.subplots(
        2, 1, figsize=(7, 7.5), sharex=True, height_ratios=(3, 1), layout="constrained"
    )
    top.plot([0, 1], [0, 1], color="0.7", lw=1)
    for name, pairs in sets.items():
        sure, right = np.array([c for c, _ in pairs]), np.array([r for _, r in pairs], dtype=np.float64)
        place = np.minimum((sure * BINS).astype(int), BINS - 1)
        # A bin with a handful of pictures says nothing.
        shown = [b for b in range(BINS) if (place == b).sum() >= 10]
        line = top.plot(
            [sure[place == b].mean() for b in shown], [right[place == b].mean() for b in shown], marker="o", label=name
        )
        counts = np.array([(place == b).mean() for b in range(BINS)])
        bottom.plot((np.arange(BINS) + 0.5) / BINS, counts, marker=".", color=line[0].get_color())
    top.set(ylabel="share right", title="Confidence of the best candidate against how often it is right")
    bottom.set(xlabel="confidence", ylabel="share of pictures", yscale="log")
    top.legend(fontsize=8)
    for axes in (top, bottom):
        axes.grid(alpha=0.3)
    figure.savefig(target, dpi=100)
    pyplot.close(figure)


def draw_samples(crops: npt.NDArray[np.uint8], target: Path) -> None:
    """A contact sheet of crops (N, H, W), in rows of 32."""
    side = crops.shape[1] + 2
    sheet = np.full((-(-len(crops) // 32) * side, 32 * side), 128, np.uint8)
    for i, crop in enumerate(crops):
        top, left = i // 32 * side, i % 32 * side
        sheet[top : top + side - 2, left : left + side - 2] = crop
    Image.fromarray(sheet).save(target)


def draw_confusions(tested: EvalSet, answers: Sequence[OcrAnswer], target: Path) -> None:
    """The misread crops, the most confident first, each over its answer's own picture of the same set."""
    example = {forms[0]: picture for forms, picture in zip(tested.truth, tested.pictures, strict=True)}
    triples = zip(tested.truth, tested.pictures, answers, strict=True)
    wrong = [(a.candidates[0], picture) for forms, picture, a in triples if a.candidates[0].text not in forms]
    wrong.sort(key=lambda pair: -pair[0].confidence)
    sheet = Image.new("L", (COLUMNS * CELL_PX, 2 * ROWS * CELL_PX), 200)
    for i, (candidate, picture) in enumerate(wrong[: COLUMNS * ROWS]):
        row, column = divmod(i, COLUMNS)
        answered = example.get(candidate.text, np.full((CELL_PX, CELL_PX), 255, np.uint8))
        for offset, one in ((0, picture), (1, answered)):
            crop = Image.fromarray(normalize_crop(one, CELL_PX - 8))
            sheet.paste(crop, (column * CELL_PX + 4, (2 * row + offset) * CELL_PX + (6 if offset == 0 else 2)))
    sheet.save(target)
