"""A row's way through one model: prepared in a thread, run and answered in a batch, with the time each step takes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from models.base import Model
from service.observer import Observer, Timing

Message = TypeVar("Message")
Request = TypeVar("Request")
Answer = TypeVar("Answer")


@dataclass(slots=True)
class Job:
    """An item on its way. cost: see Model.cost. submitted_s: when it began to wait for the engine, by perf_counter."""

    item: Any
    cost: int
    submitted_s: float = 0.0
    timing: Timing = field(default_factory=Timing)


class Stages(Generic[Request, Answer]):
    """Preprocessing and running of one model."""

    def __init__(self, model: Model[Request, Any, Any, Answer], observer: Observer) -> None:
        self._model = model
        self._observer = observer

    def prepare(self, message: Message, read: Callable[[Message], Request]) -> Job:
        """read: message → request. Raises what reading and preprocessing do."""
        began_s = time.perf_counter()
        item = self._model.preprocess(read(message))
        job = Job(item, self._model.cost(item))
        job.timing.preprocess_s = time.perf_counter() - began_s
        return job

    def run(self, jobs: Sequence[Job]) -> list[Answer]:
        """One batch, in the engine's thread. Postprocessing goes along: it is too little work for a hop of its own."""
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
