"""Scorer: answers a part. The same in this process, in workers beside it, and in Ray's actors."""

import base64
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, TypeVar

from tianzi import InvalidInput, Question, Recognition, TianziError
from tianzi_models.errors import InvalidInput as ModelInvalidInput
from tianzi_models.ocr.image import decode_image
from tianzi_service.score.input import places
from tianzi_service.score.input.entries import Entry, Id, Image, image_of, question_of
from tianzi_service.score.parts import Part
from tianzi_service.score.rows import encode, row
from tianzi_service.score.tally import UNCERTAIN, Result, Tally, Uncertain, confidence, least_certain

T = TypeVar("T")
U = TypeVar("U")

FETCHES = 32
"""Files that are fetched at the same time from URLs: each waits for the network most of its time."""
SHOWN_PX = 96
SHOWN_CHARACTERS = 120
MAX_SHOWN_PX = 1 << 14


@dataclass(frozen=True)
class Job:
    """What is to be done. It goes to other processes and machines as it is.

    engine: opens what answers, a Client or a Local.
    options: of each question, top_k say. kind: of the output, jsonl or parquet.
    shows: whether the least certain items are kept to be shown.
    """

    task: str
    engine: Callable[[], AbstractContextManager[Any]]
    options: dict[str, Any] = field(default_factory=dict)
    kind: str = "jsonl"
    shows: bool = False


class Scored(NamedTuple):
    """A part's answers. data: its rows, encoded."""

    number: int
    digest: str
    data: bytes
    tally: Tally


class Scorer:
    """Answers parts, one after the other. with Scorer(job) as score: score(part)"""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._stack = ExitStack()
        self._engine: Any = None

    def __enter__(self) -> "Scorer":
        self._engine = self._stack.enter_context(self._job.engine())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._stack.__exit__(kind, error, trace)

    def __call__(self, part: Part) -> Scored:
        """Raises: what engine raises when it cannot go on: that no server answers, or that a model cannot be loaded."""
        tally = Tally()
        rows = []
        unsure: list[tuple[float, int, Result]] = []
        refused: list[tuple[float, int, Result]] = []
        for number, (name, result) in enumerate(self._answers(part.entries)):
            rows.append(row(name, result))
            tally.add(str(name), result)
            if not self._job.shows or isinstance(result, TianziError):
                continue
            if isinstance(result, Recognition) and result.rejected:
                refused.append((confidence(result), number, result))
            elif confidence(result) <= part.worst:
                unsure.append((confidence(result), number, result))

        def least(found: list[tuple[float, int, Result]]) -> list[Uncertain]:
            found.sort(key=lambda item: (item[0], str(rows[item[1]]["id"])))
            shown = [self._uncertain(part.entries[number], result) for _, number, result in found[:UNCERTAIN]]
            return least_certain(shown)

        tally.uncertain, tally.refused = least(unsure), least(refused)
        return Scored(part.number, part.digest, encode(rows, self._job.kind, self._job.task), tally)

    def _answers(self, entries: Sequence[Entry]) -> Iterator[tuple[Id, Result]]:
        ids: deque[Id] = deque()

        def items(named: Iterable[tuple[Id, T]]) -> Iterator[T]:
            for name, item in named:
                ids.append(name)
                yield item

        if self._job.task == "ocr":
            images = items(_fetched(map(image_of, entries)))
            results = self._engine.recognize_many(images, **self._job.options)
        else:
            results = self._engine.fill_many(items(question_of(entry, **self._job.options) for entry in entries))
        for result in results:
            yield ids.popleft(), result

    def _uncertain(self, entry: Entry, result: Any) -> Uncertain:
        answers = result.candidates if isinstance(result, Recognition) else result.blanks[0].candidates
        texts = " ".join(answer.text for answer in answers[:3])
        if self._job.task == "ocr":
            name, image = image_of(entry)
            return Uncertain(confidence(result), str(name), texts, picture=_thumbnail(image))
        name, question = question_of(entry)
        return Uncertain(confidence(result), str(name), texts, text=_excerpt(question))


def _fetched(named: Iterable[tuple[Id, Image | TianziError]]) -> Iterator[tuple[Id, Image | TianziError]]:
    """The same, with the files of URLs fetched, several at a time."""
    pool: ThreadPoolExecutor | None = None
    waiting: deque[tuple[Id, Image | TianziError | Future[Image | TianziError]]] = deque()
    with ExitStack() as stack:
        for name, image in named:
            if isinstance(image, str) and places.is_url(image):
                pool = pool or stack.enter_context(ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch"))
                waiting.append((name, pool.submit(_fetch, image)))
            elif waiting:
                waiting.append((name, image))
            else:
                yield name, image
            if len(waiting) > 2 * FETCHES:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())


def _done(name: Id, image: Any) -> tuple[Id, Image | TianziError]:
    return name, image.result() if isinstance(image, Future) else image


def _fetch(url: str) -> Image | TianziError:
    try:
        return places.fetch(url)
    except InvalidInput as error:
        return InvalidInput(f"image: {error}", field="image")


def _thumbnail(image: Image | TianziError) -> str:
    """A small PNG in base64, empty where the image cannot be had any more."""
    from PIL import Image as Pillow

    try:
        if isinstance(image, str):
            image = places.fetch(image) if places.is_url(image) else _read(image)
        if isinstance(image, TianziError):
            return ""
        picture = Pillow.fromarray(decode_image(image, MAX_SHOWN_PX))
    except (OSError, TianziError, ModelInvalidInput):
        return ""
    picture.thumbnail((SHOWN_PX, SHOWN_PX))
    out = io.BytesIO()
    picture.save(out, "PNG", optimize=True)
    return base64.b64encode(out.getvalue()).decode()


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _excerpt(question: Question | TianziError) -> str:
    if isinstance(question, TianziError):
        return ""
    text = question.query or question.document
    text = text if isinstance(text, str) else "".join(text)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
