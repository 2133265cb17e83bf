"""Statistics: what each model has done since the start, as ModelStatistics tells it."""

import time
from collections import defaultdict
from dataclasses import dataclass

from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.telemetry.observer import Observer, Reason, Timing


@dataclass(slots=True)
class _Counts:
    """Of one model version; seconds are sums. runs is written where a run is made, one at a time, all else in the event
    loop."""

    runs: int = 0
    last_s: float = 0.0
    answered: int = 0
    failed: int = 0
    queue_s: float = 0.0
    preprocess_s: float = 0.0
    inference_s: float = 0.0
    postprocess_s: float = 0.0

    @property
    def whole_s(self) -> float:
        return self.queue_s + self.preprocess_s + self.inference_s + self.postprocess_s

    def duration(self, seconds: float) -> oip.StatisticDuration:
        """Of the rows that were answered."""
        return oip.StatisticDuration(count=self.answered, ns=round(1e9 * seconds))


class Statistics(Observer):
    """Counts rows of every protocol, whichever way they came."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, int], _Counts] = defaultdict(_Counts)

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        self._counts[model, version].runs += 1

    def answered(self, model: str, version: int, timing: Timing) -> None:
        counts = self._counts[model, version]
        counts.last_s = time.time()
        counts.answered += 1
        counts.queue_s += timing.queue_s
        counts.preprocess_s += timing.preprocess_s
        counts.inference_s += timing.inference_s
        counts.postprocess_s += timing.postprocess_s

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        self._counts[model, version].failed += 1

    def message(self, model: str, version: int) -> oip.ModelStatistics:
        """The counts of one model version."""
        counts = self._counts[model, version]
        return oip.ModelStatistics(
            name=model,
            version=str(version),
            last_inference=int(1000 * counts.last_s),
            inference_count=counts.answered,
            execution_count=counts.runs,
            inference_stats=oip.InferStatistics(
                success=counts.duration(counts.whole_s),
                fail=oip.StatisticDuration(count=counts.failed),
                queue=counts.duration(counts.queue_s),
                compute_input=counts.duration(counts.preprocess_s),
                compute_infer=counts.duration(counts.inference_s),
                compute_output=counts.duration(counts.postprocess_s),
            ),
        )
