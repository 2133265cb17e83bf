"""Hours of mixed calls on one server, and whether its memory grows: resident size against time, with its uncertainty.

Images of many sizes and formats, documents of many lengths, batches, streams, bad requests and callers that leave.
Bounded in time, over the loopback address.
"""

import argparse
import asyncio
import io
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import grpc
import targets
import uvloop
from latency import machine
from PIL import Image, ImageDraw
from targets import Server

from tianzi.v1 import cloze_pb2, cloze_pb2_grpc, ocr_pb2, ocr_pb2_grpc

BLOCKS = 20
"""Neighbouring samples are alike; the means of so many stretches of time are nearly independent."""
T_975 = 2.101
"""Student's t for 95 % and BLOCKS - 2 degrees of freedom."""
WARM_UP = 0.2
"""The share of the time, at its beginning, that does not count: caches and allocators fill."""
MIB = 2**20
WORDS = "狐狸看见架子上挂着一串串葡萄跳了好几次怎么也够不着只好走开了说这些葡萄一定是酸的小猫钓鱼很高兴"


class Slope(NamedTuple):
    """A line's rise in MiB an hour, and the half-width of its 95 % interval."""

    mib_h: float
    half_width: float

    @property
    def flat(self) -> bool:
        """Whether no rise shows above the noise."""
        return self.mib_h - self.half_width <= 0


@dataclass
class Sample:
    """seconds: since the start."""

    seconds: float
    rss_bytes: int


def slope(samples: Sequence[Sample]) -> Slope:
    """Least squares through the means of BLOCKS stretches, the warm-up left out. samples: 2 × BLOCKS at least."""
    counted = [sample for sample in samples if sample.seconds >= WARM_UP * samples[-1].seconds]
    edges = [len(counted) * n // BLOCKS for n in range(BLOCKS + 1)]
    blocks = [counted[begin:end] for begin, end in pairwise(edges)]
    hours = [statistics.fmean(s.seconds for s in block) / 3600 for block in blocks]
    sizes = [statistics.fmean(s.rss_bytes for s in block) / MIB for block in blocks]
    rise, start = statistics.linear_regression(hours, sizes)
    residual = sum((size - start - rise * hour) ** 2 for hour, size in zip(hours, sizes, strict=True)) / (BLOCKS - 2)
    mean = statistics.fmean(hours)
    error = (residual / sum((hour - mean) ** 2 for hour in hours)) ** 0.5
    return Slope(rise, T_975 * error)


class Callers:
    """Random calls; stay: none is cancelled. outcomes: how many ended with each code; a batch's and a stream's items
    count apiece."""

    def __init__(self, channel: grpc.aio.Channel, seed: int, stay: bool) -> None:
        self._stay = stay
        self._random = random.Random(seed)
        self._ocr = ocr_pb2_grpc.OcrServiceStub(channel)
        self._cloze = cloze_pb2_grpc.ClozeServiceStub(channel)
        self.outcomes: Counter[str] = Counter()

    async def run(self, until_s: float) -> None:
        """One caller, until time.perf_counter() says so."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._single,
            self._single,
            self._fill,
            self._batch,
            self._stream,
            self._bad,
        ]
        if not self._stay:
            kinds.append(self._leave)
        while time.perf_counter() < until_s:
            try:
                await self._random.choice(kinds)()
            except grpc.aio.AioRpcError as error:
                self.outcomes[error.code().name] += 1

    def _image(self) -> bytes:
        side = self._random.choice([16, 48, 64, 100, 300, 700])
        picture = Image.new("L", (side, self._random.randint(side // 2, side)), 255)
        points = [(self._random.randrange(side), self._random.randrange(side)) for _ in range(6)]
        ImageDraw.Draw(picture).line(points, fill=0, width=max(1, side // 12))
        file = io.BytesIO()
        picture.save(file, self._random.choice(["PNG", "JPEG", "WEBP", "BMP"]))
        return file.getvalue()

    def _recognize(self) -> ocr_pb2.RecognizeRequest:
        return ocr_pb2.RecognizeRequest(image=self._image(), top_k=self._random.randint(1, 10))

    def _document(self) -> cloze_pb2.FillRequest:
        words = "".join(self._random.choices(WORDS, k=self._random.choice([10, 50, 200, 1000])))
        return cloze_pb2.FillRequest(text=f"{words}，____很高兴。")

    async def _single(self) -> None:
        await self._ocr.Recognize(self._recognize())
        self.outcomes["OK"] += 1

    async def _fill(self) -> None:
        await self._cloze.Fill(self._document())
        self.outcomes["OK"] += 1

    async def _batch(self) -> None:
        requests = [self._recognize() for _ in range(self._random.choice([2, 9, 33]))]
        reply = await self._ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=requests))
        self.outcomes["OK"] += sum(item.HasField("ok") for item in reply.items)

    async def _stream(self) -> None:
        call = self._cloze.StreamFill()
        for number in range(self._random.randint(1, 8)):
            await call.write(cloze_pb2.StreamFillRequest(id=str(number), request=self._document()))
        await call.done_writing()
        async for item in call:
            self.outcomes["OK" if item.HasField("ok") else "failed item"] += 1

    async def _bad(self) -> None:
        image = self._random.choice([b"x", self._image()[:12]])
        await self._ocr.Recognize(ocr_pb2.RecognizeRequest(image=image))

    async def _leave(self) -> None:
        call = self._ocr.Recognize(self._recognize())
        await asyncio.sleep(self._random.uniform(0, 0.02))
        call.cancel()
        self.outcomes["left"] += 1


async def soak(server: Server, callers: int, seconds: float, stay: bool) -> tuple[list[Sample], Counter[str]]:
    """Puts the load on and samples the server's memory, about five times a block."""
    samples: list[Sample] = []
    began = time.perf_counter()
    every_s = min(5.0, seconds / BLOCKS / 5)
    outcomes: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(server.address) as channel, asyncio.TaskGroup() as group:
        each = [Callers(channel, seed, stay) for seed in range(callers)]
        for caller in each:
            group.create_task(caller.run(began + seconds))
        while (now := time.perf_counter() - began) < seconds or len(samples) < 2 * BLOCKS:
            samples.append(Sample(now, server.rss_bytes()))
            await asyncio.sleep(every_s)
    for caller in each:
        outcomes += caller.outcomes
    return samples, outcomes


def main() -> None:
    """Prints a line a figure; exits 1 where memory grows or calls fail that should not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--callers", type=int, default=8, metavar="N")
    parser.add_argument("--stay", action="store_true", help="no caller leaves: gRPC keeps some bytes of each that does")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the samples: seconds, bytes")
    args = parser.parse_args()
    targets.stop_when_told()
    print(", ".join(f"{key} {value}" for key, value in machine().items()), flush=True)
    with targets.tianzi_server("--metrics-port", "0") as server:
        samples, outcomes = uvloop.run(soak(server, args.callers, 60 * args.minutes, args.stay))
    if args.csv:
        args.csv.write_text("".join(f"{s.seconds:.1f},{s.rss_bytes}\n" for s in samples), encoding="utf-8")
    grown = slope(samples)
    wrong = {code: count for code, count in outcomes.items() if code not in ("OK", "INVALID_ARGUMENT", "left")}
    print(f"{args.minutes:g} minutes, {args.callers} callers: {dict(outcomes)}")
    first, last = samples[0].rss_bytes / MIB, samples[-1].rss_bytes / MIB
    verdict = "flat" if grown.flat else "grows"
    print(f"resident at the start {first:.0f} MiB, at the end {last:.0f} MiB")
    print(f"after the warm-up {grown.mib_h:+.1f} ± {grown.half_width:.1f} MiB an hour: {verdict}")
    if wrong or not grown.flat:
        sys.exit(f"failed: {wrong}" if wrong else "memory grows")


if __name__ == "__main__":
    main()
