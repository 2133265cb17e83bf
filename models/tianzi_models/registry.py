"""The models there are, and loading one: find, verify, open, replay its golden samples."""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

from tianzi_models import bundle as bundles
from tianzi_models.base import Model
from tianzi_models.bundle import Bundle
from tianzi_models.cloze.model import ClozeModel
from tianzi_models.errors import BundleError, TianziError
from tianzi_models.gpu import Gpu
from tianzi_models.ocr.model import OcrModel
from tianzi_models.runtime import NO_GPU, Session, may_use_cuda

MODELS: dict[str, type[Model[Any, Any, Any, Any]]] = {"ocr": OcrModel, "cloze": ClozeModel}
# fp16 on a GPU and another CPU's int8 kernels differ from the maker's machine by less than this.
GOLDEN_TOLERANCE = 0.02


def load_model(
    name: str,
    root: Path | None = None,
    version: int | None = None,
    device: str = "auto",
    threads: int = 1,
    warm_rows: int = 0,
    gpu: Gpu = NO_GPU,
) -> Model[Any, Any, Any, Any]:
    """Loads a version of a model (the highest by default) and replays its golden samples.

    warm_rows: the largest batch that is to be quick from the first one on; see warm_up. gpu: how a card is used.

    Raises:
        ModelNotFound: there is no such bundle.
        BundleError: it is broken, of another contract, or its answers are not the recorded ones.
    """
    cls = MODELS[name]
    path = bundles.find(root or bundles.default_root(), name, version)
    bundle = bundles.load(path, cls.contract)
    if (bundle.name, str(bundle.version)) != (name, path.name):
        raise BundleError(f"{path}: holds model {bundle.name} version {bundle.version}")
    model = cls(bundle, open_session(bundle, device, threads, gpu, bucketed=cls.bucketed))
    replay_golden(model)
    warm_up(model, warm_rows)
    return model


def warm_up(model: Model[Any, Any, Any, Any], rows: int) -> None:
    """Runs batches of 1, 2, 4 … rows: memory is taken and kernels are chosen before anybody waits for it."""
    items = [model.preprocess(model.request_from_json(case["request"])) for case in model.bundle.golden()]
    for size in [2**power for power in range(rows.bit_length())]:
        model.run(list(islice(cycle(items), size)))
        if model.session.on_gpu:  # rows that are all alike have another shape there
            model.run(items[-1:] * size)


def open_session(bundle: Bundle, device: str, threads: int, gpu: Gpu = NO_GPU, *, bucketed: bool = False) -> Session:
    """Opens the bundle's graph: of those there are, a card's is fp16, a CPU's int8. Raises: BundleError."""
    if device == "cuda" or may_use_cuda(device):
        half = bundle.fp16_graph if gpu.fp16 else None
        session = Session(half or bundle.graph, device, threads, gpu, bucketed=bucketed, fp16=half is not None)
        if session.on_gpu:
            return session
    return Session(bundle.int8_graph or bundle.graph, "cpu", threads)


def replay_golden(model: Model[Any, Any, Any, Any]) -> None:
    """Answers the bundle's golden requests and compares.

    Raises:
        BundleError: an answer differs: this code or this machine does not run the model as it was made.
    """
    for number, case in enumerate(model.bundle.golden(), start=1):
        try:
            got = model.answer_to_json(model.answer(model.request_from_json(case["request"])))
        except TianziError as error:
            raise BundleError(f"{model.bundle.path}: golden sample {number}: {error}") from error
        if not _close(got, case["answer"]):
            raise BundleError(f"{model.bundle.path}: golden sample {number} is answered otherwise than when made")


def _close(got: Any, expected: Any) -> bool:
    """Equal in structure and text; floats within the tolerance."""
    if isinstance(expected, float) and isinstance(got, float):
        return abs(got - expected) <= GOLDEN_TOLERANCE
    if isinstance(expected, dict) and isinstance(got, dict):
        return got.keys() == expected.keys() and all(_close(got[k], expected[k]) for k in expected)
    if isinstance(expected, list) and isinstance(got, list):
        return len(got) == len(expected) and all(_close(g, e) for g, e in zip(got, expected, strict=True))
    return bool(got == expected)
