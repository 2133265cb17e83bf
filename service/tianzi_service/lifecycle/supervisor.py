"""Several servers on one port, each in a process of its own: gRPC for Python keeps one core busy, and no more.

The kernel spreads connections over them (SO_REUSEPORT). This process watches: it starts a server again that has ended,
passes signals on, and answers for all of them on the metrics port.
"""

import asyncio
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from tianzi_service.lifecycle.failure import Failure
from tianzi_service.lifecycle.heartbeat import State
from tianzi_service.lifecycle.process import events_of_signals, held_port, require_port
from tianzi_service.lifecycle.worker import work
from tianzi_service.settings import Settings, address, available_cpus
from tianzi_service.telemetry import logs

logger = logging.getLogger(__name__)

PAUSES_S = (1.0, 30.0)
"""How long a server that has ended is left alone, at first and at most; twice as long each time."""
LIVED_S = 60.0
"""A server that has run so long gets the first pause again."""
SILENT_S = 4.0
"""A server's event loop tells every second that it turns."""
SPARE_S = 3.0
"""What a server may take to end beyond what its callers were promised."""


@dataclass
class Worker:
    """One of the servers. heard_s: when, None before its first word; not serving means that it loads, drains, or has
    lost an engine."""

    process: BaseProcess
    pipe: Connection
    serving: bool = False
    heard_s: float | None = None
    began_s: float = field(default_factory=time.monotonic)


def run(settings: Settings) -> None:
    """Serves with settings.workers processes; see serve."""
    asyncio.run(serve(settings))


async def serve(settings: Settings, on_ready: Callable[[int], None] | None = None) -> None:
    """Serves with settings.workers processes until SIGTERM or SIGINT, then drains; see lifecycle.server.serve.

    Raises:
        OSError: a port cannot be listened on, or a server cannot start; the message says why.
    """
    logs.configure(settings.log_format, settings.log_level)
    stop, reload = events_of_signals()
    require_port(settings.host, settings.port)
    with ExitStack() as held:
        ports = {"port": held.enter_context(held_port(settings.host, settings.port))}
        if settings.http_port is not None:
            require_port(settings.host, settings.http_port)
            ports["http_port"] = held.enter_context(held_port(settings.host, settings.http_port))
        settings = settings.model_copy(update={**ports, "threads": threads_each(settings)})
        logger.info("settings %s", settings.model_dump_json())
        workers = Workers(settings)
        with workers.watched():
            await workers.run(stop, reload, on_ready)
    logger.info("stopped")


def threads_each(settings: Settings) -> int:
    """What each server may use of the cores, unless the settings say."""
    given = "threads" in settings.model_fields_set
    return settings.threads if given else max(1, available_cpus() // settings.workers)


def cores_each(settings: Settings) -> list[set[int]]:
    """The cores that each server keeps to; none where it may use all.

    Threads on one core hand Python's lock to each other without waking a second one: an image of a batch takes a tenth
    less. Containers under a quota would all choose the same cores, so they choose none.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    each = settings.threads
    if settings.own_cores and len(cores) == available_cpus() == each * settings.workers:
        return [set(cores[start : start + each]) for start in range(0, len(cores), each)]
    return [set()] * settings.workers


class Workers:
    """The servers, and what is known of them. The methods belong to the event loop's thread, but for the pages'."""

    def __init__(self, settings: Settings) -> None:
        """Belongs to the running event loop."""
        self._settings = settings
        self._cores = cores_each(settings)
        self._workers: dict[int, Worker] = {}
        self._all_ready = asyncio.Event()
        self._stopping = False
        self.restarts = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Answers on the metrics port meanwhile, where the settings name one. Raises: OSError: it is taken."""
        if self._settings.metrics_port is None:
            yield
            return
        from tianzi_service.telemetry.shared_metrics import (
            shared_metrics,
        )  # prometheus_client: a server without metrics starts sooner

        with shared_metrics(self._settings, self):
            yield

    @property
    def pids(self) -> list[int]:
        """Of the servers that run."""
        return [worker.process.pid for worker in self._workers.values() if worker.process.pid]

    def unready(self) -> str:
        """Why calls are not answered by every server that runs; empty where they are."""
        workers = list(self._workers.values())
        if self._stopping or not workers:
            return "draining" if self._stopping else "loading"
        waiting = sum(not worker.serving for worker in workers)
        return f"{waiting} of {len(workers)} servers load, or have lost an engine" if waiting else ""

    def silent(self) -> str:
        """Which servers' event loops do not turn; empty where all do."""
        now = time.monotonic()
        stuck = [n for n, w in list(self._workers.items()) if w.heard_s is not None and now - w.heard_s > SILENT_S]
        return f"servers {stuck}: the event loop has not turned for {SILENT_S} s" if stuck else ""

    async def run(self, stop: asyncio.Event, reload: asyncio.Event, on_ready: Callable[[int], None] | None) -> None:
        """Keeps the servers running until stop, then has them drain. Raises: OSError: one cannot start."""
        began = time.monotonic()
        try:
            async with asyncio.TaskGroup() as group:
                keepers = [group.create_task(self._keep(number)) for number in range(self._settings.workers)]
                others = [group.create_task(self._announce(began, on_ready)), group.create_task(self._reload(reload))]
                await stop.wait()
                self._stopping = True
                promised_s = self._settings.drain_s + self._settings.grace_s
                logger.info("stopping: calls under way have %.0f s", promised_s)
                for task in others:
                    task.cancel()
                self._signal(signal.SIGTERM)
                await asyncio.wait(keepers, timeout=promised_s + SPARE_S)
                self._signal(signal.SIGKILL)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        finally:
            self._signal(signal.SIGKILL)

    async def _keep(self, number: int) -> None:
        """Starts a server, and again when it has ended. Raises: OSError: it cannot start, and never has."""
        pause_s, _ = PAUSES_S
        started = False
        while not self._stopping:
            worker = self._workers[number] = self._start(number)
            failure = await self._listen(worker)
            del self._workers[number]
            await asyncio.to_thread(worker.process.join)
            if self._stopping:
                return
            started = started or worker.heard_s is not None
            if not started:
                raise _error(failure, worker)
            if time.monotonic() - worker.began_s > LIVED_S:
                pause_s, _ = PAUSES_S
            why = failure.message if failure else f"exit code {worker.process.exitcode}"
            logger.error("server %d has ended, the next starts in %.0f s: %s", number, pause_s, why)
            self.restarts += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSES_S[1])

    def _start(self, number: int) -> Worker:
        """Spawned: onnxruntime and gRPC do not outlive a fork."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        given = (theirs, self._settings, self._cores[number])
        process = context.Process(target=work, args=given, name=f"server-{number}")
        process.start()
        theirs.close()  # so that its death ends the pipe
        return Worker(process, ours)

    async def _listen(self, worker: Worker) -> Failure | None:
        """Takes in what a server says until it has ended; why it failed, if it said so."""
        failure = None
        async for word in _words(worker.pipe):
            if isinstance(word, Failure):
                failure = word
                continue
            worker.heard_s = time.monotonic()
            if word is not State.TURNS:
                worker.serving = word is State.SERVES
            if len(self._workers) == self._settings.workers and not self.unready():
                self._all_ready.set()
        return failure

    async def _announce(self, began_s: float, on_ready: Callable[[int], None] | None) -> None:
        await self._all_ready.wait()
        where = address(self._settings.host, self._settings.port)
        if self._settings.http_port:
            where += f", HTTP on {address(self._settings.host, self._settings.http_port)}"
        count, took_s = self._settings.workers, time.monotonic() - began_s
        logger.info("ready on %s after %.1f s: %d servers", where, took_s, count)
        if on_ready is not None:
            on_ready(self._settings.port)

    async def _reload(self, wanted: asyncio.Event) -> None:
        while True:
            await wanted.wait()
            wanted.clear()
            self._signal(signal.SIGHUP)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            # One that only starts reads the newest bundles anyway, and the signal would end it.
            too_soon = number is signal.SIGHUP and worker.heard_s is None
            if worker.process.is_alive() and worker.process.pid and not too_soon:
                os.kill(worker.process.pid, number)


async def _words(pipe: Connection) -> AsyncIterator[State | Failure]:
    """What comes through a pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            while pipe.poll():
                yield pipe.recv()
    except (EOFError, OSError):
        return
    finally:
        loop.remove_reader(pipe.fileno())
        pipe.close()


def _error(failure: Failure | None, worker: Worker) -> Exception:
    if failure is None:
        return OSError(f"a server ended with exit code {worker.process.exitcode} before it was ready")
    return OSError(failure.message) if failure.known else RuntimeError(failure.message)
