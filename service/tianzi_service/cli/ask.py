"""tianzi recognize, read, fill, health and info: what a server is asked."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tianzi_models.cloze.types import DEFAULT_TOP_K
from tianzi_service.cli.options import (
    DEFAULT_SERVER,
    AllowedOption,
    CommandError,
    Connection,
    JsonOption,
    LocalOption,
    TopKOption,
    allowed_set,
    connects,
    engine,
    server,
)


@connects
def recognize(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Images of one character each; - is stdin.")],
    top_k: TopKOption = DEFAULT_TOP_K,
    allowed: AllowedOption = "",
    connection: Connection = DEFAULT_SERVER,
    local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Recognise the character in each image."""
    from tianzi import TianziError
    from tianzi_service.cli import show
    from tianzi_service.score.rows import result_json

    images = (sys.stdin.buffer.read() if file == "-" else file for file in files)
    failed = False
    with engine(connection, local) as asked:
        for file, result in zip(
            files, asked.recognize_many(images, top_k=top_k, allowed=allowed_set(allowed)), strict=True
        ):
            failed |= isinstance(result, TianziError)
            if as_json:
                show.json_line({"id": file, **result_json(result)})
            elif isinstance(result, TianziError):
                typer.echo(f"error: {result}" if file in str(result) else f"error: {file}: {result}", err=True)
            else:
                show.recognition(file, result)
    if failed:
        raise typer.Exit(1)


@connects
def read(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Images of one character each, in order.")],
    top_k: TopKOption = DEFAULT_TOP_K,
    allowed: AllowedOption = "",
    connection: Connection = DEFAULT_SERVER,
    local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Read a row of images as one text."""
    from tianzi_service.cli import show

    with engine(connection, local) as asked:
        reading = asked.recognize_sequence(files, top_k=top_k, allowed=allowed_set(allowed))
    show.json_line(asdict(reading)) if as_json else show.reading(reading)


@connects
def fill(
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="A text with ____ for each blank; - is stdin.")],
    query: Annotated[
        str, typer.Option(metavar="TEXT", help="A separate sentence that holds the blank.", show_default="none")
    ] = "",
    candidates: Annotated[
        str,
        typer.Option(
            metavar="WORDS", help="Words to choose among, with commas between.", show_default="the words of the text"
        ),
    ] = "",
    marker: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="What stands for a blank besides XXXXX, ____, [MASK] and （ ）.", show_default="none"
        ),
    ] = "",
    top_k: TopKOption = DEFAULT_TOP_K,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the text with its words shaded by how likely each is.")
    ] = False,
    connection: Connection = DEFAULT_SERVER,
    local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill the blanks of a text with words that stand in it."""
    from tianzi_service.cli import show
    from tianzi_service.cli.explain import TOP_K, explanation

    words = [word.strip() for word in candidates.replace("，", ",").replace("、", ",").split(",") if word.strip()]
    document = _read(text)
    with engine(connection, local) as asked:
        filling = asked.fill(
            document, query=query, marker=marker, candidates=words, top_k=max(top_k, TOP_K) if explain else top_k
        )
    if as_json:
        show.json_line(show.filling_json(filling))
        return
    show.filling(filling, top_k if explain else None)
    if explain:
        explanation(filling)


@connects
def health(
    service: Annotated[
        str,
        typer.Option(metavar="NAME", help="One service, tianzi.v1.OcrService say.", show_default="the whole server"),
    ] = "",
    connection: Connection = DEFAULT_SERVER,
    as_json: JsonOption = False,
) -> None:
    """Exit with 0 if the server takes requests, else with 1."""
    from tianzi_service.cli import show

    with server(connection) as client:
        serving = client.health(service)
    status = "SERVING" if serving else "NOT_SERVING"
    show.json_line({"status": status}) if as_json else typer.echo(status)
    if not serving:
        raise typer.Exit(1)


@connects
def info(connection: Connection = DEFAULT_SERVER, as_json: JsonOption = False) -> None:
    """Show the server's version, models and limits."""
    from tianzi_service.cli import show

    with server(connection) as client:
        answer = client.info()
    show.json_line(asdict(answer)) if as_json else show.server_info(answer)


def _read(text: str) -> str:
    """The text itself, or what the file of that name holds."""
    if text == "-":
        return sys.stdin.read()
    if not os.path.isfile(text):  # Path.is_file raises where a text is too long for a name
        return text
    try:
        return Path(text).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise CommandError(f"{text}: not UTF-8: byte {error.start}") from error
