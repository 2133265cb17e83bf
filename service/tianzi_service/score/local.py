"""Engine: the models loaded into this process, as what a tianzi.Local asks."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

from tianzi import (
    InternalError,
    InvalidInput,
    Local,
    NotFound,
    Reading,
    Recognition,
    ServerInfo,
    TianziError,
    Unavailable,
    calls,
    convert,
)
from tianzi.calls import Call, Row, Task
from tianzi.v1 import ocr_pb2
from tianzi_models import errors
from tianzi_models.base import Model
from tianzi_models.gpu import Gpu
from tianzi_models.ocr.lattice import CANDIDATES
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model
from tianzi_models.runtime import NO_GPU
from tianzi_service.rpc import codec
from tianzi_service.scheduling.engine import outcomes
from tianzi_service.settings import Settings, available_cpus

AnyModel: TypeAlias = Model[Any, Any, Any, Any]
Result = TypeVar("Result")

DEVICES = ("auto", "cpu", "cuda")
BATCH_ITEMS = 64
"""Items of a run; on a CPU more gain nothing."""
NO_LIMIT = 2**32 - 1


class _Codec(NamedTuple):
    """A task's message → request, and answer and version → message."""

    decode: Callable[[Any], Any]
    encode: Callable[[Any, int], Any]


CODECS: dict[Task, _Codec] = {
    "ocr": _Codec(codec.ocr_request, codec.ocr_response),
    "cloze": _Codec(codec.cloze_request, codec.cloze_response),
}


@dataclass
class _Prepared(Generic[Result]):
    """A checked item. finish: the model's answer → what the caller gets. The request, a whole file maybe, is let go."""

    model: AnyModel
    item: Any
    finish: Callable[[Any], Result]


class Engine:
    """Models, loaded when first asked. Any number of threads may ask; a process that is forked loads its own.

    Requests and answers go through the same conversions as on the way to a server and back, so that they are the same.
    Every method raises the tianzi.TianziError that a Client of a server would.
    """

    def __init__(
        self,
        *,
        bundle_root: str | os.PathLike[str] | None = None,
        device: str = "auto",
        threads: int | None = None,
        batch_items: int = BATCH_ITEMS,
        gpu: Gpu = NO_GPU,
    ) -> None:
        """See Local. batch_items: of a run. gpu: what is for a card. Raises: InvalidInput."""
        if device not in DEVICES:
            raise InvalidInput(f"device: {device!r}, must be {', '.join(DEVICES)}", field="device")
        if threads is not None and threads < 1:
            raise InvalidInput(f"threads: {threads}, must be 1 at least", field="threads")
        self._root = None if bundle_root is None else Path(bundle_root)
        self._device = device
        self._threads = threads or available_cpus()
        self._batch_items = batch_items
        self._gpu = gpu
        self._forget()

    def one(self, task: Task, call: Call[Result]) -> Result:
        """Asks once."""
        (result,) = self._results([self._prepare(task, lambda _: call, None)])
        if isinstance(result, TianziError):
            raise result
        return result

    def row(self, row: Row) -> Reading:
        """Has a row of images read as one text."""
        requests = row.request.requests
        if not requests:
            raise InvalidInput("requests: 0 items, must be 1 at least", field="requests")
        version = requests[0].model_version

        def make(request: ocr_pb2.RecognizeRequest) -> Call[Recognition]:
            wanted = ocr_pb2.RecognizeRequest()
            wanted.CopyFrom(request)
            wanted.top_k = max(request.top_k, CANDIDATES)
            return Call(wanted, convert.recognition)

        shown: list[Recognition] = []
        results: Iterator[Any] = self.many("ocr", make, requests)
        for number, result in enumerate(results):
            if isinstance(result, InvalidInput):
                raise calls.of_row(result, number)
            if isinstance(result, TianziError):
                raise result
            shown.append(result)
        model = cast(OcrModel, self._model("ocr", version))
        text = model.read_row([{c.text: c.confidence for c in one.candidates} for one in shown])
        characters = tuple(
            replace(one, candidates=one.candidates[: request.top_k])
            for one, request in zip(shown, requests, strict=True)
        )
        return Reading(text, characters, shown[0].model_version)

    def many(
        self, task: Task, make_call: Callable[[Any], Call[Result]], items: Iterable[Any]
    ) -> Iterator[Result | TianziError]:
        """Asks for each item: files are read and decoded in threads while the model runs."""
        source = iter(items)

        def prepare_all(some: list[Any]) -> list[_Prepared[Result] | TianziError]:
            return [self._prepare(task, make_call, item) for item in some]

        # Two batches are under way: one is prepared while the model runs the other. A thread is asked once a batch:
        # once an item cost a tenth of the rate.
        batches: deque[list[Future[list[_Prepared[Result] | TianziError]]]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="prepare") as pool:
            while True:
                batch = list(islice(source, self._batch_items))
                share = -(-len(batch) // self._threads)
                batches.append(
                    [pool.submit(prepare_all, batch[n : n + share]) for n in range(0, len(batch), share or 1)]
                )
                if len(batches) == 2 or not batch:
                    yield from self._results(list(chain.from_iterable(f.result() for f in batches.popleft())))
                if not batch:
                    return

    def info(self) -> ServerInfo:
        """The models, which are loaded for it, and their limits."""
        models = {name: [self._model(name)] for name in CODECS}
        return convert.server_info(
            codec.info_response(models, max_message_bytes=NO_LIMIT, max_batch_items=NO_LIMIT)  # type: ignore[arg-type]
        )

    def _prepare(
        self, task: Task, make_call: Callable[[Any], Call[Result]], item: Any
    ) -> _Prepared[Result] | TianziError:
        """Raises: NotFound, Unavailable: what every item would meet."""
        if isinstance(item, TianziError):
            return item
        try:
            call = make_call(item)
        except TianziError as error:
            return error
        read, encode = call.read, CODECS[task].encode
        model = self._model(task, call.request.model_version)
        version = model.bundle.version
        try:
            checked = model.preprocess(CODECS[task].decode(call.request))
        except Exception as error:
            return _as_client_error(error)
        return _Prepared(model, checked, lambda answer: read(encode(answer, version)))

    def _results(self, batch: Sequence[_Prepared[Result] | TianziError]) -> Iterator[Result | TianziError]:
        """Runs what could be prepared, and gives each item's result in its place."""
        prepared = [entry for entry in batch if isinstance(entry, _Prepared)]
        ran: list[Any] = []
        for _, group in groupby(prepared, key=lambda entry: id(entry.model)):
            try:
                with self._busy:
                    ran += outcomes(_run, list(group))
            except errors.ModelNotReady as error:
                raise _as_client_error(error) from error
        results = iter(ran)
        for entry in batch:
            result = next(results) if isinstance(entry, _Prepared) else entry
            yield _as_client_error(result) if isinstance(result, Exception) else result

    def _model(self, name: Task, version: int = 0) -> AnyModel:
        """Raises: NotFound, Unavailable: it cannot be loaded."""
        if os.getpid() != self._pid:  # a fork: what onnxruntime had in threads stayed behind
            self._forget()
        with self._lock:
            if (name, version) not in self._models:
                try:
                    model = load_model(
                        name, self._root, version or None, device=self._device, threads=self._threads, gpu=self._gpu
                    )
                except errors.TianziError as error:
                    raise _as_client_error(error) from error
                self._models[name, version] = self._models.setdefault((name, model.bundle.version), model)
            return self._models[name, version]

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._busy = threading.Lock()  # a model is run by one thread at a time
        self._models: dict[tuple[str, int], AnyModel] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Another process loads its own models."""
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_busy", "_models", "_pid")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()


def local(settings: Settings) -> Local:
    """A Local as the server's settings say: bundle_root, threads, batch_rows, device and what is for a card."""
    return Local(
        engine=Engine(
            bundle_root=settings.bundle_root,
            device=settings.device,
            threads=settings.threads,
            batch_items=settings.batch_rows,
            gpu=settings.gpu,
        )
    )


def _run(entries: Sequence[_Prepared[Any]]) -> list[Any]:
    model = entries[0].model
    outputs = model.run([entry.item for entry in entries])
    return [entry.finish(model.postprocess(entry.item, output)) for entry, output in zip(entries, outputs, strict=True)]


def _as_client_error(error: Exception) -> TianziError:
    """What a server's client would see."""
    if isinstance(error, TianziError):
        return error
    if isinstance(error, errors.InvalidInput):
        return InvalidInput(str(error), field=error.field)
    if isinstance(error, errors.ModelNotFound):
        return NotFound(str(error))
    if isinstance(error, errors.BundleError | errors.ModelNotReady):
        return Unavailable(str(error))
    # An InferenceError names its cause itself.
    cause = str(error) if isinstance(error, errors.InferenceError) else f"{type(error).__name__}: {error}"
    internal = InternalError(f"internal error: {cause}")
    internal.__cause__ = error
    return internal
