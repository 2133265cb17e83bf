"""Observer: what goes on in the pipelines, told to whoever counts it. Nobody does unless the server is told so."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Reason: TypeAlias = Literal["full", "hopeless", "expired", "cancelled", "invalid", "failed", "not_ready"]
"""Why a row ended without an answer.

full: no room in the queue. hopeless: refused because its deadline would have passed before its turn.
expired: its deadline passed while it waited. cancelled: its caller left. invalid: the request was bad.
failed: the network failed on it. not_ready: the engine is lost, or the server stops.
"""


Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]
"""What a caller sends along with a call."""


@dataclass(slots=True)
class Timing:
    """Where the time of one row went, in seconds. Inference and postprocessing are those of its whole batch."""

    queue_s: float = 0.0
    preprocess_s: float = 0.0
    inference_s: float = 0.0
    postprocess_s: float = 0.0


class Observer:
    """Looks away; those who count override what they want. The methods must be quick and must not raise.

    model and version name the bundle.
    """

    def loaded(self, model: str, version: int, provider: str) -> None:
        """A version of a model answers from now on. provider: onnxruntime's, which runs it."""

    def unloaded(self, model: str, version: int, provider: str) -> None:
        """The same version answers no longer."""

    def serving(self, yes: bool) -> None:
        """The server as a whole answers calls from now on, or no longer: it drains, or an engine is lost."""

    def call_began(self, method: str, metadata: Metadata) -> None:
        """A call came in. method: "/tianzi.v1.OcrService/Recognize", or "POST /v1/recognize".

        Called in the task that answers it.
        """

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """The same call ended. code: a gRPC code's name. Called in the task that called call_began."""

    def under_way(self, model: str, rows: int, size_bytes: int) -> None:
        """So many rows of a model, and bytes of requests, are now between admission and answer."""

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        """The network ran over so many rows, well or not. Called where it ran: in the engine's thread or the loop's."""

    def answered(self, model: str, version: int, timing: Timing) -> None:
        """A row has its answer. Called in the event loop, in the task that asked."""

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        """A row ended without an answer. Called in the event loop, in the task that asked."""


class Several(Observer):
    """Tells several, but not those that look away."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = [observer for observer in observers if observer is not NOBODY]

    def loaded(self, model: str, version: int, provider: str) -> None:
        for observer in self._observers:
            observer.loaded(model, version, provider)

    def unloaded(self, model: str, version: int, provider: str) -> None:
        for observer in self._observers:
            observer.unloaded(model, version, provider)

    def serving(self, yes: bool) -> None:
        for observer in self._observers:
            observer.serving(yes)

    def call_began(self, method: str, metadata: Metadata) -> None:
        for observer in self._observers:
            observer.call_began(method, metadata)

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        for observer in self._observers:
            observer.call_ended(method, code, seconds)

    def under_way(self, model: str, rows: int, size_bytes: int) -> None:
        for observer in self._observers:
            observer.under_way(model, rows, size_bytes)

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        for observer in self._observers:
            observer.ran(model, version, rows, seconds)

    def answered(self, model: str, version: int, timing: Timing) -> None:
        for observer in self._observers:
            observer.answered(model, version, timing)

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        for observer in self._observers:
            observer.dropped(model, version, reason)


NOBODY = Observer()
