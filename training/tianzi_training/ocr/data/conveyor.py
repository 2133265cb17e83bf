"""Batches for a GPU, which bends and lights the glyphs itself: processes draw them before it and crop them after it."""

import queue
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import connection, get_context
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tianzi_training.ocr.data.augment.augment import MAX_SIDE_PX
from tianzi_training.ocr.data.batches import OcrBatches
from tianzi_training.ocr.data.glyphs import GLYPH_PX

AHEAD = 8  # batches under way at a time
NO_IMAGES, NO_IDS = np.zeros((0, GLYPH_PX, GLYPH_PX), np.uint8), np.zeros(0, np.int64)


class _Slot:
    """Memory that all processes share, for one batch."""

    def __init__(self, batches: OcrBatches) -> None:
        n, side = batches.config.batch_size, batches.config.crop_px
        self.group = batches.config.group
        self.glyphs = _shared(n, GLYPH_PX, GLYPH_PX)
        self.exposed = _shared(n, MAX_SIDE_PX * MAX_SIDE_PX)
        self.crops = _shared(n, side, side)
        self.labels = _shared(n, dtype=torch.int64)

    def rows(self, number: int) -> slice:
        """Of a group of the batch."""
        return slice(number * self.group, (number + 1) * self.group)

    def exposed_as(self, number: int, side: int) -> npt.NDArray[np.uint8]:
        """(N, side, side): room for a group's pictures."""
        return self.exposed[self.rows(number)].reshape(-1)[: self.group * side * side].reshape(-1, side, side)


class Conveyor:
    """Iterates over the same batches as OcrBatches gives, but for the GPU's own random numbers.

    Groups go from a process that draws them to the GPU, in a thread of this process, and on to one that crops them.
    """

    def __init__(self, batches: OcrBatches, first: int, device: torch.device, workers: int) -> None:
        """first: the step to begin with. workers: processes."""
        self._batches, self._first, self._device = batches, first, device
        self._slots = [_Slot(batches) for _ in range(AHEAD)]
        context = get_context("fork")  # shares the data's memory
        # Putting a job never waits: processes that wait to hand on, and a thread that waits to order, wait for ever.
        self._jobs = context.Queue()
        self._done = context.SimpleQueue()
        self._ready: queue.Queue[int | Exception] = queue.Queue()
        self._closing = False
        job = (batches, self._slots, self._jobs, self._done)
        self.workers = [context.Process(target=_work, args=job, daemon=True) for _ in range(workers)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for worker in self.workers:
            worker.start()
        exposing = threading.Thread(target=self._expose_all, daemon=True)
        exposing.start()
        try:
            for step in range(self._first, min(self._first + AHEAD, len(self._batches))):
                self._order(step)
            finished: set[int] = set()
            for step in range(self._first, len(self._batches)):
                while step not in finished:
                    found = self._ready.get()
                    if isinstance(found, Exception):
                        raise found
                    finished.add(found)
                slot = self._slots[step % AHEAD]
                crops, labels = (torch.from_numpy(a).to(self._device, copy=True) for a in (slot.crops, slot.labels))
                if step + AHEAD < len(self._batches):
                    self._order(step + AHEAD)
                yield crops.unsqueeze(1), labels
        finally:
            self._closing = True
            for worker in self.workers:
                worker.terminate()
            self._jobs.cancel_join_thread()
            exposing.join(10)  # it sees that they have ended

    def _order(self, step: int) -> None:
        for number in range(self._batches.groups):
            self._jobs.put((step, number, None, 0))

    def _expose_all(self) -> None:
        """Takes what the processes have done: drawn groups to the GPU and back, finished ones to the iterator."""
        try:
            finished = Counter[int]()
            ends = [worker.sentinel for worker in self.workers]
            reader = self._done._reader  # type: ignore[attr-defined]
            # Beside the training's work, not behind it.
            stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
            while True:
                if reader not in connection.wait([reader, *ends]):
                    raise RuntimeError("a process that makes batches has ended")
                step, number, group = self._done.get()
                if group is None:
                    finished[step] += 1
                    if finished[step] == self._batches.groups:
                        self._ready.put(step)
                    continue
                slot = self._slots[step % AHEAD]
                with torch.cuda.stream(stream):
                    exposed = replace(group, images=slot.glyphs[slot.rows(number)]).expose(self._device).cpu().numpy()
                slot.exposed_as(number, exposed.shape[-1])[:] = exposed
                self._jobs.put((step, number, group, exposed.shape[-1]))
        except Exception as error:
            if not self._closing:  # else nobody waits any more
                self._ready.put(error)


def _work(batches: OcrBatches, slots: list[_Slot], jobs: Any, done: Any) -> None:
    """A process: draws a group, or crops one that the camera has seen."""
    torch.set_num_threads(1)
    while True:
        step, number, group, side = jobs.get()
        slot = slots[step % AHEAD]
        rows = slot.rows(number)
        if group is None:
            drawn = batches.draw(step, number)
            slot.glyphs[rows], slot.labels[rows] = drawn.images, drawn.ids
            done.put((step, number, replace(drawn, images=NO_IMAGES, ids=NO_IDS)))
        else:
            whole = replace(group, images=slot.glyphs[rows], ids=slot.labels[rows])
            slot.crops[rows], slot.labels[rows] = batches.finish(whole, slot.exposed_as(number, side))
            done.put((step, number, None))


def _shared(*shape: int, dtype: torch.dtype = torch.uint8) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = torch.zeros(shape, dtype=dtype).share_memory_().numpy()
    return array
