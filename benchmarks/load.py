"""Load on the OCR service over the loopback address, beside MLServer with the same model and bare onnxruntime.

Bounded in calls and time. All processes share this machine's cores, the callers too.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import bare
import calls
import report
import targets
import uvloop
from bare import Bare
from driver import Measured, closed, opened, streamed
from latency import machine
from report import Results, Row
from targets import Server
from wire import Connection

from tianzi_models.registry import load_model

OPEN_SHARE = 0.5
"""The open loop's arrivals, of what 64 callers in a closed loop got."""


class Load:
    """Puts load on servers and keeps what it measured."""

    def __init__(self, images: Sequence[bytes], callers: Sequence[int], seconds: float) -> None:
        """seconds: for each line of the table."""
        self._images = images
        self._callers = callers
        self._seconds = seconds
        self.rows: list[Row] = []

    async def tianzi(self, server: Server) -> None:
        """Our own RPCs in a closed loop, then single calls in an open one."""
        async with calls.connected(server.address) as connections:
            await self._own_calls(server, connections)
            own = [row.rate for row in self.rows if (row.server, row.shape) == (server.name, "unary")]
            sends = [calls.unary(connection, self._images) for connection in connections]
            load = opened(sends, OPEN_SHARE * max(own), self._seconds)
            await self._measure(server, "unary", "open", 0, load)

    async def grpc_alone(self, server: Server) -> None:
        """The same calls of a closed loop to a server that has nothing to do."""
        async with calls.connected(server.address) as connections:
            await self._own_calls(server, connections)

    async def _own_calls(self, server: Server, connections: Sequence[Connection]) -> None:
        sends = {"unary": [calls.unary(connection, self._images) for connection in connections]}
        sends["batch"] = [calls.batch(connection, self._images) for connection in connections]
        streams = [calls.stream(connection) for connection in connections]
        await closed(sends["unary"], 8, min(1.0, self._seconds))  # warm-up
        for callers in self._callers:
            for shape, each in sends.items():
                await self._measure(server, shape, "closed", callers, closed(each, callers, self._seconds))
            load = streamed(streams, calls.messages(self._images), calls.answered, callers, self._seconds)
            await self._measure(server, "stream", "closed", callers, load)

    async def open_inference(self, server: Server) -> None:
        """The Open Inference Protocol in a closed loop: what MLServer and our server both speak."""
        async with asyncio.timeout(calls.READY_S):
            await calls.wait_ready(server.address)
        async with calls.connected(server.address) as connections:
            shapes = {"OIP unary": calls.infer(1), "OIP batch": calls.infer(calls.BATCH)}
            sends = {shape: [make(each, self._images) for each in connections] for shape, make in shapes.items()}
            await closed(sends["OIP unary"], 8, min(1.0, self._seconds))
            for callers in self._callers:
                for shape, each in sends.items():
                    await self._measure(server, shape, "closed", callers, closed(each, callers, self._seconds))

    async def overhead_us(self, server: Server) -> dict[int, float]:
        """Processor time of the server a single call, in microseconds, by callers. server: one without a model."""
        async with calls.connected(server.address) as connections:
            sends = [calls.unary(connection, self._images) for connection in connections]
            await closed(sends, 8, min(1.0, self._seconds))
            rows = [
                await self._measure(server, "unary", "closed", n, closed(sends, n, self._seconds))
                for n in self._callers
            ]
        return {row.callers: 1000 * row.cpu_ms for row in rows}

    async def _measure(self, server: Server, shape: str, loop: str, callers: int, load: Awaitable[Measured]) -> Row:
        before = server.cpu_s()
        got = await load
        cpu_ms = 1000 * (server.cpu_s() - before) / max(1, got.items)
        p50, p99 = got.percentile_ms(50), got.percentile_ms(99)
        row = Row(server.name, shape, loop, callers, got.rate, p50, p99, cpu_ms, got.failed)
        if got.failed:
            print(
                f"{server.name} {shape} {callers}: {got.failed} failed, the first: {got.first_error}", file=sys.stderr
            )
        self.rows.append(row)
        print(report.line(row), flush=True)
        return row


def measure(args: argparse.Namespace) -> Results:
    """Everything in turn, one server at a time; bare onnxruntime before and after, as a machine may change its pace."""
    cores = len(os.sched_getaffinity(0))
    model: Any = load_model("ocr", device="cpu", threads=cores)
    requests = [model.request_from_json(case["request"]) for case in model.bundle.golden()]
    load = Load([request.image for request in requests], args.callers, args.seconds)
    quick = min(1.0, args.seconds)

    def without() -> tuple[Bare, Bare]:
        return bare.best(requests, args.batches, quick, cores)

    before = without()
    print(report.HEAD)
    with targets.tianzi_server() as server:
        start_s = server.start_s
        run(load.tianzi(server))
        run(load.open_inference(server))
    if args.workers > 1:
        with targets.tianzi_server(workers=args.workers) as server:
            run(load.tianzi(server))
    with targets.echo_server(args.workers) as server:
        run(load.grpc_alone(server))
    with targets.null_server() as server:
        overhead_us = run(load.overhead_us(server))
    if args.mlserver:
        targets.install_mlserver()
        for workers in (0, 1):
            with TemporaryDirectory() as folder, targets.ml_server(Path(folder), workers) as server:
                run(load.open_inference(server))
    after = without()
    network, whole = (max(pair, key=lambda way: way.rate) for pair in zip(before, after, strict=True))
    return Results(machine(), load.rows, network, whole, overhead_us, start_s)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs the callers in the quickest event loop there is: they share the cores with the server."""
    return uvloop.run(work)


def main() -> None:
    """Measures, prints the table and what became of the aims; writes the plot and the section where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--callers", nargs="+", type=int, default=[1, 8, 64, 256], metavar="N")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 16, 32, 64], metavar="N", help="of bare runs")
    parser.add_argument("--seconds", type=float, default=4.0, help="for each line of the table")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="of ours, to compare with one; 1: not")
    parser.add_argument("--no-mlserver", dest="mlserver", action="store_false", help="leave MLServer out")
    parser.add_argument("--write", action="store_true", help="write benchmarks/load.png and the part of results.md")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    args = parser.parse_args()
    targets.stop_when_told()
    results = measure(args)
    print("\n" + report.aims(results))
    if args.json:
        args.json.write_text(json.dumps(asdict(results), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    if args.write:
        report.write(results, "python benchmarks/load.py " + " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
