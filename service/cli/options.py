"""What several commands share: their options, and what they ask: a server, or the models in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from tianzi import Client

    from service.local import Local
    from service.settings import Settings

ADDRESS = "localhost:50051"
"""tianzi.calls.DEFAULT_ADDRESS, whose import would take longer than all else that --help needs."""
TIMEOUT_S = 10.0
HELP = {"help_option_names": ["-h", "--help"]}

AddressOption: TypeAlias = Annotated[str, typer.Option("--address", metavar="HOST:PORT", help="The server to ask.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LocalOption: TypeAlias = Annotated[
    bool, typer.Option("--local", help="Ask no server: load the model into this process.")
]
TopKOption: TypeAlias = Annotated[int, typer.Option("--top-k", min=1, metavar="K", help="Candidates to give.")]


class CommandError(Exception):
    """Ends a command with this one line."""


def read_settings(**given: Any) -> "Settings":
    """Settings from the environment; what is given, and not None, wins.

    Raises:
        typer.BadParameter: a value is wrong; the message names each, and where it may come from.
    """
    from pydantic import ValidationError

    from service.settings import PREFIX, Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            names = [f"--{name.replace('_', '-')} or {PREFIX}{name.upper()}" for name in map(str, problem["loc"])]
            problems.append(": ".join([*names, problem["msg"].removeprefix("Value error, ")]))
        raise typer.BadParameter("; ".join(problems)) from None


@contextmanager
def server(address: str, timeout_s: float = TIMEOUT_S) -> Iterator["Client"]:
    """A client of the server at an address.

    Raises:
        CommandError: none answers; the message says how to start one.
    """
    from tianzi import Client, Unavailable

    with Client(address, timeout=timeout_s) as client:
        try:
            yield client
        except Unavailable as error:
            reason = str(error).rpartition(": ")[2]
            hint = "start one with ./run serve"
            raise CommandError(f"no server answers at {address} ({reason}); {hint}") from error


@contextmanager
def engine(address: str, local: bool) -> Iterator["Client | Local"]:
    """What answers: the models in this process where local, else the server."""
    if local:
        from service.local import Local

        yield Local(read_settings())
    else:
        with server(address) as client:
            yield client
