"""Fake models whose answers can be worked out, with a gate to hold their engine and payloads that make it fail."""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tianzi_models.base import Model
from tianzi_models.bundle import Bundle
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, ClozeRequest, WordCandidate
from tianzi_models.errors import InferenceError, InvalidInput, ModelNotReady
from tianzi_models.ocr.lattice import Place
from tianzi_models.ocr.types import Candidate, OcrAnswer, OcrRequest

WAIT_S = 20.0
"""Longer than anything here takes; a test that waits so long fails."""


class FakeModel(Model[Any, Any, int, Any]):
    """Answers with the payload's size. gate: closed, it holds the engine. checked: payloads that were preprocessed.
    runs: the payloads of each run. quick: whether payloads are quick to preprocess, but for those that begin with
    "big"."""

    contract = 1
    field: str
    vocabulary_size = 6763
    faults: dict[Any, BaseException] = {  # noqa: RUF012
        "poison": ZeroDivisionError("a secret of ours"),
        "nan": InferenceError("the network gave NaN"),
        "lost": ModelNotReady("CUDA is gone"),
        "killed": SystemExit(1),
    }

    def __init__(self, version: int, **facts: int) -> None:
        manifest = {"files": {"model.onnx": {"bytes": 12345}}}
        bundle = Bundle(Path("nowhere"), self.name, version, self.contract, facts, manifest)
        super().__init__(bundle, SimpleNamespace(provider="FakeProvider"))  # type: ignore[arg-type]
        self.gate = threading.Event()
        self.gate.set()
        self.quick = False
        self.checked: list[Any] = []
        self.runs: list[list[Any]] = []

    @property
    def ran(self) -> list[Any]:
        """Every payload that the engine has seen, in order."""
        return [payload for run in self.runs for payload in run]

    def is_quick(self, request: Any) -> bool:
        return self.quick and self.payload(request)[:3] != "big"

    def preprocess(self, request: Any) -> Any:
        if not self.size(request):
            raise InvalidInput(self.field, "empty")
        self.checked.append(self.payload(request))
        return request

    def run(self, items: Sequence[Any]) -> list[int]:
        payloads = [self.payload(item) for item in items]
        self.runs.append(payloads)
        if not self.gate.wait(WAIT_S):
            raise TimeoutError("the test left the gate closed")
        for payload in payloads:
            fault = self.faults.get(payload) if isinstance(payload, str) else None
            if fault is not None:
                raise fault
        return [self.size(item) for item in items]

    def payload(self, item: Any) -> Any:
        raise NotImplementedError

    def size(self, item: Any) -> int:
        raise NotImplementedError

    def request_from_json(self, data: dict[str, Any]) -> Any:
        raise NotImplementedError

    def answer_to_json(self, answer: Any) -> dict[str, Any]:
        raise NotImplementedError


class FakeOcr(FakeModel):
    """An image of n bytes or pixels shows the nth character after 一, or what is allowed; white pixels, nothing."""

    name = "ocr"
    field = "image"

    def __init__(self, version: int = 7) -> None:
        super().__init__(version, max_top_k=20, max_side_px=4096)

    def payload(self, item: OcrRequest) -> str | bytes:
        return item.image.decode(errors="replace") if isinstance(item.image, bytes) else item.image.tobytes()

    def size(self, item: OcrRequest) -> int:
        return len(item.image) if isinstance(item.image, bytes) else item.image.size

    def postprocess(self, item: OcrRequest, output: int) -> OcrAnswer:
        characters = item.allowed or [chr(ord("一") + output + place) for place in range(item.top_k)]
        candidates = tuple(Candidate(text, 1 / 2 ** (place + 1)) for place, text in enumerate(characters))
        return OcrAnswer(candidates, rejected=not isinstance(item.image, bytes) and bool((item.image == 255).all()))

    def read_row(self, row: Sequence[Place]) -> str:
        """The least likely of each."""
        return "".join(list(place)[-1] for place in row)


class FakeCloze(FakeModel):
    """Fills one blank, said to be at the document's start, with the document's length and the length of the query."""

    name = "cloze"
    costs_tokens = True
    field = "document"

    def __init__(self, version: int = 7) -> None:
        super().__init__(version, max_top_k=10, max_characters=20000, max_blanks=32, max_candidates=512)

    def payload(self, item: ClozeRequest) -> str:
        return item.document if isinstance(item.document, str) else " ".join(item.document)

    def size(self, item: ClozeRequest) -> int:
        return len(item.document)

    def postprocess(self, item: ClozeRequest, output: int) -> ClozeAnswer:
        words = [str(output), str(len(item.query)), item.marker, *item.candidates, str(item.top_k)]
        candidates = tuple(WordCandidate(word, 0.5, ((output, output + 1),)) for word in words)
        return ClozeAnswer((BlankAnswer(candidates, (0, 5), in_query=bool(item.query)),))
