"""The command line. What a command needs is imported when it runs: --help and completion stay quick."""

import io
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tianzi_service.cli import ask, bundles, score, serve
from tianzi_service.cli.options import HELP, CommandError

NO_RUNTIME = 'onnxruntime is missing: pip install "tianzi-server[cpu]", or "tianzi-server[gpu]" for an NVIDIA GPU'


class Commands(TyperGroup):
    """Turns what a user can act on into one line on stderr and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # as of `| head`; typer ends without a word
            raise
        except ModuleNotFoundError as error:
            if error.name != "onnxruntime":
                raise
            typer.echo(f"error: {NO_RUNTIME}", err=True)
            raise typer.Exit(1) from error
        except Exception as error:
            from tianzi import TianziError as ClientError
            from tianzi_models.errors import TianziError as ModelError

            if not isinstance(error, ModelError | ClientError | CommandError | OSError):
                raise
            typer.echo(f"error: {_line(error)}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    name="tianzi",
    cls=Commands,
    help="填字: recognises a Chinese character in an image, fills the blank in a Chinese text.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.command(**serve.PASS_ON)(serve.serve)
app.command()(ask.recognize)
app.command()(ask.read)
app.command()(ask.fill)
app.command()(ask.health)
app.command()(ask.info)
app.add_typer(bundles.app, name="models")
app.add_typer(score.app, name="score")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """What comes before a command."""
    if version:
        from tianzi import __version__

        typer.echo(__version__)
        raise typer.Exit


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def main() -> None:
    """The command `tianzi`."""
    for stream in (sys.stdout, sys.stderr):
        _escape_unencodable(stream)
    app(prog_name="tianzi")


def _escape_unencodable(stream: Any) -> None:
    """Files and pipes get UTF-8 unless PYTHONIOENCODING says otherwise; what an encoding lacks is escaped."""
    if isinstance(stream, io.TextIOWrapper):
        plain = not stream.isatty() and not os.environ.get("PYTHONIOENCODING")
        stream.reconfigure(encoding="utf-8" if plain else None, errors="backslashreplace")
