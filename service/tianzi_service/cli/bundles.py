"""tianzi models: what is known of bundles without a server."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from tianzi_service.cli.options import JsonOption

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after model bundles.")


@app.callback()
def _group() -> None:
    """Keeps `verify` a subcommand while it is the only one."""


@app.command()
def verify(
    root: Annotated[
        Path | None,
        typer.Argument(
            metavar="[ROOT]", help="Folder with ocr/1 and cloze/1.", show_default="the bundles that came along"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the files of every bundle and replay its golden samples."""
    from tianzi_models.bundle import default_root, versions
    from tianzi_models.errors import TianziError
    from tianzi_models.registry import MODELS, load_model
    from tianzi_service.cli import show

    root = root or default_root()
    failed = False
    for name in MODELS:
        there: list[int | None] = [*versions(root, name)]
        for version in there or [None]:  # to say that there is none
            began = time.perf_counter()
            line: dict[str, Any] = {"model": name, "version": version}
            try:
                bundle = load_model(name, root, version, device="cpu").bundle
            except TianziError as error:
                failed = True
                line["error"] = str(error)
            else:
                line["bytes"] = sum(file["bytes"] for file in bundle.manifest["files"].values())
                line["golden"] = len(bundle.golden())
                line["seconds"] = round(time.perf_counter() - began, 2)
            show.json_line(line) if as_json else show.verified(line)
    if failed:
        raise typer.Exit(1)
