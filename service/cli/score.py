"""tianzi score: a file or folder of items in, one JSON line for each out."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from models.cloze.types import DEFAULT_TOP_K
from service.cli.options import NO_SERVER, CommandError, Connection, TopKOption, connects, read_settings, server

if TYPE_CHECKING:
    from tianzi import Client

    from service.local import Local

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Answer whole files: one JSON line an item, in order."
)

TIMEOUT_S = 120.0
"""A queue full of others' items holds one up for longer than a person would wait."""

OutputArgument: TypeAlias = Annotated[Path, typer.Argument(metavar="OUTPUT", help="JSONL to write; - is stdout.")]
AddressOption: TypeAlias = Annotated[
    str,
    typer.Option("--address", metavar="HOST:PORT", help="A server to ask.", show_default="models in this process"),
]
DeviceOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--device", metavar="auto|cpu|cuda", help="What runs the model here.", show_default="auto"),
]
ThreadsOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--threads", metavar="NUMBER", help="Threads used here.", show_default="the cores granted to us"),
]


@app.command()
@partial(connects, address=AddressOption)
def ocr(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A folder of images, or a .jsonl or .parquet file.")],
    output: OutputArgument,
    top_k: TopKOption = DEFAULT_TOP_K,
    connection: Connection = NO_SERVER,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Recognise the images of a folder or of a file's rows.

    A row has `path`, or `image` in base64, or in Parquet `bytes`; and maybe `id`. A line of OUTPUT is {"id",
    "candidates": [{"text", "confidence"}], "rejected"} or {"id", "error"}, its id the row's, else the path, else the
    row's number.
    """
    from service.score.sources import open_images

    images = open_images(source)
    with _output(source, output) as out, _engine(connection, device, threads) as engine:
        _write(images, lambda items: engine.recognize_many(items, top_k=top_k), out)


@app.command()
@partial(connects, address=AddressOption)
def cloze(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A .doc_query (CMRC), .jsonl or .parquet file.")],
    output: OutputArgument,
    top_k: TopKOption = DEFAULT_TOP_K,
    connection: Connection = NO_SERVER,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Fill the blanks of CMRC's questions or of a file's rows.

    A row has `text` or `tokens`; and maybe `query`, `candidates`, `marker`, `id`. A line of OUTPUT is {"id",
    "candidates": [{"text", "confidence"}]} or {"id", "error"}, its id the question's or row's, else the row's number;
    where there are several blanks, "blanks" has the candidates of each.
    """
    from service.score.sources import open_questions

    questions = open_questions(source, top_k)
    with _output(source, output) as out, _engine(connection, device, threads) as engine:
        _write(questions, engine.fill_many, out)


@contextmanager
def _output(source: Path, output: Path) -> Iterator[Any]:
    """The file to write. SIGTERM ends the command as an exception, so that nothing half-written stays."""
    from service.score.writing import open_output

    if output.exists() and output.samefile(source):
        raise CommandError(f"{output}: INPUT and OUTPUT are the same file")
    previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        with open_output(output) as out:
            yield out
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _engine(connection: Connection, device: str | None, threads: str | None) -> Iterator["Client | Local"]:
    if connection.address:
        with server(connection, TIMEOUT_S) as client:
            yield client
    else:
        from service.local import Local

        yield Local(read_settings(device=device, threads=threads))


def _write(source: Any, ask_many: Any, out: Any) -> None:
    from service.cli import show
    from service.score.writing import Tally, score

    tally = Tally()
    steps = score(source, ask_many, out, tally)
    if sys.stderr.isatty() and not out.isatty():
        steps = show.progress(steps, source.count())
    for _ in steps:
        pass
    typer.echo(tally, err=True)
