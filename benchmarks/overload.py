"""Overload: ten times the calls that a server can answer. How many it answers still, and how soon it refuses the rest.

Fill calls with a long document, for which the network is what is scarce; every call has a deadline. Callers go first,
as they would on machines of their own. A server that does nothing but refuse, by gRPC alone, tells what these cores
have left for answers beside so many refusals and their callers.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

import calls
import grpc
import targets
import uvloop
import wire
from driver import Measured, closed, opened
from first import going_first

from tianzi.v1 import cloze_pb2
from tianzi_service.scheduling.queue import TOO_LATE

SENTENCE = "小狗在河边跑来跑去，看见一只小猫在钓鱼。"
REFUSED = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.DEADLINE_EXCEEDED)
SOON_S = 0.05
AIM = 0.9


@dataclass
class Refusals:
    """Calls that were refused, after so many seconds; those that were taken in and then dropped from the queue; and
    those that ended otherwise without an answer."""

    seconds: list[float] = field(default_factory=list)
    dropped: int = 0
    timed_out: int = 0
    other: dict[str, int] = field(default_factory=dict)

    def late(self) -> int:
        """How many took longer than they may."""
        return sum(seconds > SOON_S for seconds in self.seconds)


class Caller:
    """Fill on one connection. Answers are counted by the driver, refusals here."""

    def __init__(self, connection: wire.Connection, sentences: int, timeout_s: float, refusals: Refusals) -> None:
        self._connection = connection
        self._request = cloze_pb2.FillRequest(text=sentences * SENTENCE + "____很高兴。").SerializeToString()
        self._timeout_s = timeout_s
        self._refusals = refusals

    async def __call__(self, number: int) -> int:
        began = time.perf_counter()
        try:
            await wire.unary(self._connection, calls.FILL, self._request, len, self._timeout_s)
            return 1
        except wire.CallError as error:
            waited_s = time.perf_counter() - began
            if error.code not in REFUSED:
                name = str(error)
                self._refusals.other[name] = self._refusals.other.get(name, 0) + 1
            elif waited_s >= self._timeout_s:
                self._refusals.timed_out += 1
            elif error.details == TOO_LATE:
                self._refusals.dropped += 1
            else:
                self._refusals.seconds.append(waited_s)
            return 0


async def measure(server: targets.Server, args: argparse.Namespace) -> dict[str, Any]:
    """Peak goodput of some callers, then goodput and refusals at args.factor times that rate."""
    refusals = Refusals()
    await calls.wait_ready(server.address)
    async with calls.connected(server.address) as connections:
        patient = [Caller(connection, args.sentences, 60, Refusals()) for connection in connections]
        peak = await closed(patient, args.callers, args.seconds)
    over = await _overload(server, args, args.factor * peak.rate, refusals)
    # The last answers come after the last arrival: goodput is what was answered in the time of the arrivals.
    return {
        "peak": peak.rate,
        "offered": args.factor * peak.rate,
        "goodput": over.items / over.seconds,
        "share_of_peak": over.items / over.seconds / peak.rate if peak.rate else 0.0,
        "refused": len(refusals.seconds),
        "refused_late": refusals.late(),
        "refused_p50_ms": _ms(refusals.seconds, 0.5),
        "refused_p99_ms": _ms(refusals.seconds, 0.99),
        "refused_max_ms": _ms(refusals.seconds, 1.0),
        "dropped": refusals.dropped,
        "timed_out": refusals.timed_out,
        "other": refusals.other,
        "sent_late_p50_ms": _ms(over.late_s, 0.5),
        "sent_late_p99_ms": _ms(over.late_s, 0.99),
    }


async def measure_refusing(server: targets.Server, args: argparse.Namespace, rate: float) -> dict[str, Any]:
    """What a refusal takes of the processor at so many a second, caller and server together, and what is left of it."""
    refusals = Refusals()
    before_s = server.cpu_s() + time.process_time()
    over = await _overload(server, args, rate, refusals)
    cpu_s = server.cpu_s() + time.process_time() - before_s
    return {
        "refusal_us": 1e6 * cpu_s / max(1, len(refusals.seconds)),
        "left": max(0.0, 1 - cpu_s / over.seconds / len(os.sched_getaffinity(0))),
    }


async def _overload(server: targets.Server, args: argparse.Namespace, rate: float, refusals: Refusals) -> Measured:
    async with calls.connected(server.address) as connections:
        hasty = [Caller(connection, args.sentences, args.timeout, refusals) for connection in connections]
        with going_first():
            return await opened(hasty, rate, args.seconds)


def _ms(seconds: list[float], part: float) -> float:
    """A quantile in milliseconds, 0 of nothing."""
    ordered = sorted(seconds) or [0.0]
    return 1000 * ordered[int(part * (len(ordered) - 1))]


def main() -> None:
    """Prints goodput and the time to a refusal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--callers", type=int, default=64, help="that reach the peak")
    parser.add_argument("--seconds", type=float, default=10.0, help="for the peak, and for the overload")
    parser.add_argument("--factor", type=float, default=10.0, help="of the peak are offered")
    parser.add_argument("--sentences", type=int, default=20, help="of a document, of 14 words each")
    parser.add_argument("--timeout", type=float, default=1.0, help="deadline of a call under overload, in seconds")
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    targets.stop_when_told()
    with targets.tianzi_server(workers=args.workers) as server:
        result = uvloop.run(measure(server, args))
    with targets.echo_server(args.workers) as server:
        result |= uvloop.run(measure_refusing(server, args, result["offered"] - result["goodput"]))
    if args.json:
        print(json.dumps(result, indent=2))
        return
    good, late = result["share_of_peak"], result["refused_late"] / max(1, result["refused"])
    print(f"peak {result['peak']:.0f} answers/s; offered {result['offered']:.0f} calls/s", end="")
    print(f", sent late by {result['sent_late_p50_ms']:.1f} ms, 99 % by {result['sent_late_p99_ms']:.1f} ms at most")
    verdict = "met" if good >= AIM else "missed"
    print(f"goodput {result['goodput']:.0f} answers/s, {good:.0%} of the peak (aim {AIM:.0%}: {verdict})")
    print(f"by gRPC alone a refusal takes {result['refusal_us']:.0f} µs with its caller: {result['left']:.0%} are left")
    times = ", ".join(f"{name} {result[f'refused_{name}_ms']:.1f} ms" for name in ("p50", "p99", "max"))
    print(f"refused {result['refused']:.0f}: {times}; {late:.2%} after more than {1000 * SOON_S:.0f} ms")
    others = "".join(f", {name} {count}" for name, count in sorted(result["other"].items()))
    ended = others or ", none ended otherwise"
    print(f"taken in and dropped {result['dropped']}, timed out {result['timed_out']}{ended}")


if __name__ == "__main__":
    main()
