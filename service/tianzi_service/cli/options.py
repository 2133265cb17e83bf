"""What several commands share: their options."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

if TYPE_CHECKING:
    from tianzi import Client
    from tianzi_service.settings import Settings

ADDRESS = "localhost:50051"
"""tianzi.calls.DEFAULT_ADDRESS, whose import would take longer than all else that --help needs."""
TIMEOUT_S = 10.0
HELP = {"help_option_names": ["-h", "--help"]}

TlsOption: TypeAlias = Annotated[bool, typer.Option("--tls", help="The server speaks TLS.")]
CaOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", metavar="FILE", help="Who may have signed its certificate.", show_default="public authorities"
    ),
]
CertificateOption: TypeAlias = Annotated[
    Path | None, typer.Option("--tls-certificate", metavar="FILE", help="My certificate, for a server that asks.")
]
KeyOption: TypeAlias = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="Its key.")]
ServerNameOption: TypeAlias = Annotated[
    str | None,
    typer.Option("--tls-server-name", metavar="NAME", help="The certificate's name, if it is not the address's."),
]
TokenFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--token-file", metavar="FILE", help="Holds the token that the server knows me by, on its first line."
    ),
]
AddressOption: TypeAlias = Annotated[str, typer.Option("--address", metavar="HOST:PORT", help="The server to ask.")]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
LocalOption: TypeAlias = Annotated[
    bool, typer.Option("--local", help="Ask no server: load the model into this process.")
]
AllowedOption: TypeAlias = Annotated[
    str,
    typer.Option(
        "--allowed",
        metavar="SET",
        help="What may be answered: characters, or digits, uppercase, lowercase, letters, hanzi, punctuation, plate; "
        "several with commas between.",
        show_default="everything",
    ),
]
EncodingOption: TypeAlias = Annotated[
    str, typer.Option("--encoding", metavar="NAME", help="Of texts, gbk or utf-16 say.", show_default="utf-8")
]
TopKOption: TypeAlias = Annotated[int, typer.Option("--top-k", min=1, metavar="K", help="Candidates to give.")]


def allowed_set(text: str) -> list[str]:
    """The parts of --allowed."""
    return [part for part in text.split(",") if part]


class CommandError(Exception):
    """Ends a command with this one line."""


@dataclass(frozen=True)
class Connection:
    """Where a server is, and how to reach it; address is empty where none is to be asked."""

    address: str
    tls: bool = False
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    server_name: str | None = None
    token_file: Path | None = None

    def client(self, timeout_s: float) -> "Client":
        """Raises OSError where a file cannot be read, CommandError where the files make no sense together."""
        from tianzi import TLS, Client

        tls = TLS(self.ca, self.certificate, self.key, self.server_name)
        token = self.token_file.read_text(encoding="utf-8").split()[:1] if self.token_file else []
        if self.token_file and not token:
            raise CommandError(f"{self.token_file}: holds no token")
        try:
            return Client(self.address, timeout=timeout_s, token="".join(token), tls=tls if self.wants_tls else False)
        except ValueError as error:
            raise CommandError(f"--tls-certificate and --tls-key: {error}") from None

    @property
    def wants_tls(self) -> bool:
        return self.tls or any((self.ca, self.certificate, self.key, self.server_name))


DEFAULT_SERVER, NO_SERVER = Connection(ADDRESS), Connection("")


def connects(command: Callable[..., None], address: Any = AddressOption) -> Callable[..., None]:
    """Turns a command's parameter `connection` into options: the address, and how to reach what is there.

    address: the kind of the option --address.
    """
    kinds = {
        "address": address,
        "tls": TlsOption,
        "ca": CaOption,
        "certificate": CertificateOption,
        "key": KeyOption,
        "server_name": ServerNameOption,
        "token_file": TokenFileOption,
    }
    return expands(command, "connection", kinds)


def expands(command: Callable[..., None], parameter: str, kinds: Mapping[str, Any]) -> Callable[..., None]:
    """Turns a command's parameter, a dataclass with a default, into an option for each of its fields.

    kinds: of the options, by the fields' names.
    """
    default = inspect.signature(command).parameters[parameter].default

    @functools.wraps(command)
    def expanded(**given: Any) -> None:
        value = type(default)(**{name: given.pop(name) for name in kinds})
        command(**given, **{parameter: value})

    parameters: list[inspect.Parameter] = []
    for known in inspect.signature(command).parameters.values():
        if known.name == parameter:
            parameters += [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=getattr(default, name), annotation=kind)
                for name, kind in kinds.items()
            ]
        else:
            parameters.append(known.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {known.name: known.annotation for known in parameters}
    return expanded


def read_settings(**given: Any) -> "Settings":
    """Settings from the environment; what is given, and not None, wins.

    Raises:
        typer.BadParameter: a value is wrong; the message names each, and where it may come from.
    """
    from pydantic import ValidationError

    from tianzi_service.settings import PREFIX, Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = []
        for problem in error.errors():
            names = [f"--{name.replace('_', '-')} or {PREFIX}{name.upper()}" for name in map(str, problem["loc"])]
            problems.append(": ".join([*names, problem["msg"].removeprefix("Value error, ")]))
        raise typer.BadParameter("; ".join(problems)) from None
