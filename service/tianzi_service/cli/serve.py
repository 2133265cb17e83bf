"""tianzi serve: one option for each field of Settings."""

import inspect
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from tianzi_service.cli.options import HELP, read_settings

PASS_ON: dict[str, Any] = {
    "add_help_option": False,
    "context_settings": {"ignore_unknown_options": True, "allow_extra_args": True},
}
"""How this command is registered: it reads no argument itself."""


def serve(ctx: typer.Context) -> None:
    """Serve both models over gRPC until SIGTERM or Ctrl-C."""
    # Settings take longer to import than all else here, so a second command with their options is made only now.
    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    command.command(context_settings=HELP)(_with_options(_serve))
    command(ctx.args, prog_name=ctx.command_path)


def _serve(**given: Any) -> None:
    """Serve both models over gRPC until SIGTERM or Ctrl-C.

    Each option can be set by the environment, too: --batch-rows by TIANZI_BATCH_ROWS.
    """
    from tianzi_service.lifecycle import server, supervisor

    settings = read_settings(**given)
    (server if settings.workers == 1 else supervisor).run(settings)


def _with_options(function: Any) -> Any:
    """Gives the function a keyword for each setting; None, where not given, leaves it to the environment."""
    from tianzi_service.settings import Settings

    parameters = []
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        flag = field.annotation is bool
        option = typer.Option(
            help=f"{field.description} [default: {'unset' if default is None else default}]",
            metavar=None if flag else _metavar(field.annotation),
        )
        # Text is parsed and checked by Settings, in one place for options and environment.
        kind: Any = bool | None if flag else str | None
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, option])
        )
    function.__signature__ = inspect.Signature(parameters)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return function


def _metavar(annotation: Any) -> str:
    if get_origin(annotation) is Literal:
        return "|".join(get_args(annotation))
    return {int: "NUMBER", float: "SECONDS"}.get(annotation, "TEXT")
