"""tianzi recognize, read, fill, health and info: what a server is asked."""

import os
import re
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
    EncodingOption,
    JsonOption,
    LocalOption,
    TopKOption,
    allowed_set,
    connects,
)
from tianzi_service.cli.reach import engine, server

FILE_NAME = re.compile(r"(\.{0,2}/|~/)?[^\s，。！？；：“”]{1,255}\.(txt|text|md|csv|tsv|json|jsonl|html?|docx?|pdf)")
"""What is hardly a text, but the name of a file."""


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

    images = (sys.stdin.buffer.read() if file == "-" else file for file in files)
    failed = False
    with engine(connection, local) as asked:
        for file, result in zip(
            files, asked.recognize_many(images, top_k=top_k, allowed=allowed_set(allowed)), strict=True
        ):
            failed |= isinstance(result, TianziError)
            if as_json:
                said = {"error": str(result)} if isinstance(result, TianziError) else show.as_json(result)
                show.json_line({"id": file, **said})
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
    show.json_line(show.as_json(reading)) if as_json else show.reading(files, reading)


@connects
def fill(
    text: Annotated[str, typer.Argument(metavar="TEXT|FILE", help="A text with ____ for each blank; - is stdin.")],
    query: Annotated[
        str, typer.Option(metavar="TEXT", help="A separate sentence that holds the blank.", show_default="none")
    ] = "",
    candidates: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="Words to choose among, with commas, 、, ;, | or else spaces between, or a JSON list.",
            show_default="those of --source",
        ),
    ] = "",
    source: Annotated[
        str, typer.Option(metavar="any|text", help="Any word, or words that stand in the text alone.")
    ] = "any",
    each_once: Annotated[bool, typer.Option("--each-once", help="Use each of the candidates once at most.")] = False,
    marker: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="What stands for a blank besides XXXXX, ____, [MASK] and （ ）.", show_default="none"
        ),
    ] = "",
    top_k: TopKOption = DEFAULT_TOP_K,
    encoding: EncodingOption = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show the text with its words shaded by how likely each is.")
    ] = False,
    connection: Connection = DEFAULT_SERVER,
    local: LocalOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fill the blanks of a text."""
    from tianzi.convert import split_words
    from tianzi_service.cli import show
    from tianzi_service.cli.explain import TOP_K, explanation

    words = split_words(candidates)
    document = _read(text, encoding)
    with engine(connection, local) as asked:
        filling = asked.fill(
            document,
            query=query,
            marker=marker,
            candidates=words,
            top_k=max(top_k, TOP_K) if explain else top_k,
            source=source,
            each_once=each_once,
        )
    if as_json:
        show.json_line(show.as_json(filling))
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


def _read(text: str, encoding: str) -> str:
    """The text itself, or what the file of that name holds."""
    from tianzi.images import require_regular
    from tianzi_service.score.input.encodings import decode, find_encoding

    if text == "-":
        return decode(sys.stdin.buffer.read(), find_encoding(encoding), "standard input")
    if not os.path.exists(text):  # Path.exists raises where a text is too long for a name
        if FILE_NAME.fullmatch(text) and "__" not in text:
            raise CommandError(f"{text}: there is no such file")
        return text
    require_regular(text, "TEXT")
    if os.path.isdir(text):
        raise CommandError(f"{text}: is a folder, must be a text or a file; `tianzi score` answers many")
    return decode(Path(text).read_bytes(), find_encoding(encoding), text)
