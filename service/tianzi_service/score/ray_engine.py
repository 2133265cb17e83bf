"""Answers parts on a Ray cluster: Ray Data's map_batches with a Scorer in each actor.

The parts come from here through a queue, so that a run is resumed, refused and written just as without Ray. Part and
queue stay on this machine; when Ray loses what other machines had, the parts that are not answered are given anew.
"""

import logging
import os
import pickle
import socket
import threading
from collections.abc import Iterator
from typing import Any

# Read when Ray is imported: without it Ray reports to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

try:
    import ray
    from ray.data import ActorPoolStrategy, DataContext
    from ray.exceptions import RayError
    from ray.util.queue import Queue
except ImportError as missing:
    from tianzi import InvalidInput

    raise InvalidInput("--engine ray needs the extra ray", field="engine") from missing

from tianzi_service.lifecycle.failure import Failure, failure
from tianzi_service.score.output import ScoreError
from tianzi_service.score.parts import Part
from tianzi_service.score.scorer import Job, Scored, Scorer

AHEAD = 2
"""Parts that wait in the queue for each worker."""
CONNECT_S = 10.0
ATTEMPTS = 3
"""How often the cluster may lose parts in a row, without a part being answered between."""


def answers(job: Job, parts: Iterator[Part], workers: int, threads: int, address: str) -> Iterator[Scored]:
    """As those of workers.py.

    threads: cores that each worker takes of its machine. address: of the cluster; empty for one on this machine alone.

    Raises:
        ScoreError: there is no such cluster, or a part cannot be answered.
    """
    _check(address)
    try:
        ray.init(address=address or None, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RayError, ValueError) as error:
        raise ScoreError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}") from error
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield from _patiently(job, parts, workers, threads)
    finally:
        ray.shutdown()


def _check(address: str) -> None:
    """Ray itself looks for a cluster for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdecimal():
        return  # "auto" say
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise ScoreError(f"no Ray cluster answers at {address}: {error}") from error


def _patiently(job: Job, parts: Iterator[Part], workers: int, threads: int) -> Iterator[Scored]:
    """Starts anew with what is not answered when the cluster has lost something."""
    given: dict[int, Part] = {}
    failed = 0
    while True:
        again = list(given.values())
        try:
            for scored in _once(job, again, parts, given, workers, threads):
                failed = 0
                if given.pop(scored.number, None):
                    yield scored
            return
        except RayError as error:
            failed += 1
            if failed == ATTEMPTS:
                raise ScoreError(f"Ray: {str(error).strip().splitlines()[-1]}") from error


def _once(
    job: Job, again: list[Part], parts: Iterator[Part], given: dict[int, Part], workers: int, threads: int
) -> Iterator[Scored]:
    """given: takes up each part that is under way."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = 1  # each part is a block of its own, to be answered as soon as it is there
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    queue = Queue(maxsize=AHEAD * workers, actor_options={"num_cpus": 0, "label_selector": here})
    feeder = _Feeder(queue, again, parts, given)
    try:
        fed = ray.data.from_items([0], override_num_blocks=1).map_batches(
            _pull, fn_kwargs={"queue": queue}, batch_size=None, num_cpus=0, label_selector=here
        )
        answered = fed.map_batches(
            _Worker,
            fn_constructor_args=(job,),
            batch_size=1,
            compute=ActorPoolStrategy(size=workers),
            num_cpus=threads,
        )
        feeder.start()
        for row in answered.iter_rows():
            heard = pickle.loads(row["answer"])
            if isinstance(heard, Failure):
                raise ScoreError(heard.message) if heard.known else RuntimeError(heard.message)
            yield heard
        feeder.join()
        if feeder.error:
            raise feeder.error
    finally:
        feeder.stopped = True
        queue.shutdown(force=True)
        feeder.join()


class _Feeder(threading.Thread):
    """Puts parts into the queue as there is room. error: what the source raised."""

    def __init__(self, queue: Any, again: list[Part], parts: Iterator[Part], given: dict[int, Part]) -> None:
        super().__init__(name="feeder", daemon=True)
        self._queue, self._again, self._parts, self._given = queue, again, parts, given
        self.error: Exception | None = None
        self.stopped = False

    def run(self) -> None:
        """Ends after the last part, or with the queue."""
        try:
            for part in self._again:
                self._queue.put(pickle.dumps(part))
            for part in self._parts:
                if self.stopped:
                    return
                self._given[part.number] = part
                self._queue.put(pickle.dumps(part))
            self._queue.put(None)
        except RayError:  # the queue is gone, and whoever reads the answers knows why
            return
        except Exception as error:
            self.error = error
            self._queue.put(None)

    def join(self, timeout: float | None = None) -> None:
        """Also of a thread that was never started."""
        if self.ident is not None:
            super().join(timeout)


def _pull(_: Any, queue: Any) -> Iterator[dict[str, list[bytes]]]:
    while (part := queue.get()) is not None:
        yield {"part": [part]}


class _Worker:
    """An actor: a Scorer that stays open."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._score: Scorer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        return {"answer": [pickle.dumps(self._answer(pickle.loads(part))) for part in batch["part"]]}

    def _answer(self, part: Part) -> Scored | Failure:
        try:
            self._score = self._score or Scorer(self._job).__enter__()
            return self._score(part)
        except Exception as error:
            return failure(error)
