"""The same test sets for other recognisers: `./run peers`. Those that are installed are measured beside the bundle.

Tesseract is Debian's tesseract-ocr with chi_sim; RapidOCR (PP-OCR) and ddddocr come with the extra `peers`.
"""

import argparse
import csv
import io
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from tianzi_models.ocr.types import GrayArray, OcrRequest
from tianzi_models.registry import load_model
from tianzi_training.config import ConfigError
from tianzi_training.ocr.evaluation.evaluate import KEPT_CLEAN, confidence, held_out_sets
from tianzi_training.ocr.evaluation.test_sets import EvalSet

Reader = Callable[[GrayArray], tuple[str, float]]
"""Picture → text, "" for none, and a confidence."""

MARGIN_PX = 8  # around each picture, as a line of text has


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.ocr.evaluation.baselines", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="pictures of each set (default: 200)")
    options = parser.parse_args(arguments)
    try:
        sets = {name: _sample(one, options.count) for name, one in held_out_sets(options.count).items()}
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    columns = {name: measure(reader, sets) for name, reader in readers().items()}
    table = Table("% right; answered where there is nothing to read", *columns)
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{column[name]:.1f}" for column in columns.values()))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def readers() -> dict[str, Reader]:
    """Name → reader, ours first."""
    found: dict[str, Reader] = {"tianzi": _tianzi()}
    for name, make in {"Tesseract": _tesseract, "ddddocr": _ddddocr, "PP-OCR": _rapidocr}.items():
        try:
            found[name] = make()
        except ImportError as error:
            print(f"{name}: not installed ({error})", file=sys.stderr)
    return found


def measure(read: Reader, sets: dict[str, EvalSet]) -> dict[str, float]:
    """Set → per cent right; of pictures without a single character, per cent answered at a confidence that keeps
    95 % of the right answers on clean print. The last row is milliseconds a picture, one thread."""
    began = time.process_time()
    answers = {name: [read(picture) for picture in one.pictures] for name, one in sets.items()}
    spent = time.process_time() - began
    clean = zip(sets["clean, all"].truth, answers["clean, all"], strict=True)
    threshold = float(np.quantile([sure for forms, (text, sure) in clean if _right(text, forms)], 1 - KEPT_CLEAN))
    figures = {}
    for name, one in sets.items():
        pairs = list(zip(one.truth, answers[name], strict=True))
        if one.truth[0]:
            hits = sum(_right(text, forms) for forms, (text, _) in pairs)
        else:
            hits = sum(bool(text) and sure >= threshold for _, (text, sure) in pairs)
        figures[name] = 100 * hits / len(pairs)
    figures["CPU milliseconds a picture"] = 1000 * spent / sum(len(one) for one in sets.values())
    return figures


def _right(text: str, forms: str) -> bool:
    return len(text) == 1 and text in forms


def _sample(one: EvalSet, count: int) -> EvalSet:
    chosen = np.random.default_rng(0).permutation(len(one))[:count]
    return EvalSet([one.pictures[i] for i in chosen], [one.truth[i] for i in chosen])


def _tianzi() -> Reader:
    model = load_model("ocr", device="cpu")

    def read(picture: GrayArray) -> tuple[str, float]:
        answer = model.answer(OcrRequest(picture))
        # What is rejected has no confidence, yet its best guess counts as the other recognisers' does.
        return answer.candidates[0].text, confidence(answer)

    return read


def _tesseract() -> Reader:
    if shutil.which("tesseract") is None:
        raise ImportError("no command tesseract")

    def read(picture: GrayArray) -> tuple[str, float]:
        command = ["tesseract", "-", "-", "--psm", "10", "-l", "chi_sim+eng", "tsv"]
        done = subprocess.run(command, input=_png(picture), capture_output=True, check=False)
        rows = csv.DictReader(io.StringIO(done.stdout.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
        words = [(row["text"].strip(), float(row["conf"])) for row in rows if (row["text"] or "").strip()]
        return "".join(text for text, _ in words), min((sure for _, sure in words), default=0.0)

    return read


def _ddddocr() -> Reader:
    import ddddocr

    engine = ddddocr.DdddOcr(show_ad=False, beta=True)
    return lambda picture: (engine.classification(_png(picture)), 1.0)  # it tells no confidence


def _rapidocr() -> Reader:
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.log_level": "error", "EngineConfig.onnxruntime.intra_op_num_threads": 1})

    def read(picture: GrayArray) -> tuple[str, float]:
        colour = np.repeat(_framed(picture)[:, :, None], 3, axis=2)
        result = engine(colour, use_det=False, use_cls=False, use_rec=True)
        texts: Sequence[str] = result.txts or ("",)
        scores: Sequence[float] = result.scores or (0.0,)
        return texts[0].strip(), float(scores[0])

    return read


def _framed(picture: GrayArray) -> GrayArray:
    rim = int(np.median(np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])))
    return np.pad(picture, MARGIN_PX, constant_values=rim)


def _png(picture: GrayArray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_framed(picture)).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    sys.exit(main())
