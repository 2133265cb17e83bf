"""Local: the models in this process, asked as a server is. Their code and bundles are tianzi-server's."""

import os
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

from tianzi.blocking import Blocking
from tianzi.calls import Call, Row, Task
from tianzi.errors import Closed, TianziError, Unavailable
from tianzi.interface import documented
from tianzi.types import Reading, ServerInfo

Result = TypeVar("Result")

ENGINE = "tianzi_service.score.local"
"""The module with Engine, of a package that a client does not have: looked up when a Local is made."""


class LocalEngine(Protocol):
    """What Local has its calls answered by."""

    def one(self, task: Task, call: Call[Result]) -> Result: ...
    def row(self, row: Row) -> Reading: ...
    def many(
        self, task: Task, make_call: Callable[[Any], Call[Result]], items: Iterable[Any]
    ) -> Iterator[Result | TianziError]: ...
    def info(self) -> ServerInfo: ...


@documented
class Local(Blocking):
    """The models in this process, for any number of threads: no server, no network. Every method raises TianziError's
    subclasses.

    A model is loaded, in about a second, when it is first asked. A process that is forked, or that a Local is sent to,
    loads its own.

    >>> from tianzi import Local
    >>> Local().recognize("填.png").text  # doctest: +SKIP
    '填'
    """

    def __init__(
        self,
        *,
        bundle_root: str | os.PathLike[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        engine: LocalEngine | None = None,
    ) -> None:
        """Loads nothing yet.

        bundle_root: a folder with ocr/1 and cloze/1; None for $BUNDLE_ROOT, else the bundles that came along.
        device: auto, cpu or cuda. threads: of a run, and that decode; None for the cores granted to this process.
        engine: what answers instead of one that these make.

        Raises:
            Unavailable: tianzi-server is not installed.
            InvalidInput: device or threads is none.
        """
        self._closed = False
        self._engine = engine or _make_engine(bundle_root=bundle_root, device=device, threads=threads)

    def info(self) -> ServerInfo:
        return self._open().info()

    def health(self, service: str = "") -> bool:
        return not self._closed

    def close(self) -> None:
        self._closed = True
        self._engine = cast(LocalEngine, None)  # the models go when nobody has them any more

    def _one(self, task: Task, call: Call[Result]) -> Result:
        return self._open().one(task, call)

    def _row(self, row: Row) -> Reading:
        return self._open().row(row)

    def _many(
        self, task: Task, make_call: Callable[[Any], Call[Result]], items: Iterable[Any], window: int
    ) -> Iterator[Result | TianziError]:
        return self._open().many(task, make_call, items)

    def _open(self) -> LocalEngine:
        engine = self._engine
        if self._closed:
            raise Closed("this Local was closed")
        return engine


def _make_engine(**options: Any) -> LocalEngine:
    try:
        module = import_module(ENGINE)
    except ModuleNotFoundError as error:
        lacking = str(error.name)
        raise Unavailable(
            f"Local needs the models and their runtime ({lacking} is missing): pip install 'tianzi[local]'"
        ) from error
    return cast(LocalEngine, module.Engine(**options))
