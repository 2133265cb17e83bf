"""Statistics: what each model has done since the start, as ModelStatistics tells it."""

import time
from collections import defaultdict
from dataclasses import dataclass, field

from inference import grpc_service_pb2 as oip

from service.observer import Observer, Reason, Timing


@dataclass
class _Total:
    """How often, and for how many seconds in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds

    def message(self) -> oip.StatisticDuration:
        return oip.StatisticDuration(count=self.count, ns=round(1e9 * self.seconds))


@dataclass
class _Counts:
    """Of one model version. runs is written where a run is made, one at a time, all else in the event loop."""

    runs: int = 0
    last_ms: int = 0
    success: _Total = field(default_factory=_Total)
    failed: int = 0
    queue: _Total = field(default_factory=_Total)
    preprocess: _Total = field(default_factory=_Total)
    inference: _Total = field(default_factory=_Total)
    postprocess: _Total = field(default_factory=_Total)


class Statistics(Observer):
    """Counts rows of every protocol, whichever way they came."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, int], _Counts] = defaultdict(_Counts)

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        self._counts[model, version].runs += 1

    def answered(self, model: str, version: int, timing: Timing) -> None:
        counts = self._counts[model, version]
        counts.last_ms = time.time_ns() // 10**6
        counts.success.add(timing.queue_s + timing.preprocess_s + timing.inference_s + timing.postprocess_s)
        counts.queue.add(timing.queue_s)
        counts.preprocess.add(timing.preprocess_s)
        counts.inference.add(timing.inference_s)
        counts.postprocess.add(timing.postprocess_s)

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        self._counts[model, version].failed += 1

    def message(self, model: str, version: int) -> oip.ModelStatistics:
        """The counts of one model version."""
        counts = self._counts[model, version]
        return oip.ModelStatistics(
            name=model,
            version=str(version),
            last_inference=counts.last_ms,
            inference_count=counts.success.count,
            execution_count=counts.runs,
            inference_stats=oip.InferStatistics(
                success=counts.success.message(),
                fail=oip.StatisticDuration(count=counts.failed),
                queue=counts.queue.message(),
                compute_input=counts.preprocess.message(),
                compute_infer=counts.inference.message(),
                compute_output=counts.postprocess.message(),
            ),
        )
