"""Model: the triple preprocess → run → postprocess that the service batches in its middle."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeVar

from tianzi_models.bundle import Bundle
from tianzi_models.runtime import Session

Request = TypeVar("Request")
Item = TypeVar("Item")
Output = TypeVar("Output")
Answer = TypeVar("Answer")


class Model(ABC, Generic[Request, Item, Output, Answer]):
    """A bundle with the code that turns requests into its tensors and its tensors into answers.

    preprocess and postprocess are pure and thread-safe; run is called by one thread at a time and
    gives each item the result that it would get alone.
    """

    name: str
    """Folder under the bundle root: "ocr" or "cloze"."""
    contract: int
    """Raised when preprocessing or postprocessing changes meaning; a bundle names the one it needs."""
    bucketed: bool = False
    """Whether a run's inputs vary in their first dimension only and may have more rows of zeros there; see Buckets."""
    run_share: float = 1.0
    """Of a server's threads, how many a run has: fewer than all where preprocessing goes on meanwhile."""
    costs_tokens: bool = False
    """Whether an item costs a run its tokens, else 1; see cost."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.bundle = bundle
        self.session = session

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """How many characters or words can be answered."""

    @property
    def is_brief(self) -> bool:
        """Whether a run over one item is over in about the time that it takes to hand it to a thread and back."""
        return False

    @abstractmethod
    def preprocess(self, request: Request) -> Item:
        """Checks a request and turns it into what the network reads.

        Raises:
            InvalidInput: the request breaks a rule; the message names field, value and limit.
        """

    def is_quick(self, request: Request) -> bool:
        """Whether preprocessing the request takes less, whatever is in it, than to hand it to a thread and back.

        Told in microseconds, and only of requests whose items cost 1.
        """
        return False

    def cost(self, item: Item) -> int:
        """What the item costs a run, in units of the model's own, at least 1.

        A run costs its number of items times its largest item's cost, for all are padded to that.
        """
        return 1

    @abstractmethod
    def run(self, items: Sequence[Item]) -> list[Output]:
        """Runs the network once over the items, in order.

        Raises:
            InferenceError: the network failed or gave NaN.
        """

    @abstractmethod
    def postprocess(self, item: Item, output: Output) -> Answer:
        """Turns one item's output into an answer with confidences in [0, 1]."""

    @abstractmethod
    def request_from_json(self, data: dict[str, Any]) -> Request:
        """Reads a request as golden.json and JSONL files hold it."""

    @abstractmethod
    def answer_to_json(self, answer: Answer) -> dict[str, Any]:
        """Writes an answer as golden.json and score's output hold it."""

    def answer(self, request: Request) -> Answer:
        """The whole way for one request, as golden replay, evaluation and scripts take it."""
        return next(self.answer_all([request]))

    def answer_all(self, requests: Iterable[Request], batch: int = 1) -> Iterator[Answer]:
        """The same for many, `batch` of them a run, in order."""
        source = iter(requests)
        while part := list(islice(source, batch)):
            items = [self.preprocess(request) for request in part]
            for item, output in zip(items, self.run(items), strict=True):
                yield self.postprocess(item, output)
