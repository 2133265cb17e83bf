"""Messages of tianzi.v1 ↔ the models' dataclasses. Checks only what a dataclass could not hold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tianzi import __version__
from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2
from tianzi_models.base import Model
from tianzi_models.bundle import GRAPH
from tianzi_models.cloze.types import DEFAULT_TOP_K as CLOZE_TOP_K
from tianzi_models.cloze.types import BlankAnswer, ClozeAnswer, ClozeRequest
from tianzi_models.errors import InvalidInput
from tianzi_models.ocr.lattice import CANDIDATES as ROW_CANDIDATES
from tianzi_models.ocr.lattice import Place
from tianzi_models.ocr.types import DEFAULT_TOP_K as OCR_TOP_K
from tianzi_models.ocr.types import GrayArray, OcrAnswer, OcrRequest
from tianzi_service.rpc.slips import require_allowed
from tianzi_service.scheduling.outcome import Answered
from tianzi_service.telemetry.observer import Timing

ASKED = {cloze_pb2.SOURCE_UNSPECIFIED: "any", cloze_pb2.SOURCE_ANY: "any", cloze_pb2.SOURCE_TEXT: "text"}
"""What a request may choose among."""
ORIGINS = {
    "text": cloze_pb2.SOURCE_TEXT,
    "candidates": cloze_pb2.SOURCE_CANDIDATES,
    "lexicon": cloze_pb2.SOURCE_LEXICON,
}


def ocr_request(message: ocr_pb2.RecognizeRequest) -> OcrRequest:
    """Raises InvalidInput where no image is set, pixels do not fill their rectangle, or allowed names no set."""
    source = message.WhichOneof("source")
    if source is None:
        raise InvalidInput("source", "missing, must be image or gray")
    image = message.image if source == "image" else _gray_array(message.gray)
    allowed = tuple(message.allowed)
    if allowed:
        require_allowed(allowed)
    return OcrRequest(image, message.top_k or OCR_TOP_K, allowed)


def ocr_response(
    answer: OcrAnswer, version: int, timing: Timing | None = None, into: ocr_pb2.RecognizeResponse | None = None
) -> ocr_pb2.RecognizeResponse:
    """version: of the model that answered. timing: where the time went, where that is known.

    into: an empty response to write into, a part of the message that is sent: what is built apart is copied there.
    """
    response = ocr_pb2.RecognizeResponse() if into is None else into
    add = response.candidates.add
    for candidate in answer.candidates:
        added = add()  # with names and values at once it takes longer
        added.text, added.confidence = candidate.text, candidate.confidence
    response.rejected = answer.rejected
    _sign(response, version, timing)
    return response


def row_request(message: ocr_pb2.RecognizeRequest) -> OcrRequest:
    """An image of a row, with as many candidates at least as the row's text is chosen among. Raises: as ocr_request."""
    request = ocr_request(message)
    return request._replace(top_k=max(request.top_k, ROW_CANDIDATES))


def row_places(answers: Sequence[OcrAnswer]) -> list[Place]:
    """What OcrModel.read_row takes."""
    return [{c.text: c.confidence for c in answer.candidates} for answer in answers]


def row_response(
    text: str, answered: Sequence[Answered[OcrAnswer]], messages: Sequence[ocr_pb2.RecognizeRequest]
) -> ocr_pb2.RecognizeSequenceResponse:
    """messages: the requests, which say how many candidates each is to get."""
    characters = []
    for one, message in zip(answered, messages, strict=True):
        wanted = replace(one.answer, candidates=one.answer.candidates[: message.top_k or OCR_TOP_K])
        characters.append(ocr_response(wanted, one.version, one.timing))
    return ocr_pb2.RecognizeSequenceResponse(text=text, characters=characters, model_version=answered[0].version)


def cloze_request(message: cloze_pb2.FillRequest) -> ClozeRequest:
    """Raises InvalidInput where no document is set."""
    document: str | tuple[str, ...]
    match message.WhichOneof("document"):
        case "text":
            document = message.text
        case "tokens":
            document = tuple(message.tokens.tokens)
        case _:
            raise InvalidInput("document", "missing, must be text or tokens")
    query = message.query_text or tuple(message.query_tokens.tokens) or ""
    if message.source not in ASKED:
        raise InvalidInput("source", f"{message.source}, must be SOURCE_ANY or SOURCE_TEXT")
    return ClozeRequest(
        document,
        query,
        message.marker,
        tuple(message.candidates),
        top_k=message.top_k or CLOZE_TOP_K,
        source=ASKED[message.source],
        each_once=message.each_once,
    )


def cloze_response(
    answer: ClozeAnswer, version: int, timing: Timing | None = None, into: cloze_pb2.FillResponse | None = None
) -> cloze_pb2.FillResponse:
    """See ocr_response."""
    response = cloze_pb2.FillResponse() if into is None else into
    for blank in answer.blanks:
        _write_blank(response.blanks.add(in_query=blank.in_query), blank)
    _sign(response, version, timing)
    return response


def info_response(
    models: Mapping[str, Sequence[Model[Any, Any, Any, Any]]], *, max_message_bytes: int, max_batch_items: int
) -> server_pb2.GetInfoResponse:
    """models: the versions of ocr and cloze, the newest first; the facts of the newest are the limits."""
    ocr, cloze = models["ocr"][0].bundle.facts, models["cloze"][0].bundle.facts
    limits = server_pb2.Limits(
        max_message_bytes=max_message_bytes,
        max_batch_items=max_batch_items,
        max_image_side_px=ocr["max_side_px"],
        max_characters=cloze["max_characters"],
        max_blanks=cloze["max_blanks"],
        max_candidates=cloze["max_candidates"],
    )
    return server_pb2.GetInfoResponse(
        version=__version__,
        models=[_model_info(model) for versions in models.values() for model in versions],
        limits=limits,
    )


def _model_info(model: Model[Any, Any, Any, Any]) -> server_pb2.ModelInfo:
    bundle = model.bundle
    return server_pb2.ModelInfo(
        name=bundle.name,
        version=bundle.version,
        provider=model.session.provider,
        max_top_k=bundle.facts["max_top_k"],
        vocabulary_size=model.vocabulary_size,
        graph_bytes=bundle.manifest["files"][GRAPH]["bytes"],
    )


def _sign(response: ocr_pb2.RecognizeResponse | cloze_pb2.FillResponse, version: int, timing: Timing | None) -> None:
    """Puts in what the answers of both models say of their making."""
    response.model_version = version
    if timing is not None:
        message = response.timing
        message.queue_us = round(1e6 * timing.queue_s)
        message.preprocess_us = round(1e6 * timing.preprocess_s)
        message.inference_us = round(1e6 * timing.inference_s)
        message.postprocess_us = round(1e6 * timing.postprocess_s)


def _gray_array(message: ocr_pb2.GrayImage) -> GrayArray:
    expected = message.width * message.height
    if len(message.pixels) != expected:
        size = f"{message.width} × {message.height}"
        raise InvalidInput("gray.pixels", f"{len(message.pixels)} bytes, must be {size} = {expected}")
    return np.frombuffer(message.pixels, np.uint8).reshape(message.height, message.width)


def _write_blank(message: cloze_pb2.Blank, blank: BlankAnswer) -> None:
    message.position.start, message.position.end = blank.position
    message.rejected, message.label = blank.rejected, blank.label
    for candidate in blank.candidates:
        added = message.candidates.add(
            text=candidate.text,
            confidence=candidate.confidence,
            source=ORIGINS[candidate.source],
            label=candidate.label,
        )
        for start, end in candidate.positions:
            added.positions.add(start=start, end=end)
