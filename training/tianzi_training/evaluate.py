"""Scores a bundle through the code that serves it: `python -m tianzi_training.evaluate ocr|cloze …`.

The figures are printed, written into the bundle's bundle.json, and into the table of its model card.
"""

import argparse
import datetime
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tianzi_models import bundle as bundles
from tianzi_models.errors import TianziError
from tianzi_models.registry import load_model
from tianzi_training.config import ConfigError

CARD = "README.md"
BEGIN, END = "<!-- figures: written by tianzi_training.evaluate -->", "<!-- end of figures -->"


def record(bundle: Path, figures: Mapping[str, Mapping[str, Any]], command: str) -> None:
    """Writes figures (set → figure → value) into bundle.json and into the model card's table.

    Sets that the bundle has figures of already and that are not among these stay as they are.
    """
    manifest = json.loads((bundle / bundles.MANIFEST).read_text(encoding="utf-8"))
    day = datetime.datetime.now(datetime.UTC).date().isoformat()
    for name, values in figures.items():
        manifest.setdefault("metrics", {})[name] = {**values, "date": day, "command": command}
    bundles.write_json(bundle / bundles.MANIFEST, manifest)
    card = bundle / CARD
    if card.exists():
        before, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if begin and end:
            card.write_text(f"{before}{BEGIN}\n{_markdown(manifest['metrics'])}\n{END}{after}", encoding="utf-8")


def show(figures: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints figures as a table."""
    columns = list(dict.fromkeys(key for values in figures.values() for key in values))
    table = Table("set", *columns)
    for name, values in figures.items():
        table.add_row(name, *(str(values.get(column, "")) for column in columns))
    # A file has no width to fit into: nothing is cut there.
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def _markdown(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    rows = ["| set | figures | measured | command |", "|---|---|---|---|"]
    for name, values in metrics.items():
        figures = ", ".join(f"{key} {value}" for key, value in values.items() if key not in ("date", "command"))
        rows.append(f"| {name} | {figures} | {values['date']} | `{values['command']}` |")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit code."""
    parser = argparse.ArgumentParser(prog="python -m tianzi_training.evaluate", description=__doc__)
    commands = parser.add_subparsers(dest="model", required=True)
    ocr = commands.add_parser("ocr", help="characters rendered from the held-out fonts")
    ocr.add_argument("--confusions", type=int, default=20, help="how many to print (default: 20)")
    ocr.add_argument("--pictures", type=Path, default=Path("runs/ocr"), help="folder for the PNGs (default: runs/ocr)")
    cloze = commands.add_parser("cloze", help="questions in CMRC 2017's format, or made from the held-out documents")
    cloze.add_argument(
        "questions", type=Path, nargs="?", help="FILE.doc_query (default: made from the training's texts)"
    )
    cloze.add_argument("answers", type=Path, nargs="?", help="FILE.answer")
    cloze.add_argument(
        "--pictures",
        type=Path,
        default=Path("runs/cloze"),
        help="folder for the surest errors and a picture of explanations (default: runs/cloze)",
    )
    for command in (ocr, cloze):
        command.add_argument("--bundle", type=Path, help="folder of the bundle (default: the newest)")
        command.add_argument("--dry-run", action="store_true", help="print, write nothing into the bundle")
    options = parser.parse_args(arguments)
    if options.model == "cloze" and options.questions and not options.answers:
        parser.error("cloze: FILE.answer is missing")
    try:
        path = options.bundle or bundles.find(bundles.default_root(), options.model)
        model = load_model(options.model, path.parent.parent, int(path.name), device="auto", threads=2)
        if options.model == "ocr":
            from tianzi_training.ocr.evaluation.evaluate import evaluate

            figures = evaluate(model, options.confusions, options.pictures)
            command = "python -m tianzi_training.evaluate ocr"
        elif options.questions is None:
            from tianzi_training.cloze.evaluation.held_out import evaluate as evaluate_made

            figures, command = evaluate_made(model), "python -m tianzi_training.evaluate cloze"
        else:
            from tianzi_training.cloze.evaluation.cmrc import evaluate as evaluate_cloze

            figures = evaluate_cloze(model, options.questions, options.answers, options.pictures)
            command = f"python -m tianzi_training.evaluate cloze {options.questions.name} {options.answers.name}"
    except (ConfigError, TianziError, OSError) as error:
        print(f"{options.model}: {error}", file=sys.stderr)
        return 1
    show(figures)
    if not options.dry_run:
        record(path, figures, command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
