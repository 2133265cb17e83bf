"""What an observer is told of runs and rows, and the durations in replies."""

import asyncio
from collections import Counter
from typing import Any

from tests.service.calls import code, image, until
from tianzi.v1 import cloze_pb2, ocr_pb2
from tianzi_service.telemetry.observer import Observer, Reason, Timing


class Notes(Observer):
    """Writes everything down."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, int]] = []
        self.timings: list[Timing] = []
        self.drops: Counter[str] = Counter()

    def ran(self, model: str, version: int, rows: int, seconds: float) -> None:
        assert seconds > 0
        self.runs.append((model, version, rows))

    def answered(self, model: str, version: int, timing: Timing) -> None:
        self.timings.append(timing)

    def dropped(self, model: str, version: int, reason: Reason) -> None:
        self.drops[reason] += 1


async def test_runs_and_answers_are_told_with_their_durations(serving: Any) -> None:
    notes = Notes()
    async with serving(notes) as running:
        reply = await running.ocr.Recognize(image(b"a"))
        requests = [cloze_pb2.FillRequest(text="字")] * 3
        await running.cloze.BatchFill(cloze_pb2.BatchFillRequest(requests=requests))
    assert notes.runs[0] == ("ocr", 7, 1)
    assert sum(rows for model, _, rows in notes.runs if model == "cloze") == 3
    assert len(notes.timings) == 4
    assert all(min(t.queue_s, t.preprocess_s, t.inference_s, t.postprocess_s) > 0 for t in notes.timings)
    assert reply.timing.inference_us == round(1e6 * notes.timings[0].inference_s)
    assert reply.timing.queue_us == round(1e6 * notes.timings[0].queue_s)
    assert not notes.drops


async def test_a_wait_for_the_engine_is_time_in_the_queue(serving: Any, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with serving() as running:
        first = running.ocr.Recognize(image(b"first"))
        await until(lambda: fake_ocr.runs)
        second = running.ocr.Recognize(image(b"second"))
        await until(lambda: len(fake_ocr.checked) == 2)
        await asyncio.sleep(0.1)
        fake_ocr.gate.set()
        assert (await first).timing.inference_us > 90_000
        assert (await second).timing.queue_us > 90_000


async def test_each_row_without_an_answer_is_told_with_its_reason(serving: Any, fake_ocr: Any) -> None:
    notes = Notes()
    async with serving(notes, queue_rows=1) as running:
        for data in (b"", b"poison", b"nan"):
            await code(running.ocr.Recognize(image(data)))
        fake_ocr.gate.clear()
        taken = running.ocr.Recognize(image(b"taken"))
        await until(lambda: "taken" in fake_ocr.ran)
        await code(running.ocr.Recognize(image(b"late")))
        taken.cancel()
        await until(lambda: notes.drops["cancelled"])
        fake_ocr.gate.set()
        await code(running.ocr.Recognize(ocr_pb2.RecognizeRequest(image=b"lost")))
    assert notes.drops == {"invalid": 1, "failed": 2, "full": 1, "cancelled": 1, "not_ready": 1}
