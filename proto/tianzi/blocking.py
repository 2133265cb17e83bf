"""Interface's methods for ordinary code, on top of three ways to ask."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from tianzi import calls
from tianzi.calls import Call, Row, Task
from tianzi.errors import TianziError
from tianzi.interface import DEFAULT_WINDOW, Interface, documented
from tianzi.types import DEFAULT_TOP_K, Document, Filling, ImageSource, Question, Reading, Recognition

Result = TypeVar("Result")


@documented
class Blocking(Interface):
    """What Client and Local do alike."""

    @abstractmethod
    def _one(self, task: Task, call: Call[Result]) -> Result:
        """Asks once. Raises: TianziError."""

    @abstractmethod
    def _row(self, row: Row) -> Reading:
        """Has a row of images read. Raises: TianziError."""

    @abstractmethod
    def _many(
        self, task: Task, make_call: Callable[[Any], Call[Result]], items: Iterable[Any], window: int
    ) -> Iterator[Result | TianziError]:
        """Asks for each item, with results in their order. make_call: raises InvalidInput."""

    def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition:
        return self._one("ocr", calls.recognize_call(image, top_k, allowed, model_version))

    def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading:
        return self._row(calls.sequence_call(images, top_k, allowed, model_version))

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Recognition | TianziError]:
        make = partial(calls.recognize_call, top_k=top_k, allowed=allowed, model_version=model_version)
        return self._many("ocr", make, calls.several("images", images), window)

    def fill(
        self,
        document: Document,
        *,
        query: Document = "",
        marker: str = "",
        candidates: Sequence[str] = (),
        top_k: int = DEFAULT_TOP_K,
        source: str = "any",
        each_once: bool = False,
        model_version: int = 0,
    ) -> Filling:
        question = Question(document, query, marker, candidates, top_k, source, each_once)
        return self._one("cloze", calls.fill_call(question, model_version))

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Filling | TianziError]:
        make = partial(calls.fill_call, model_version=model_version)
        return self._many("cloze", make, calls.several("questions", questions), window)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
