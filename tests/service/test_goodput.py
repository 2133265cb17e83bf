"""Ten times the rows that an engine can take, in simulated time: what is answered in time stays near the peak."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.service.test_batcher_machine import ClockLoop, ManualEngine
from tianzi_service.scheduling.batcher import Batcher

TICK_S = 0.001
ROWS, RUN_TICKS = 8, 18
PEAK = ROWS / (RUN_TICKS * TICK_S)
DEADLINE_S = 0.1


def answered_in_time(factor: float, seconds: float, refuse: bool = True) -> float:
    """Rows a second that were answered before their deadline, of factor × PEAK; refuse: as a pipeline does."""
    loop = ClockLoop()
    started: list[int] = []
    engine = ManualEngine(lambda _: started.append(tick))
    good = tick = 0

    async def ask(batcher: Batcher[int, int], deadline_s: float) -> None:
        nonlocal good
        if refuse and loop.now_s + batcher.expected_s(urgent=True) >= deadline_s:
            return
        if isinstance((await asyncio.gather(batcher.submit(1, deadline_s=deadline_s), return_exceptions=True))[0], int):
            good += loop.now_s <= deadline_s

    async def live() -> None:
        nonlocal tick

        def run(items: Sequence[int]) -> Sequence[int]:
            return items

        batcher: Batcher[int, int] = Batcher(run, ROWS, engine=engine, clock=asyncio.get_running_loop().time)
        tasks: list[asyncio.Task[Any]] = []
        came = 0
        for tick in range(int(seconds / TICK_S)):
            loop.now_s += TICK_S
            while came < factor * PEAK * tick * TICK_S:
                tasks.append(asyncio.create_task(ask(batcher, loop.now_s + DEADLINE_S)))
                came += 1
            if engine.job is not None and tick >= started[-1] + RUN_TICKS:
                engine.run()
            for _ in range(5):
                await asyncio.sleep(0)
        if engine.job is not None:
            engine.run()
        await batcher.close()
        await asyncio.gather(*tasks)

    loop.run_until_complete(live())
    loop.close()
    return good / seconds


@pytest.mark.parametrize("factor", [1.0, 2.0, 10.0])
def test_goodput_stays_near_the_peak(factor: float) -> None:
    assert answered_in_time(factor, seconds=2.0) >= 0.9 * PEAK


def test_what_is_late_is_dropped_even_where_nobody_is_refused() -> None:
    assert answered_in_time(10.0, seconds=1.0, refuse=False) >= 0.8 * PEAK
