"""Bounded load on one gRPC server: closed loops of callers, open loops of arrivals, and streams; what they measured."""

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

WINDOW = 32
"""Messages of one stream under way."""
RETRY_S = 0.1
"""A refused caller waits as long as our server asks it to."""
CONNECTIONS = 16
"""Callers share so many connections, as a pool of clients would: enough that each of two servers gets some."""

Send = Callable[[int], Awaitable[int]]
"""Makes the nth call; returns how many items were answered well."""


@dataclass
class Measured:
    """What a load gave. A latency is that of a call, or of a stream's item, in seconds; late_s: how much later than due
    calls were made, in an open loop."""

    seconds: float = 0.0
    items: int = 0
    failed: int = 0
    latencies: list[float] = field(default_factory=list)
    first_error: str = ""
    late_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds if self.seconds else 0.0

    def percentile_ms(self, percent: int) -> float:
        """A percentile of the latencies, in milliseconds; 0 where nothing was answered."""
        if len(self.latencies) < 2:
            return 1000 * sum(self.latencies)
        return 1000 * statistics.quantiles(self.latencies, n=100, method="inclusive")[percent - 1]

    async def take(self, send: Send, number: int, since: float) -> None:
        """Makes one call and counts it; since: when it was due."""
        try:
            answered = await send(number)
            self.items += answered
            self.latencies.append(time.perf_counter() - since)
        except Exception as error:  # a refused or failed call is a result of the measurement
            self.failed += 1
            self.first_error = self.first_error or f"{type(error).__name__}: {error}"
            await asyncio.sleep(RETRY_S)


async def closed(sends: Sequence[Send], callers: int, seconds: float) -> Measured:
    """Each caller calls again as soon as it has its answer; sends: one a connection, taken in turn."""
    result = Measured()
    began = time.perf_counter()

    async def caller(number: int) -> None:
        send, calls = sends[number % len(sends)], 0
        while time.perf_counter() - began < seconds:
            await result.take(send, number + calls, time.perf_counter())
            calls += 1

    await asyncio.gather(*(caller(number) for number in range(callers)))
    result.seconds = time.perf_counter() - began
    return result


async def opened(sends: Sequence[Send], rate: float, seconds: float) -> Measured:
    """Calls arrive at random (Poisson), whether or not earlier ones are answered. A latency counts from the moment
    that a call was due, so that a server that stalls cannot hide it by slowing its callers."""
    result = Measured()
    arrivals = random.Random(0)
    calls: set[asyncio.Task[None]] = set()
    began = due = time.perf_counter()
    number = 0
    while (due := due + arrivals.expovariate(rate)) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        result.late_s.append(time.perf_counter() - due)
        task = asyncio.create_task(result.take(sends[number % len(sends)], number, due))
        calls.add(task)
        task.add_done_callback(calls.discard)
        number += 1
    await asyncio.gather(*calls)
    result.seconds = time.perf_counter() - began
    return result


Streams = Callable[[], Any]
"""Opens a bidirectional stream."""


async def streamed(
    opens: Sequence[Streams], message: Callable[[int], Any], good: Callable[[Any], int], callers: int, seconds: float
) -> Measured:
    """Each caller keeps WINDOW messages of one stream under way. message: the nth; its id must be str(n)."""
    result = Measured()
    began = time.perf_counter()

    async def caller(number: int) -> None:
        call, sent, due = opens[number % len(opens)](), 0, {}
        while sent < WINDOW or due:
            if sent < WINDOW or time.perf_counter() - began < seconds:
                due[str(sent)] = time.perf_counter()
                await call.write(message(sent))
                sent += 1
            if sent >= WINDOW:
                answer = await call.read()
                result.latencies.append(time.perf_counter() - due.pop(answer.id))
                answered = good(answer)
                result.items += answered
                result.failed += 1 - answered
        await call.done_writing()

    await asyncio.gather(*(caller(number) for number in range(callers)))
    result.seconds = time.perf_counter() - began
    return result
