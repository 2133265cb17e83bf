"""What commands print: for people on a terminal, plain lines elsewhere, JSON where asked."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.columns import Columns
from rich.console import Console, Group
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeRemainingColumn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tianzi import Blank, Character, Filling, Reading, Recognition, ServerInfo, Word
from tianzi.types import Document

BAR_WIDTH = 24
BEST = "bold cyan"


def json_line(value: Any) -> None:
    """One line of JSON."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def recognition(name: str, result: Recognition) -> None:
    """An image's name, its character, and the candidates with bars; plain: name, character, confidences, by tabs."""
    console = _console()
    if not console.is_terminal:
        print(name, result.text or "-", *_plain(result.candidates), sep="\t", flush=True)
        return
    box = Panel(Text(result.text or "—", style=BEST), padding=(1, 3), border_style="red" if result.rejected else "cyan")
    beside = Table.grid(padding=(0, 1))
    beside.add_row(Text(name, style="bold"))
    if result.rejected:
        beside.add_row(Text("no single readable character; the least bad guesses:", style="red"))
    beside.add_row(_bars(result.candidates))
    row = Table.grid(padding=(0, 2))
    row.add_row(box, beside)
    console.print(row)


def reading(names: Sequence[str], result: Reading) -> None:
    """The text of a row; on a terminal a box an image above it, and what the row has changed underlined."""
    console = _console()
    if not console.is_terminal:
        print(result.text, flush=True)
        return
    boxes = []
    text = Text("→ ")
    for name, char, shown in zip(names, result.text, result.characters, strict=True):
        changed = char != shown.text
        text.append(char, style=f"{BEST} underline" if changed else BEST)
        alone = "rejected" if shown.rejected else f"{shown.best.text} {shown.best.confidence:.0%}"
        border = "red" if shown.rejected else "yellow" if changed else "cyan"
        box = Panel(Text(char, style=BEST), padding=(1, 3), border_style=border, expand=False)
        boxes.append(Group(box, Text(alone, style="dim"), Text(Path(name).name, style="dim")))
    console.print(Columns(boxes, padding=(0, 1)))
    console.print(text)


def filling(result: Filling, top_k: int | None = None) -> None:
    """The text with its words filled in, and each blank's best; plain: the text, then a line for each blank."""
    console = _console()
    if not console.is_terminal:
        print(result.text, *([result.query] if result.query else []), sep="\n")
        for blank in result.blanks:
            print(*_plain(blank.candidates[:top_k]), sep="\t")
        return
    console.print(_filled(result.question.document, result.blanks, in_query=False))
    if result.query:
        console.print(Text("→ ").append_text(_filled(result.question.query, result.blanks, in_query=True)))
    for number, blank in enumerate(result.blanks, start=1):
        title = [Text(f"blank {number}", style="bold")] if len(result.blanks) > 1 else []
        console.print(Group("", *title, _bars(blank.candidates[:top_k])))


def as_json(result: Recognition | Reading | Filling) -> dict[str, Any]:
    """All that there is to say of an answer: {"text", …, "model_version"}, whatever was asked.

    A recognition has "candidates" and "rejected", a row "characters", each as a recognition, a text "blanks".
    """
    match result:
        case Recognition():
            rest: dict[str, Any] = {
                "candidates": [asdict(one) for one in result.candidates],
                "rejected": result.rejected,
            }
        case Reading():
            rest = {"characters": [as_json(one) for one in result.characters]}
        case Filling():
            query = {"query": result.query} if result.query else {}
            rest = {**query, "blanks": [asdict(blank) for blank in result.blanks]}
    return {"text": result.text, **rest, "model_version": result.model_version}


def server_info(info: ServerInfo) -> None:
    """A server's version, then a table of its models and one of its limits."""
    console = _console()
    console.print(f"tianzi {info.version}", style="bold")
    models = _table("model", "version", "runs on", "vocabulary", "top-k up to", "graph")
    for model in info.models:
        size = f"{model.graph_bytes / 1e6:.1f} MB"
        models.add_row(
            model.name, str(model.version), model.provider, f"{model.vocabulary_size:,}", str(model.max_top_k), size
        )
    limits = _table("limit", "value")
    for name, value in asdict(info.limits).items():
        limits.add_row(name, f"{value:,}")
    console.print(models, limits)


def verified(line: dict[str, Any]) -> None:
    """One bundle and what its check has come to."""
    name = f"{line['model']} {line['version'] or ''}".rstrip()
    if "error" in line:
        _console().print(Text(f"{name}: ").append(line["error"], style="red"), soft_wrap=True)
    else:
        print(f"{name}: ok, {line['bytes'] / 1e6:.1f} MB, {line['golden']} golden samples, {line['seconds']:.1f} s")


@contextmanager
def progress(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar, a rate and the time that remains on stderr. What it gives is told how many more items are done.

    total: how many there are in all, None where nobody knows.
    """
    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda items: bar.advance(task, items)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def _console() -> Console:
    return Console(highlight=False)


def _plain(candidates: Sequence[Character | Word]) -> list[str]:
    return [f"{candidate.text} {candidate.confidence:.4f}" for candidate in candidates]


def _bars(candidates: Sequence[Character | Word]) -> Table:
    table = Table.grid(padding=(0, 2))
    for place, candidate in enumerate(candidates):
        style = BEST if place == 0 else ""
        bar = ProgressBar(
            total=1.0, completed=candidate.confidence, width=BAR_WIDTH, complete_style="cyan", finished_style="cyan"
        )
        percent = Text(f"{candidate.confidence:6.1%}", style=style)
        table.add_row(Text(candidate.text, style=style), bar, percent, Text(_where(candidate), style="dim"))
    return table


def _where(candidate: Character | Word) -> str:
    if isinstance(candidate, Character):
        return ""
    times = len(candidate.positions)
    return f"{times} × in the text" if times else "not in the text"


def _filled(document: Document, blanks: Sequence[Blank], in_query: bool) -> Text:
    text = Text()
    end = 0
    for blank in blanks:
        if blank.in_query == in_query:
            start = blank.position[0]
            text.append("".join(document[end:start])).append(blank.best.text, style=f"{BEST} underline")
            end = blank.position[1]
    return text.append("".join(document[end:]))


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        table.add_column(column, justify="left" if column in ("model", "runs on", "limit") else "right")
    return table
