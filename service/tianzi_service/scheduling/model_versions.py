"""Served: the versions of one model that answer, the newest unless a call names one."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tianzi_models.base import Model
from tianzi_models.errors import ModelNotFound, ModelNotReady
from tianzi_service.scheduling.admission import Admission
from tianzi_service.scheduling.pipeline import Pipeline
from tianzi_service.scheduling.wait_estimate import Outlook
from tianzi_service.telemetry.observer import NOBODY, Observer

logger = logging.getLogger(__name__)

AnyModel = Model[Any, Any, Any, Any]
AnyPipeline = Pipeline[Any, Any]


class Served:
    """Pipelines by version. The methods belong to the event loop's thread."""

    def __init__(
        self, name: str, admission: Admission, make: Callable[[AnyModel], AnyPipeline], observer: Observer = NOBODY
    ) -> None:
        """make: the pipeline for a loaded model. observer: is told of versions that come and go."""
        self.name = name
        self.admission = admission
        self._make = make
        self._observer = observer
        self._refusing = False
        self._pipelines: dict[int, AnyPipeline] = {}
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def versions(self) -> list[int]:
        """The newest first."""
        return sorted(self._pipelines, reverse=True)

    @property
    def models(self) -> list[AnyModel]:
        """The newest first."""
        return [self._pipelines[version].model for version in self.versions]

    @property
    def lost(self) -> bool:
        """Whether a version has lost its engine."""
        return any(pipeline.lost for pipeline in self._pipelines.values())

    def get(self, version: int) -> AnyPipeline | None:
        return self._pipelines.get(version)

    def use(self, version: int = 0) -> AbstractContextManager[AnyPipeline]:
        """A version's pipeline, which is not let go while the context lasts. version: 0 is the newest.

        Raises:
            ModelNotFound: this version does not serve.
            ModelNotReady: none does, or the server stops.
        """
        if self._refusing:
            raise ModelNotReady(f"model {self.name}: shutting down")
        if not self._pipelines:
            raise ModelNotReady(f"model {self.name}: no version is serving")
        pipeline = self._pipelines.get(version or max(self._pipelines))
        if pipeline is None:
            serving = ", ".join(map(str, self.versions))
            raise ModelNotFound(f"model_version: {self.name} {version} is not serving, only {serving}")
        return pipeline.used()

    def is_narrow(self) -> bool:
        """See Outlook. Of several versions it is not known before a call is read which one it asks."""
        return len(self._pipelines) == 1 and not self._refusing and self._only.is_narrow()

    def require(self, deadline_s: float | None) -> None:
        """Raises what a single call with this deadline is refused with, whatever is in it."""
        if len(self._pipelines) == 1:
            self._only.require(deadline_s)

    @property
    def _only(self) -> Outlook:
        return next(iter(self._pipelines.values())).outlook

    def add(self, model: AnyModel) -> None:
        """Serves a model from now on; what served under the same version is retired."""
        self.retire(model.bundle.version)
        self._pipelines[model.bundle.version] = self._make(model)
        self._observer.loaded(self.name, model.bundle.version, model.session.provider)

    def retire(self, version: int) -> None:
        """Takes no more calls to a version, and lets it go when those under way have ended."""
        pipeline = self._pipelines.pop(version, None)
        if pipeline is not None:
            self._observer.unloaded(self.name, version, pipeline.model.session.provider)
            task = asyncio.create_task(pipeline.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def refuse(self) -> None:
        """Takes no more calls, and waits for those under way."""
        self._refusing = True
        await asyncio.gather(*(pipeline.unused() for pipeline in self._pipelines.values()))

    async def close(self) -> None:
        """Fails what is under way with ModelNotReady."""
        for pipeline in self._pipelines.values():
            await pipeline.close()
        await asyncio.gather(*self._retiring)
