"""tianzi score: a file or folder of items in, one row for each out."""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias

import typer

from tianzi_models.cloze.types import DEFAULT_TOP_K
from tianzi_service.cli.options import (
    NO_SERVER,
    AllowedOption,
    CommandError,
    Connection,
    EncodingOption,
    TopKOption,
    allowed_set,
    connects,
    expands,
    read_settings,
)
from tianzi_service.cli.reach import server

if TYPE_CHECKING:
    from tianzi import Interface
    from tianzi_service.score.parts import Shard
    from tianzi_service.score.run import Run
    from tianzi_service.settings import Settings

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Answer whole files, millions of items say.")

TIMEOUT_S = 120.0
"""A queue full of others' items holds one up for longer than a person would wait."""

SourceArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="INPUT", help="A file or folder, a pattern in quotes, or a URL; see above.")
]
OutputArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="OUTPUT", help="A .jsonl or .parquet to write; NAME/ keeps parts; - is stdout.")
]
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
    typer.Option(
        "--threads", metavar="NUMBER", help="Threads of each worker.", show_default="the cores granted to us, shared"
    ),
]
KINDS = {
    "engine": Annotated[
        Literal["local", "ray"], typer.Option(help="ray: a Ray cluster, at --address if it is not on this machine.")
    ],
    "workers": Annotated[int, typer.Option(min=1, metavar="N", help="Processes that answer.")],
    "shard": Annotated[str, typer.Option(metavar="I/N", help="Take every Nth item, from the Ith: 1/N to N/N.")],
    "resume": Annotated[bool, typer.Option("--resume", help="Go on with a run that ended early.")],
    "overwrite": Annotated[bool, typer.Option("--overwrite", help="Replace an OUTPUT that exists.")],
    "format": Annotated[
        Literal["jsonl", "parquet"] | None, typer.Option(help="Of OUTPUT.", show_default="by its name, else jsonl")
    ],
    "encoding": EncodingOption,
    "report": Annotated[
        Path | None, typer.Option(metavar="FILE", help="HTML to write: histograms, errors, the least certain items.")
    ],
    "part_items": Annotated[
        int, typer.Option(min=1, metavar="N", help="Items that are kept, or done again after a kill, together.")
    ],
}


@dataclass(frozen=True)
class How:
    """How a run is done, whatever it is that is asked."""

    engine: Literal["local", "ray"] = "local"
    workers: int = 1
    shard: str = "1/1"
    resume: bool = False
    overwrite: bool = False
    format: Literal["jsonl", "parquet"] | None = None
    encoding: str = ""
    report: Path | None = None
    part_items: int = 1024


PLAINLY = How()


def scores(command: Callable[..., None]) -> Callable[..., None]:
    """Turns the parameters `connection` and `how` into their options."""
    return connects(expands(command, "how", KINDS), address=AddressOption)


@app.command()
@scores
def ocr(
    source: SourceArgument,
    output: OutputArgument,
    top_k: TopKOption = DEFAULT_TOP_K,
    allowed: AllowedOption = "",
    connection: Connection = NO_SERVER,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    how: How = PLAINLY,
) -> None:
    """Recognise the images of a folder or tar, or of a file's rows.

    INPUT is a folder or .tar (WebDataset) of images, or a .jsonl, .csv or .parquet whose rows have `path`, or `image`
    in base64, or in Parquet `bytes`; and maybe `id`. A row of OUTPUT is {"id", "candidates": [{"text", "confidence"}],
    "rejected"} or {"id", "error"}, in order, its id the row's, else the path, else the row's number.
    """
    options = {"top_k": top_k, "allowed": allowed_set(allowed)}
    _score("ocr", source, output, options, _means(connection, device, threads, how), how)


@app.command()
@scores
def cloze(
    source: SourceArgument,
    output: OutputArgument,
    top_k: TopKOption = DEFAULT_TOP_K,
    connection: Connection = NO_SERVER,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    how: How = PLAINLY,
) -> None:
    """Fill the blanks of a file's rows.

    INPUT is a .doc_query (CMRC), a .tar of .txt or .json, or a .jsonl, .csv or .parquet whose rows have `text` or
    `tokens`; and maybe `query`, `candidates`, `marker`, `id`. A row of OUTPUT is {"id", "candidates": [{"text",
    "confidence"}]} or {"id", "error"}, in order, its id the question's or row's, else the row's number; where there are
    several blanks, "blanks" has the candidates of each.
    """
    _score("cloze", source, output, {"top_k": top_k}, _means(connection, device, threads, how), how)


def _score(task: str, place: str, output: str, options: dict[str, Any], means: "Means", how: How) -> None:
    """options: of each question."""
    from tianzi_service.score.input.encodings import find_encoding
    from tianzi_service.score.input.sources import open_source
    from tianzi_service.score.run import Run, Target
    from tianzi_service.score.scorer import Job

    target = Target.of(output)
    if target.path.exists() and Path(place).exists() and target.path.samefile(place):
        raise CommandError(f"{target.path}: INPUT and OUTPUT are the same file")
    encoding = find_encoding(how.encoding)
    source = open_source(task, place, encoding)
    target.check(how.resume, how.overwrite)
    if how.report and not how.report.parent.is_dir():
        raise CommandError(f"{how.report}: there is no folder {how.report.parent}")
    if how.resume and target.complete:
        typer.echo(f"{target.path}: is complete", err=True)
        return
    kind = how.format or target.kind
    header: dict[str, Any] = {"input": place if "://" in place else str(Path(place).absolute())}
    header |= {"encoding": encoding} if how.encoding else {}
    job = Job(task, means.engine, options, kind, shows=how.report is not None)
    with _ended_by_sigterm():
        _do(Run(source, job, target, header, _shard(how.shard), how.part_items, how.resume), means.answers, how)


def _do(run: "Run", answers: Any, how: How) -> None:
    from tianzi_service.score.input.sources import shown
    from tianzi_service.score.output import write_whole
    from tianzi_service.score.report import page

    began = time.perf_counter()
    try:
        with _progress(run) as advance:
            outcome = run.to(answers, advance)
    except BaseException:
        if run.target.unfinished:
            typer.echo(f"{run.target.parts} keeps what is done; --resume goes on with it", err=True)
        raise
    seconds = time.perf_counter() - began
    if how.report:
        write_whole(how.report, page(outcome.tally, run.facts(), seconds))
    tally = outcome.tally
    first, *others = tally.lines()
    rate = (tally.items - outcome.earlier) / max(seconds, 1e-9)
    if left_out := run.source.left_out():
        others.append(f"left out: {shown(left_out)}")
    typer.echo("\n".join([f"{first}, {rate:.1f} items/s", *others]), err=True)
    if not tally.items and run.shard.count == 1:
        raise CommandError(f"{run.header['input']}: holds no item")
    if tally.items and tally.failed == tally.items:
        raise CommandError("not one item could be answered")


@contextmanager
def _progress(run: "Run") -> Iterator[Callable[[int], None]]:
    """Shown on a terminal that the rows themselves do not go to."""
    if not sys.stderr.isatty() or (run.target.stream and sys.stdout.isatty()):
        yield lambda _: None
        return
    from tianzi_service.cli import show

    total = run.source.count()
    with show.progress(None if total is None else run.shard.size(total)) as advance:
        yield advance


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as an exception, so that nothing half-written stays."""
    previous = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _shard(given: str) -> "Shard":
    from tianzi_service.score.parts import Shard

    number, slash, count = given.partition("/")
    if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
        return Shard(int(number), int(count))
    raise typer.BadParameter(f"{given!r}, must be I/N with I from 1 to N", param_hint="--shard")


class Means(NamedTuple):
    """What a run is done with: what opens an engine, and what has parts answered by engines."""

    engine: Callable[[], Any]
    answers: Callable[..., Any]


def _means(connection: Connection, device: str | None, threads: str | None, how: How) -> Means:
    """Workers share the cores of this machine; those of a cluster take one each."""
    settings = read_settings(device=device, threads=threads)
    if how.engine == "ray":
        from tianzi_service.score import ray_engine

        settings = settings if threads else settings.model_copy(update={"threads": 1})
        answers = partial(ray_engine.answers, workers=how.workers, threads=settings.threads, address=connection.address)
        return Means(partial(engine, NO_SERVER, settings), answers)
    from tianzi_service.score import workers

    if threads is None and how.workers > 1:
        settings = settings.model_copy(update={"threads": max(1, settings.threads // how.workers)})
    return Means(partial(engine, connection, settings), partial(workers.answers, workers=how.workers))


@contextmanager
def engine(connection: Connection, settings: "Settings") -> Iterator["Interface"]:
    """What answers, opened in the process that asks it."""
    if connection.address:
        with server(connection, TIMEOUT_S) as client:
            yield client
    else:
        from tianzi_service.score.local import local

        with local(settings) as models:
            yield models
