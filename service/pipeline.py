"""Pipeline: a model's way from request to answer: admit, preprocess in a thread, run in a batch, postprocess."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

from models.base import Model
from models.errors import Overloaded
from service.batcher import Batcher

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Pipeline(Generic[Request, Answer]):
    """One loaded model, shared by all calls, with at most queue_rows requests between admission and answer."""

    def __init__(
        self,
        model: Model[Request, Any, Any, Answer],
        threads: Executor,
        batch_rows: int,
        queue_rows: int,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """threads: where requests are preprocessed. on_lost: called once if the engine is lost."""
        self.model = model
        self._threads = threads
        self._queue_rows = queue_rows
        self._room = asyncio.Semaphore(queue_rows)
        self._batcher: Batcher[Any, Answer] = Batcher(self._run, batch_rows, model.name, on_lost)

    async def answer(self, request: Request, *, wait: bool = False) -> Answer:
        """Answers one request. wait: for room, in turn, rather than be refused.

        Raises:
            Overloaded: there is no room.
            InvalidInput, InferenceError, ModelNotReady: as the model and its engine say.
        """
        if not wait:
            self.require_room()
        async with self._room:
            loop = asyncio.get_running_loop()
            item = await loop.run_in_executor(self._threads, self.model.preprocess, request)
            return await self._batcher.submit(item)

    def require_room(self) -> None:
        """Raises Overloaded unless one more request would be admitted at once."""
        if self._room.locked():
            raise Overloaded(f"model {self.model.name}: {self._queue_rows} requests under way, at most so many")

    async def close(self) -> None:
        """Fails what is under way with ModelNotReady."""
        await self._batcher.close()

    def _run(self, items: Sequence[Any]) -> list[Answer]:
        """In the engine's thread. Postprocessing goes along, for it is too little work to be worth a hop of its own."""
        outputs = self.model.run(items)
        return [self.model.postprocess(item, output) for item, output in zip(items, outputs, strict=True)]
