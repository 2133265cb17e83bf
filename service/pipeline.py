"""Pipeline: a model's way from request to answer: admit, preprocess in a thread, run in a batch, postprocess."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from models.base import Model
from models.errors import InvalidInput, ModelNotReady, Overloaded
from service.batcher import Batcher
from service.observer import NOBODY, Observer, Reason, Timing

Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Answered(Generic[Answer]):
    """An answer, the version of the model that gave it, and where the time went."""

    answer: Answer
    version: int
    timing: Timing


@dataclass(slots=True)
class _Job:
    """An item on its way through the engine. submitted_s: time.perf_counter() when it began to wait for it."""

    item: Any
    submitted_s: float = 0.0
    timing: Timing = field(default_factory=Timing)


class Pipeline(Generic[Request, Answer]):
    """One loaded model, shared by all calls, with at most queue_rows requests between admission and answer."""

    def __init__(
        self,
        model: Model[Request, Any, Any, Answer],
        threads: Executor,
        batch_rows: int,
        queue_rows: int,
        on_lost: Callable[[], None] = lambda: None,
        observer: Observer = NOBODY,
    ) -> None:
        """threads: where requests are preprocessed. on_lost: called once if the engine is lost."""
        self.model = model
        self._threads = threads
        self._queue_rows = queue_rows
        self._observer = observer
        self._room = asyncio.Semaphore(queue_rows)
        self._batcher: Batcher[_Job, Answer] = Batcher(self._run, batch_rows, model.name, on_lost)

    async def answer(self, request: Request, *, wait: bool = False) -> Answered[Answer]:
        """Answers one request. wait: for room, in turn, rather than be refused.

        Raises:
            Overloaded: there is no room.
            InvalidInput, InferenceError, ModelNotReady: as the model and its engine say.
        """
        bundle = self.model.bundle
        try:
            if not wait:
                self.require_room()
            async with self._room:
                job = await asyncio.get_running_loop().run_in_executor(self._threads, self._preprocess, request)
                job.submitted_s = time.perf_counter()
                answer = await self._batcher.submit(job)
        except BaseException as error:
            self._observer.dropped(self.model.name, bundle.version, reason(error))
            raise
        self._observer.answered(self.model.name, bundle.version, job.timing)
        return Answered(answer, bundle.version, job.timing)

    def require_room(self) -> None:
        """Raises Overloaded unless one more request would be admitted at once."""
        if self._room.locked():
            raise Overloaded(f"model {self.model.name}: {self._queue_rows} requests under way, at most so many")

    async def close(self) -> None:
        """Fails what is under way with ModelNotReady."""
        await self._batcher.close()

    def _preprocess(self, request: Request) -> _Job:
        began_s = time.perf_counter()
        job = _Job(self.model.preprocess(request))
        job.timing.preprocess_s = time.perf_counter() - began_s
        return job

    def _run(self, jobs: Sequence[_Job]) -> list[Answer]:
        """In the engine's thread. Postprocessing goes along, for it is too little work to be worth a hop of its own."""
        began_s = time.perf_counter()
        for job in jobs:
            if not job.timing.queue_s:  # else it is tried again, after a run that failed
                job.timing.queue_s = began_s - job.submitted_s
        try:
            outputs = self.model.run([job.item for job in jobs])
        finally:
            ran_s = time.perf_counter() - began_s
            self._observer.ran(self.model.name, self.model.bundle.version, len(jobs), ran_s)
        answers = [self.model.postprocess(job.item, output) for job, output in zip(jobs, outputs, strict=True)]
        postprocess_s = time.perf_counter() - began_s - ran_s
        for job in jobs:
            job.timing.inference_s = ran_s
            job.timing.postprocess_s = postprocess_s
        return answers


def reason(error: BaseException) -> Reason:
    """Why a row ended that ended with this error."""
    match error:
        case asyncio.CancelledError():
            return "cancelled"
        case Overloaded():
            return "full"
        case InvalidInput():
            return "invalid"
        case ModelNotReady():
            return "not_ready"
        case _:
            return "failed"
