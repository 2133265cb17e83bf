"""What the tensors of each model mean: tensors and parameters → requests, answers → tensors."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from tianzi_models.cloze.types import DEFAULT_TOP_K as CLOZE_TOP_K
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, ClozeRequest
from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.types import DEFAULT_TOP_K as OCR_TOP_K
from tianzi_models.ocr.types import OcrAnswer, OcrRequest
from tianzi_service.rpc.oip.tensors import BYTES, Array, Spec, shown
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.rpc.slips import require_allowed

Request = TypeVar("Request")
Answer = TypeVar("Answer")

MAX_TOP_K = 2**31 - 1
FOREIGN = frozenset(("timeout", "priority", "sequence_id", "sequence_start", "sequence_end"))
"""Parameters that Triton's and KServe's clients send for arguments of their own. They are let pass: every row is
answered by itself, and how long a call may take is told by its deadline."""


class Adapter(ABC, Generic[Request, Answer]):
    """One model's tensors."""

    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]
    renamed: Mapping[str, str] = {}
    """Fields of the model's requests whose tensors have other names."""

    @abstractmethod
    def requests(self, tensors: Mapping[str, Array], parameters: "Parameters") -> list[Request]:
        """One request a row. Raises InvalidInput where tensors or parameters contradict each other."""

    @abstractmethod
    def arrays(self, answers: Sequence[Answer]) -> dict[str, Array]:
        """Every output; where rows are of unlike length, the shorter are filled up with empty texts and zeros."""


class OcrAdapter(Adapter[OcrRequest, OcrAnswer]):
    """Encoded images or grey pixels in; characters out."""

    inputs = (Spec("image", BYTES, (-1,), optional=True), Spec("pixels", "UINT8", (-1, -1, -1), optional=True))
    outputs = (
        Spec("character", BYTES, (-1,)),
        Spec("confidence", "FP32", (-1,)),
        Spec("rejected", "BOOL", (-1,)),
        Spec("candidates", BYTES, (-1, -1)),
        Spec("confidences", "FP32", (-1, -1)),
    )

    def requests(self, tensors: Mapping[str, Array], parameters: "Parameters") -> list[OcrRequest]:
        top_k = parameters.top_k(OCR_TOP_K)
        allowed = tuple(filter(None, parameters.text("allowed").split(",")))
        require_allowed(allowed)
        parameters.require_no_more()
        if len(tensors) != 1:
            raise InvalidInput("inputs", "exactly one of image and pixels is needed")
        return [OcrRequest(row, top_k, allowed) for rows in tensors.values() for row in rows]

    def arrays(self, answers: Sequence[OcrAnswer]) -> dict[str, Array]:
        candidates = _filled([[c.text.encode() for c in answer.candidates] for answer in answers], 2, b"")
        confidences = _filled([[c.confidence for c in answer.candidates] for answer in answers], 2, 0.0)
        rejected = np.array([answer.rejected for answer in answers])
        character = candidates[:, 0].copy()
        character[rejected] = b""
        return {
            "character": character,
            "confidence": confidences[:, 0],
            "rejected": rejected,
            "candidates": candidates,
            "confidences": confidences,
        }


class ClozeAdapter(Adapter[ClozeRequest, ClozeAnswer]):
    """Texts with blanks in; a word for each blank out."""

    inputs = (
        Spec("text", BYTES, (-1,)),
        Spec("query", BYTES, (-1,), optional=True),
        Spec("words", BYTES, (-1, -1), optional=True),
    )
    outputs = (
        Spec("blanks", "INT32", (-1,)),
        Spec("answer", BYTES, (-1, -1)),
        Spec("confidence", "FP32", (-1, -1)),
        Spec("candidates", BYTES, (-1, -1, -1)),
        Spec("confidences", "FP32", (-1, -1, -1)),
    )
    renamed = {"document": "text", "candidates": "words"}  # noqa: RUF012

    def requests(self, tensors: Mapping[str, Array], parameters: "Parameters") -> list[ClozeRequest]:
        top_k, marker = parameters.top_k(CLOZE_TOP_K), parameters.text("marker")
        source = parameters.text("source") or "any"
        parameters.require_no_more()
        texts = _texts("text", tensors["text"])
        queries = _texts("query", tensors["query"]) if "query" in tensors else [""] * len(texts)
        # An empty word fills the tensor up where a row has fewer.
        words = [tuple(filter(None, _texts("words", row))) for row in tensors.get("words", [()] * len(texts))]
        rows = zip(texts, queries, words, strict=True)
        return [ClozeRequest(text, query, marker, chosen, top_k=top_k, source=source) for text, query, chosen in rows]

    def arrays(self, answers: Sequence[ClozeAnswer]) -> dict[str, Array]:
        blanks = [answer.blanks for answer in answers]
        candidates = _filled([[_words(blank) for blank in row] for row in blanks], 3, b"")
        confidences = _filled([[_confidences(blank) for blank in row] for row in blanks], 3, 0.0)
        return {
            "blanks": np.array([len(row) for row in blanks]),
            "answer": candidates[..., 0],
            "confidence": confidences[..., 0],
            "candidates": candidates,
            "confidences": confidences,
        }


class Parameters:
    """A request's parameters; each is to be asked for, or it is unknown."""

    def __init__(self, given: Mapping[str, oip.InferParameter]) -> None:
        self._given = given
        self._known: list[str] = []

    def top_k(self, default: int) -> int:
        """Raises InvalidInput unless it is a whole number; the model knows the limit."""
        value = self._value("top_k", default)
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_TOP_K:
            raise InvalidInput("parameters.top_k", f"{_shown(value)}, must be a whole number from 1")
        return value

    def text(self, name: str) -> str:
        """Raises InvalidInput unless it is a text; empty where it is not given."""
        value = self._value(name, "")
        if not isinstance(value, str):
            raise InvalidInput(f"parameters.{name}", f"{_shown(value)}, must be a text")
        return value

    def require_no_more(self) -> None:
        """Raises InvalidInput where a parameter was given that nobody has asked for."""
        for name in self._given:
            if name not in self._known and name not in FOREIGN:
                raise InvalidInput("parameters", f"{shown(name)} is not known, must be among {', '.join(self._known)}")

    def _value(self, name: str, default: Any) -> Any:
        self._known.append(name)
        if name not in self._given:
            return default
        parameter = self._given[name]
        kind = parameter.WhichOneof("parameter_choice")
        return getattr(parameter, kind) if kind else default


def _shown(value: Any) -> str:
    return shown(value) if isinstance(value, str) else str(value)


def _texts(name: str, items: Any) -> list[str]:
    return list(_decoded(name, items))


def _decoded(name: str, items: Any) -> Iterator[str]:
    for number, item in enumerate(items):
        try:
            yield item.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name}[{number}]", f"not UTF-8: byte {error.start}") from None


def _words(blank: BlankAnswer) -> list[bytes]:
    return [candidate.text.encode() for candidate in blank.candidates]


def _confidences(blank: BlankAnswer) -> list[float]:
    return [candidate.confidence for candidate in blank.candidates]


def _filled(rows: Sequence[Any], dimensions: int, empty: bytes | float) -> Array:
    """Nested lists as one array, as large as the longest of each dimension and at least 1, filled up with `empty`."""
    shape, level = [len(rows)], list(rows)
    for _ in range(dimensions - 1):
        shape.append(max([1, *map(len, level)]))
        level = [item for row in level for item in row]
    array = np.full(shape, empty, object if isinstance(empty, bytes) else np.float32)
    _fill(array, rows)
    return array


def _fill(array: Array, rows: Sequence[Any]) -> None:
    for place, row in enumerate(rows):
        if isinstance(row, list):
            _fill(array[place], row)
        else:
            array[place] = row
