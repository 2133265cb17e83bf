"""Answers parts in this process, or in several beside it; a process that is killed is replaced, and its part redone."""

import multiprocessing
import os
import queue
import signal
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from tianzi_service.lifecycle.failure import Failure, failure
from tianzi_service.score.output import ScoreError
from tianzi_service.score.parts import Part
from tianzi_service.score.scorer import Job, Scored, Scorer

AHEAD = 2
"""Parts that a worker has, the one it works at among them: it need not wait for the next."""
ATTEMPTS = 3
"""How often a part may end its worker before the run is given up."""


def answers(job: Job, parts: Iterator[Part], workers: int) -> Iterator[Scored]:
    """Each part's answers, as they are done; those of several workers out of order, by a bounded number of parts.

    Raises:
        ScoreError: a part cannot be answered.
    """
    if workers > 1:
        with Crew(job, workers) as crew:
            yield from crew.answers(parts)
        return
    with Scorer(job) as score:
        for part in parts:
            yield score(part)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    parts: deque[Part] = field(default_factory=deque)


class Crew:
    """Processes that answer parts. They are spawned: onnxruntime and gRPC do not outlive a fork."""

    def __init__(self, job: Job, count: int) -> None:
        self._job = job
        self._count = count
        self._workers: list[_Worker] = []
        self._again: deque[Part] = deque()
        self._ended: dict[int, int] = {}

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.kill()  # nothing is lost: what is done has been handed over
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()

    def answers(self, parts: Iterator[Part]) -> Iterator[Scored]:
        """See the function of that name."""
        more = True
        while True:
            while more and self._wanting() and self._next_is_near():
                part = next(parts, None)
                if part is None:
                    more = False
                else:
                    self._give(part)
            while self._again and self._wanting():
                self._give(self._again.popleft())
            busy = [worker for worker in self._workers if worker.parts]
            if not busy:
                return
            ready = wait([worker.pipe for worker in busy])
            for worker in [worker for worker in busy if worker.pipe in ready]:
                yield from self._hear(worker)

    def _wanting(self) -> bool:
        return len(self._workers) < self._count or any(len(worker.parts) < AHEAD for worker in self._workers)

    def _next_is_near(self) -> bool:
        """Parts that are done before an earlier one may have to wait for it."""
        under_way = [part.number for worker in self._workers for part in worker.parts]
        under_way += [part.number for part in self._again]
        return not under_way or max(under_way) - min(under_way) < 4 * AHEAD * self._count

    def _give(self, part: Part) -> None:
        """To whoever has the least to do."""
        if len(self._workers) < self._count:
            self._workers.append(self._start())
        worker = min(self._workers, key=lambda worker: len(worker.parts))
        worker.parts.append(part)
        try:
            worker.pipe.send(part)
        except OSError:
            self._replace(worker)

    def _hear(self, worker: _Worker) -> Iterator[Scored]:
        try:
            heard = worker.pipe.recv()
        except (EOFError, OSError):
            self._replace(worker)
            return
        if isinstance(heard, Failure):
            raise ScoreError(heard.message) if heard.known else RuntimeError(heard.message)
        worker.parts.popleft()
        yield heard

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        guilty = worker.parts[0].number
        self._ended[guilty] = self._ended.get(guilty, 0) + 1
        if self._ended[guilty] == ATTEMPTS:
            raise ScoreError(
                f"part {guilty}: its worker ended {ATTEMPTS} times, at last with exit code {worker.process.exitcode}; "
                "was there memory enough for --workers so many?"
            )
        self._again.extend(worker.parts)

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self._job), daemon=True, name="score")
        process.start()
        theirs.close()  # so that its death ends the pipe
        return _Worker(process, ours)


def _work(pipe: Connection, job: Job) -> None:
    """A worker's life. It ends with its parent, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of Ctrl-C, which is the parent's
    parts: queue.SimpleQueue[Part] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, parts), daemon=True).start()
    try:
        with Scorer(job) as score:
            while True:
                pipe.send(score(parts.get()))
    except Exception as error:
        pipe.send(failure(error))


def _receive(pipe: Connection, parts: "queue.SimpleQueue[Part]") -> None:
    """Takes in parts while others are answered: neither side then waits for the other to read."""
    try:
        while True:
            parts.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(0)
