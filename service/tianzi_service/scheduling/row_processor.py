"""A row's way through one model: prepared in a thread, run and answered in a batch, with the time each step takes.

What is quick to prepare is prepared by the engine's thread at the start of the run: to hand it to another thread and
back would cost more, and the threads would take Python's lock from each other for every row. Rows of batches, which
cost less to hand over, go that way where there is one thread for all.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from tianzi_models.base import Model
from tianzi_service.scheduling.answer_room import AnswerRoom
from tianzi_service.scheduling.outcome import holdable
from tianzi_service.telemetry.observer import Observer, Timing

Message = TypeVar("Message")
Request = TypeVar("Request")
Answer = TypeVar("Answer")
Made = TypeVar("Made")


@dataclass(slots=True)
class Job:
    """An item on its way. cost: see Model.cost. submitted_s: when it began to wait for the engine, by perf_counter.

    request: what the item is yet to be made of. error: why it could not be.
    """

    item: Any
    cost: int
    submitted_s: float = 0.0
    timing: Timing = field(default_factory=Timing)
    request: Any = None
    error: Exception | None = None


class Stages(Generic[Request, Answer]):
    """Preprocessing and running of one model."""

    def __init__(self, model: Model[Request, Any, Any, Answer], observer: Observer) -> None:
        self._model = model
        self._observer = observer

    def quick(self, message: Message, read: Callable[[Message], Request], cost: int = 1) -> Job | None:
        """A job of this cost that is prepared with its run; None where that may take longer, see Model.is_quick. Raises
        what read does."""
        request = read(message)
        return Job(None, cost, request=request) if self._model.is_quick(request) else None

    def quick_all(
        self, messages: Sequence[Message], read: Callable[[Message], Request]
    ) -> list[Job | Exception] | None:
        """The same of many, or what it raises of one; None where any may take longer."""
        jobs: list[Job | Exception] = []
        for job in _each(self.quick, messages, read):
            if job is None:
                return None
            jobs.append(job)
        return jobs

    def prepare(self, message: Message, read: Callable[[Message], Request], room: AnswerRoom) -> Job:
        """read: message → request. room: for the call's answers. Raises what reading and preprocessing do, and
        InvalidInput where the answer might not fit in a message."""
        began_s = time.perf_counter()
        item = self._model.preprocess(read(message))
        room.take(item)
        job = Job(item, self._model.cost(item))
        job.timing.preprocess_s = time.perf_counter() - began_s
        return job

    def prepare_all(
        self, messages: Sequence[Message], read: Callable[[Message], Request], room: AnswerRoom
    ) -> list[Job | Exception]:
        """The same of many, or what it raises."""
        return list(_each(partial(self.prepare, room=room), messages, read))

    def run(self, jobs: Sequence[Job]) -> list[Answer | Exception]:
        """One batch, in the engine's thread. Postprocessing goes along: it is too little work for a hop of its own.

        Returns each job's answer, or why it could not be prepared; such a job is not in the network's run.
        """
        for job in jobs:
            if job.request is not None:
                self._prepare_late(job)
        ready = [job for job in jobs if job.error is None]
        answers = iter(self._run(ready) if ready else ())
        return [next(answers) if job.error is None else job.error for job in jobs]

    def _prepare_late(self, job: Job) -> None:
        """Makes a job's item, or keeps what that raises: it is the job's own, and must not end the engine's thread."""
        began_s = time.perf_counter()
        try:
            job.item = self._model.preprocess(job.request)
        except BaseException as error:
            job.error = holdable(error)
        job.request = None
        took_s = time.perf_counter() - began_s
        job.timing.preprocess_s = took_s
        job.submitted_s += took_s  # its wait for the network is what is left

    def _run(self, jobs: Sequence[Job]) -> list[Answer]:
        began_s = time.perf_counter()
        for job in jobs:
            if not job.timing.queue_s:  # else it is tried again, after a run that failed
                job.timing.queue_s = began_s - job.submitted_s
        try:
            outputs = self._model.run([job.item for job in jobs])
        finally:
            ran_s = time.perf_counter() - began_s
            self._observer.ran(self._model.name, self._model.bundle.version, len(jobs), ran_s)
        answers = [self._model.postprocess(job.item, output) for job, output in zip(jobs, outputs, strict=True)]
        postprocess_s = time.perf_counter() - began_s - ran_s
        for job in jobs:
            job.timing.inference_s = ran_s
            job.timing.postprocess_s = postprocess_s
        return answers


def _each(
    work: Callable[[Message, Callable[[Message], Request]], Made],
    messages: Sequence[Message],
    read: Callable[[Message], Request],
) -> Iterator[Made | Exception]:
    """What is made of each message, or what that raises."""
    for message in messages:
        try:
            made: Made | Exception = work(message, read)
        except Exception as error:
            made = error
        yield made
