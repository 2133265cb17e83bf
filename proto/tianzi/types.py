"""What goes into a Client and what comes out: plain frozen dataclasses, no protobuf."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias


class BinaryFile(Protocol):
    """A file opened as bytes, or what can be read like one."""

    def read(self, size: int = ..., /) -> bytes: ...


class PillowImage(Protocol):
    """A PIL image."""

    def save(self, fp: Any, /, format: str | None = ..., **options: Any) -> None: ...
    def getexif(self) -> Any: ...


class ArrayLike(Protocol):
    """A NumPy array, or what makes itself into one."""

    def __array__(self) -> Any: ...


ImageSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryFile | PillowImage | ArrayLike
"""A file's path; an encoded file, open, as its bytes or as a data URL; a PIL image; or a uint8 array, (H, W) grey or
(H, W, 3 or 4) RGB(A)."""

Document: TypeAlias = str | Sequence[str]
"""A text, which the server segments, or its tokens."""

Positions: TypeAlias = tuple[tuple[int, int], ...]

DEFAULT_TOP_K = 5


@dataclass(frozen=True)
class Character:
    """One reading of an image, with the model's probability in [0, 1]."""

    text: str
    confidence: float


@dataclass(frozen=True)
class Recognition:
    """What an image shows. candidates: best first. rejected: there is no single readable character in it."""

    candidates: tuple[Character, ...]
    rejected: bool
    model_version: int

    @property
    def best(self) -> Character:
        """The first candidate; a mere guess where rejected."""
        return self.candidates[0]

    @property
    def text(self) -> str:
        """The character, or "" where rejected."""
        return "" if self.rejected else self.best.text


@dataclass(frozen=True)
class Reading:
    """A row of images as one text. text: a character an image. characters: what each image shows by itself."""

    text: str
    characters: tuple[Recognition, ...]
    model_version: int


@dataclass(frozen=True)
class Question:
    """A document with one blank or several; fill() takes the same as arguments.

    query: a separate sentence that holds the blank; of the same kind as document, empty for none.
    marker: what stands for a blank besides XXXXX, ____, [MASK] and （ ）.
    candidates: words to choose among; empty for the words of source.
    top_k: candidates wanted for each blank.
    source: "any" for words of the document and of the model's lexicon, "text" for words of the document alone.
    each_once: each candidate fills one blank at most.
    """

    document: Document
    query: Document = ""
    marker: str = ""
    candidates: Sequence[str] = ()
    top_k: int = DEFAULT_TOP_K
    source: str = "any"
    each_once: bool = False


@dataclass(frozen=True)
class Word:
    """A word for a blank, with the model's probability in [0, 1].

    positions: where it stands in the document, as [start, end) in characters of a text or in tokens.
    source: "text" where it stands in the document, else "candidates" where it was given, else "lexicon".
    label: the letter or number of an option, "" for none.
    """

    text: str
    confidence: float
    positions: Positions
    source: str = "text"
    label: str = ""


@dataclass(frozen=True)
class Blank:
    """One blank. candidates: best first. position: its [start, end) in the document, or in the query where in_query.
    rejected: nothing that was chosen among fits. label: the number that the text gives it, "" for none."""

    candidates: tuple[Word, ...]
    position: tuple[int, int]
    in_query: bool
    rejected: bool = False
    label: str = ""

    @property
    def best(self) -> Word:
        """The first candidate."""
        return self.candidates[0]


@dataclass(frozen=True)
class Filling:
    """The blanks of a document in reading order, those of the query after those of the document."""

    blanks: tuple[Blank, ...]
    model_version: int
    question: Question = field(repr=False)

    @property
    def best(self) -> tuple[str, ...]:
        """The best word for each blank."""
        return tuple(blank.best.text for blank in self.blanks)

    @property
    def text(self) -> str:
        """The document with its blanks filled; tokens are joined without spaces."""
        return self._filled(self.question.document, in_query=False)

    @property
    def query(self) -> str:
        """The query with its blanks filled, "" where there is none."""
        return self._filled(self.question.query, in_query=True)

    def _filled(self, document: Document, in_query: bool) -> str:
        parts = list(document)
        for blank in reversed(self.blanks):  # from the end, so that earlier positions stay true
            if blank.in_query == in_query:
                parts[slice(*blank.position)] = [blank.best.text]
        return "".join(parts)


@dataclass(frozen=True)
class ModelInfo:
    """A model that the server has loaded. provider: what runs it, CPUExecutionProvider say."""

    name: str
    version: int
    provider: str
    max_top_k: int
    vocabulary_size: int
    graph_bytes: int


@dataclass(frozen=True)
class Limits:
    """What the server accepts in one request."""

    max_message_bytes: int
    max_batch_items: int
    max_image_side_px: int
    max_characters: int
    max_blanks: int
    max_candidates: int


@dataclass(frozen=True)
class ServerInfo:
    """A server's version, models and limits."""

    version: str
    models: tuple[ModelInfo, ...]
    limits: Limits
