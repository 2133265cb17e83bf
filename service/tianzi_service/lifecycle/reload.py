"""Reloader: brings new bundles into service and takes old ones out, without a call that fails for it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from tianzi_models.bundle import versions
from tianzi_service.lifecycle.process import settle
from tianzi_service.scheduling.model_versions import AnyModel, Served

logger = logging.getLogger(__name__)

Mark: TypeAlias = tuple[tuple[str, int, int], ...]
"""What a bundle's folder holds: names, sizes, and times of change."""

SETTLE_S = 30.0
"""After a change, until its calls have most likely ended with an old version: what still is in use then is kept from
Python's collector."""


class Reloader:
    """Has the newest versions that are good serve. A version whose files change is loaded anew."""

    def __init__(
        self,
        root: Path,
        served: Mapping[str, Served],
        load: Callable[[str, int], AnyModel],
        keep: int,
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        """load: a model's version, verified and warmed; runs in a thread. keep: how many versions of a model serve.

        on_change: called after versions have come or gone.
        """
        self._root = root
        self._served = served
        self._load = load
        self._keep = keep
        self._on_change = on_change
        # Of the versions that serve and of those that were refused: neither is loaded again until its files change.
        self._marks = {
            (name, model.bundle.version): mark(model.bundle.path)
            for name, those in served.items()
            for model in those.models
        }

    async def run(self, wanted: asyncio.Event, every_s: float) -> None:
        """Looks for new bundles whenever wanted, and every so many seconds; 0 is never. Ends when cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wanted.wait(), every_s or None)
            wanted.clear()
            await self.refresh()

    async def refresh(self) -> None:
        """Looks once. What goes wrong is logged, and what served serves on."""
        changed = False
        for name, served in self._served.items():
            try:
                if await self._refresh(name, served):
                    changed = True
                    await self._on_change()
            except OSError as error:
                logger.error("%s: bundles cannot be looked at: %s", name, error)
        if changed:
            asyncio.get_running_loop().call_later(SETTLE_S, settle)

    async def _refresh(self, name: str, served: Served) -> bool:
        """Whether versions have come or gone."""
        changed = False
        good: list[int] = []
        for version in reversed(versions(self._root, name)):
            if len(good) == self._keep:
                break
            seen = mark(self._root / name / str(version))
            pipeline = served.get(version)
            fresh = self._marks.get((name, version)) == seen
            if not fresh or (pipeline is not None and pipeline.lost):
                self._marks[name, version] = seen
                changed = await self._bring_in(name, version, served) or changed
            if served.get(version) is not None:
                good.append(version)
        for version in set(served.versions) - set(good) if good else ():
            served.retire(version)
            self._marks.pop((name, version), None)
            logger.info("%s %d is served no longer", name, version)
            changed = True
        return changed

    async def _bring_in(self, name: str, version: int, served: Served) -> bool:
        """Loads a version and has it serve. Returns False, and logs why, where it is refused."""
        try:
            model = await asyncio.to_thread(self._load, name, version)
        except Exception as error:  # a bundle may be wrong in any way, but it must not end the server
            serving = ", ".join(map(str, served.versions))
            logger.error("%s %d is refused, %s serves on: %s", name, version, serving, error)
            return False
        served.add(model)
        logger.info("%s %d serves", name, version)
        return True


def mark(path: Path) -> Mark:
    """What tells one state of a bundle's folder from another; empty where it is gone. The model card does not count."""
    try:
        files = [file for file in path.iterdir() if file.name != "README.md"]
        states = [(file.name, file.stat()) for file in files]
    except FileNotFoundError:
        return ()
    return tuple(sorted((name, state.st_size, state.st_mtime_ns) for name, state in states))
