"""What Client, AsyncClient and Local have in common: the methods, and what is said of them."""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

from tianzi.errors import TianziError
from tianzi.types import DEFAULT_TOP_K, Document, Filling, ImageSource, Question, Reading, Recognition, ServerInfo

DEFAULT_WINDOW = 64


@runtime_checkable
class Interface(Protocol):
    """Recognises characters and fills blanks: Client by a server, Local in this process.

    Every method raises TianziError's subclasses. Any number of threads may call at the same time.
    """

    def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition:
        """Recognises the character in an image: a path, an open file, encoded bytes, a data URL, a PIL image or a
        uint8 array.

        allowed: what may be answered: characters in one string or several, and names of sets: digits, uppercase,
        lowercase, letters, hanzi, punctuation, plate; empty for everything.
        model_version: the version that must answer, or NotFound is raised; 0 for the newest. So in all methods.
        """

    def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading:
        """Reads a row of images, each of one character, as one text: what an image shows is weighed against how
        characters follow each other. The first bad image fails the row.
        """

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Recognition | TianziError]:
        """Recognises images as they come, one result for each, in their order.

        A bad image's result is the error that recognize() would raise; an error among the images is its own
        result. What no later image would escape (Unavailable, Unauthenticated, NotFound) is raised.
        A server that restarts is waited for, up to the timeout, and asked again for what it has not answered.
        window: images read ahead of the result that is asked for; 1 suits a live source.
        """

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
        """Fills the blanks of a text or of tokens; Question explains the arguments."""

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> Iterator[Filling | TianziError]:
        """Fills the blanks of documents or questions as they come, with results as recognize_many gives them."""

    def info(self) -> ServerInfo:
        """The software's version, the models and the limits."""

    def health(self, service: str = "") -> bool:
        """Whether the whole, or a service such as "tianzi.v1.OcrService", takes requests."""

    def close(self) -> None:
        """Lets go of connections or models. What is called afterwards raises Closed."""


@runtime_checkable
class AsyncInterface(Protocol):
    """Interface for asyncio: the same methods as coroutines and asynchronous iterators."""

    async def recognize(
        self,
        image: ImageSource,
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Recognition: ...

    async def recognize_sequence(
        self,
        images: Iterable[ImageSource],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
    ) -> Reading: ...

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError] | AsyncIterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Recognition | TianziError]: ...

    async def fill(
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
    ) -> Filling: ...

    def fill_many(
        self,
        questions: Iterable[Document | Question | TianziError] | AsyncIterable[Document | Question | TianziError],
        *,
        model_version: int = 0,
        window: int = DEFAULT_WINDOW,
    ) -> AsyncIterator[Filling | TianziError]: ...

    async def info(self) -> ServerInfo: ...

    async def health(self, service: str = "") -> bool: ...

    async def close(self) -> None: ...


Class = TypeVar("Class", bound=type)

METHODS = tuple(name for name in vars(Interface) if not name.startswith("_"))


def documented(cls: Class) -> Class:
    """Gives a class's methods without a docstring that of Interface's method of the same name."""
    for name in METHODS:
        method = vars(cls).get(name)
        if method is not None and not method.__doc__:
            method.__doc__ = getattr(Interface, name).__doc__
    return cls


documented(AsyncInterface)
