"""The thread that a model runs on, and running a batch so that only the guilty rows fail."""

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from tianzi_models.errors import InferenceError, ModelNotReady, TianziError
from tianzi_service.scheduling.thread_priority import give_way

logger = logging.getLogger(__name__)

Params = ParamSpec("Params")
Item = TypeVar("Item")
Output = TypeVar("Output")


class EngineThread(Executor):
    """One thread. However it ends, no future is left waiting.

    A ThreadPoolExecutor whose thread is killed between two jobs takes further ones in and never runs them.
    """

    def __init__(self, name: str) -> None:
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._pending: set[Future[Any]] = set()
        self._ended = False
        # A daemon: a second interrupt must not wait for a run to end.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[Params, Output], /, *args: Params.args, **kwargs: Params.kwargs) -> Future[Output]:
        """Runs fn after what was submitted before. The future fails with RuntimeError when the thread has ended."""
        future: Future[Output] = Future()
        with self._lock:
            self._pending.add(future)
            ended = self._ended
        if ended:
            self._abandon()
        else:
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the thread after what was submitted."""
        self._jobs.put(None)
        if wait:
            self._thread.join()

    def _work(self) -> None:
        give_way()
        try:
            while (job := self._jobs.get()) is not None:
                future, work = job
                if not future.set_running_or_notify_cancel():
                    continue
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
                    if not isinstance(error, Exception):
                        return
                self._pending.discard(future)
                del job, future, work  # a batch is not kept alive until the next comes
        except BaseException:
            logger.critical("an engine's thread was ended from outside", exc_info=True)
        finally:
            self._ended = True
            self._abandon()

    def _abandon(self) -> None:
        with self._lock:
            left = [future for future in self._pending if not future.done()]
            self._pending.clear()
        for future in left:
            future.set_exception(RuntimeError("the engine's thread has ended"))


def outcomes(
    run: Callable[[Sequence[Item]], Sequence[Output | Exception]], items: Sequence[Item]
) -> list[Output | Exception]:
    """Each item's output, or the error that run gives in its place, or that it makes run raise even alone: when run
    raises, each half is tried again.

    Raises:
        ModelNotReady: the engine is lost; there is nothing to try again.
    """
    try:
        outputs = run(items)
        if len(outputs) != len(items):
            raise InferenceError(f"{len(outputs)} outputs for {len(items)} items")
        return list(outputs)
    except ModelNotReady:
        raise
    except Exception as error:
        if len(items) == 1:
            return [error if isinstance(error, TianziError) else _as_inference_error(error)]
    half = len(items) // 2
    return outcomes(run, items[:half]) + outcomes(run, items[half:])


def _as_inference_error(error: Exception) -> InferenceError:
    """Also because a future takes any exception but StopIteration."""
    wrapped = InferenceError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
