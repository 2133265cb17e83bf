"""Pipeline: a model's way from request to answer: admit, preprocess in a thread, run in a batch, postprocess."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tianzi_models.base import Model
from tianzi_service.scheduling.admission import Admission, Held, Kind
from tianzi_service.scheduling.answer_room import AnswerRoom, AnswerSizes
from tianzi_service.scheduling.batcher import Batcher
from tianzi_service.scheduling.outcome import Answered, RowError, reason
from tianzi_service.scheduling.row_processor import Job, Stages
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.scheduling.wait_estimate import Outlook
from tianzi_service.telemetry.observer import NOBODY, Observer, Reason

Message = TypeVar("Message")
Request = TypeVar("Request")
Answer = TypeVar("Answer")

CHUNK_ROWS = 16
"""Rows of a batch call that are preprocessed in one go: few enough that the engine starts early and all threads share
the work, enough that a row's part in the hop to a thread and back is small."""
HERE_S = 0.002
"""A brief model's run of one row that is expected to take no longer is made in the event loop's thread. To wake the
engine's thread and be woken by it costs a lone call a tenth of a millisecond of the processor. With more rows it pays:
others gather while they run."""
QUICK_BYTES = 8192
"""How large a message is read at most, in a batch in the mean, to see whether it is quick to prepare."""

ANY_SIZE = AnswerSizes()

QUICK_SINGLE_COST = 2
"""Of a single call's row that is prepared with its run, which takes as long again: so a run with such rows is half as
large, and over as soon. Others are better off in large runs: between any two, what serves calls comes back to caches
that the run has used."""


@dataclass(frozen=True, slots=True)
class _How:
    """How the rows of a batch are to be treated; see Pipeline.answer_many."""

    kind: Kind
    deadline_s: float | None
    whole: bool
    quick: bool
    room: AnswerRoom

    def check(self, results: Sequence[Any], start: int) -> None:
        """Raises RowError for the first failed row, where the batch is to succeed as a whole. start: its number."""
        if self.whole:
            for number, result in enumerate(results, start):
                if isinstance(result, Exception):
                    raise RowError(number, result)


class Pipeline(Generic[Request, Answer]):
    """One version of a model, shared by all calls."""

    def __init__(
        self,
        model: Model[Request, Any, Any, Answer],
        admission: Admission,
        threads: Threads,
        *,
        max_rows: int,
        max_cost: int,
        on_lost: Callable[[], None] = lambda: None,
        observer: Observer = NOBODY,
        answer_sizes: AnswerSizes = ANY_SIZE,
    ) -> None:
        """admission: of all versions of the model. max_rows, max_cost: of one run. on_lost: called once if the engine
        is lost."""
        self.model = model
        self.version = model.bundle.version
        self.lost = False
        self._admission = admission
        self._threads = threads
        self._max_rows = max_rows
        self._observer = observer
        self._answer_sizes = answer_sizes
        self._on_lost = on_lost
        self._stages: Stages[Request, Answer] = Stages(model, observer)
        self._batcher: Batcher[Job, Answer] = Batcher(
            self._stages.run,
            max_rows,
            model.name,
            self._lose,
            max_cost=max_cost,
            here_s=HERE_S if model.is_brief else 0.0,
        )
        self.outlook = Outlook(model.name, admission, self._batcher, self._drop)
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    async def answer(
        self,
        message: Message,
        read: Callable[[Message], Request],
        *,
        kind: Kind = Kind.UNARY,
        size_bytes: int = 0,
        deadline_s: float | None = None,
    ) -> Answered[Answer]:
        """Answers one request. A single call is refused where there is no room, a stream's waits for it.

        read: message → request, done in the thread that preprocesses, or here where the message is small. size_bytes:
        what the message holds.
        deadline_s: in the event loop's time.

        Raises:
            Overloaded: there is no room.
            DeadlineExceeded: the deadline has passed, or will before its turn.
            InvalidInput, InferenceError, ModelNotReady: as the model and its engine say.
        """
        self.outlook.require_time(1, kind, deadline_s)
        try:
            admission, waits = self._admission, kind is Kind.STREAM
            with await admission.wait(kind, 1, size_bytes) if waits else admission.admit(kind, 1, size_bytes):
                urgent = kind is Kind.UNARY
                cost = QUICK_SINGLE_COST if urgent else 1
                job = self._stages.quick(message, read, cost) if size_bytes <= QUICK_BYTES else None
                if job is None:
                    room = self._answer_sizes.room()
                    job = await self._threads.of(kind).run(self._stages.prepare, message, read, room)
                job.submitted_s = time.perf_counter()
                answer = await self._batcher.submit(job, cost=job.cost, urgent=urgent, deadline_s=deadline_s)
        except BaseException as error:
            self._drop(1, reason(error))
            raise
        return self._answered(job, answer)

    async def answer_many(
        self,
        messages: Sequence[Message],
        read: Callable[[Message], Request],
        *,
        kind: Kind = Kind.BATCH,
        size_bytes: int = 0,
        deadline_s: float | None = None,
        whole: bool = False,
    ) -> list[Answered[Answer] | Exception]:
        """Answers the requests of a batch, each with its answer or its error, in order; see answer.

        A batch call is refused as a whole while there is no room, a batch in a stream waits for it. Once taken the
        rows wait for room, so that there may be more of them than the queue holds.

        whole: the first row that fails is raised, and takes the others out of the queue.

        Raises:
            Overloaded, DeadlineExceeded: as answer.
            RowError: whole, and a row failed.
        """
        self.outlook.require_time(len(messages), kind, deadline_s)
        # With a single thread two would only take turns, and each comes back to a cache that the other has used.
        quick = self._threads.count == 1 and size_bytes <= QUICK_BYTES * len(messages)
        how = _How(kind, deadline_s, whole, quick, self._answer_sizes.room())
        step = min(self._max_rows if quick else CHUNK_ROWS, self._admission.share(kind))
        with await self._room_for_call(kind, len(messages), size_bytes):
            if len(messages) <= step:
                return await self._answer_chunk(messages, slice(0, step), read, how)
            try:
                async with asyncio.TaskGroup() as group:
                    starts = range(0, len(messages), step)
                    tasks = [
                        group.create_task(self._answer_chunk(messages, slice(start, start + step), read, how))
                        for start in starts
                    ]
            except ExceptionGroup as failed:
                raise failed.exceptions[0] from None
        return [result for task in tasks for result in task.result()]

    @contextmanager
    def used(self) -> "Iterator[Pipeline[Request, Answer]]":
        """Keeps retire() waiting."""
        if not self._users:
            self._unused.clear()
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1
            if not self._users:
                self._unused.set()

    async def unused(self) -> None:
        """Waits until nobody uses it."""
        await self._unused.wait()

    async def retire(self) -> None:
        """Waits until nobody uses it, then lets the model go."""
        await self.unused()
        await self.close()

    async def close(self) -> None:
        """Fails what is under way with ModelNotReady."""
        await self._batcher.close()

    async def _answer_chunk(
        self, messages: Sequence[Message], rows: slice, read: Callable[[Message], Request], how: "_How"
    ) -> list[Answered[Answer] | Exception]:
        """Some rows of a batch. Raises RowError for the first that fails where the batch is to succeed as a whole."""
        mine = messages[rows]
        try:
            with await self._admission.wait(how.kind, len(mine)):
                prepared = self._stages.quick_all(mine, read) if how.quick else None
                if prepared is None:
                    prepared = await self._threads.of(how.kind).run(self._stages.prepare_all, mine, read, how.room)
                how.check(prepared, rows.start)
                jobs = [job for job in prepared if isinstance(job, Job)]
                submitted_s = time.perf_counter()
                for job in jobs:
                    job.submitted_s = submitted_s
                items = [(job, job.cost) for job in jobs]
                outcomes = await self._batcher.submit_many(items, deadline_s=how.deadline_s)
                how.check(outcomes, rows.start)
        except (asyncio.CancelledError, RowError) as error:
            self._drop(len(mine), reason(error))
            raise
        ran = iter(outcomes)
        return [self._result(job, next(ran) if isinstance(job, Job) else job) for job in prepared]

    async def _room_for_call(self, kind: Kind, rows: int, size_bytes: int) -> Held:
        """Room for a batch's bytes, its rows come in by and by; one is to have room at once where it does not wait."""
        if kind is Kind.STREAM:
            return await self._admission.wait(kind, 0, size_bytes)
        self.outlook.require_room(rows, kind, size_bytes)
        return self._admission.admit(kind, 0, size_bytes)

    def _result(self, job: Job | Exception, outcome: Answer | Exception) -> Answered[Answer] | Exception:
        if isinstance(outcome, Exception):
            self._drop(1, reason(outcome))
            return outcome
        assert isinstance(job, Job)
        return self._answered(job, outcome)

    def _answered(self, job: Job, answer: Answer) -> Answered[Answer]:
        self._observer.answered(self.model.name, self.version, job.timing)
        return Answered(answer, self.version, job.timing)

    def _drop(self, rows: int, why: Reason) -> None:
        for _ in range(rows):
            self._observer.dropped(self.model.name, self.version, why)

    def _lose(self) -> None:
        self.lost = True
        self._on_lost()
