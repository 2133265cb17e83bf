"""Local: the models loaded into this process, asked the way a tianzi.Client asks a server."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias, cast

from tianzi import Filling, InternalError, InvalidInput, Question, Reading, Recognition, TianziError, calls
from tianzi.calls import Call
from tianzi.types import DEFAULT_TOP_K, Document, ImageSource
from tianzi_models import errors
from tianzi_models.base import Model
from tianzi_models.ocr.lattice import CANDIDATES
from tianzi_models.ocr.model import OcrModel
from tianzi_models.registry import load_model
from tianzi_service.rpc import codec
from tianzi_service.scheduling.engine import outcomes
from tianzi_service.settings import Settings

AnyModel: TypeAlias = Model[Any, Any, Any, Any]


@dataclass
class _Prepared:
    """A checked item. finish: the model's answer → what the caller gets. The request, a whole file maybe, is let go."""

    item: Any
    finish: Callable[[Any], Any]


class Local:
    """recognize_sequence, recognize_many, fill and fill_many as Client has them. Models are loaded when first asked.

    Requests and answers go through the same conversions as on the way to a server and back, so that they are the same.
    """

    def __init__(self, settings: Settings) -> None:
        """settings: bundle_root, device and what is for a card, threads and batch_rows matter here."""
        self._settings = settings
        self._models: dict[str, AnyModel] = {}

    def recognize_many(
        self,
        images: Iterable[ImageSource | TianziError],
        *,
        top_k: int = DEFAULT_TOP_K,
        allowed: str | Sequence[str] = (),
    ) -> Iterator[Recognition | TianziError]:
        """See Client. Files are read and decoded in threads while the model runs.

        Raises:
            tianzi_models.errors.BundleError, tianzi_models.errors.ModelNotFound: the model cannot be loaded.
            tianzi_models.errors.ModelNotReady: its engine is lost.
        """
        make_call = partial(calls.recognize_call, top_k=top_k, allowed=allowed)
        return self._many("ocr", images, make_call, codec.ocr_request, codec.ocr_response)

    def recognize_sequence(
        self, images: Iterable[ImageSource], *, top_k: int = DEFAULT_TOP_K, allowed: str | Sequence[str] = ()
    ) -> Reading:
        """See Client. Raises: as recognize_many."""
        shown: list[Recognition] = []
        for number, result in enumerate(self.recognize_many(images, top_k=max(top_k, CANDIDATES), allowed=allowed)):
            if isinstance(result, InvalidInput):
                raise calls.of_row(result, number)
            if isinstance(result, TianziError):
                raise result
            shown.append(result)
        if not shown:
            raise InvalidInput("requests: 0 items, must be 1 at least", field="requests")
        model = cast(OcrModel, self._model("ocr"))
        text = model.read_row([{c.text: c.confidence for c in one.candidates} for one in shown])
        characters = tuple(replace(one, candidates=one.candidates[:top_k]) for one in shown)
        return Reading(text, characters, shown[0].model_version)

    def fill_many(self, questions: Iterable[Document | Question | TianziError]) -> Iterator[Filling | TianziError]:
        """See Client. Raises: as recognize_many."""
        return self._many("cloze", questions, calls.fill_call, codec.cloze_request, codec.cloze_response)

    def fill(
        self,
        document: Document,
        *,
        query: Document = "",
        marker: str = "",
        candidates: Sequence[str] = (),
        top_k: int = DEFAULT_TOP_K,
    ) -> Filling:
        """See Client. Raises: as recognize_many."""
        (result,) = self.fill_many([Question(document, query, marker, candidates, top_k)])
        if isinstance(result, TianziError):
            raise result
        return result

    def _many(
        self,
        name: str,
        items: Iterable[Any],
        make_call: Callable[[Any], Call[Any]],
        decode: Callable[[Any], Any],
        encode: Callable[[Any, int], Any],
    ) -> Iterator[Any]:
        model = self._model(name)
        source = iter(items)

        def prepare(item: Any) -> _Prepared | TianziError:
            try:
                if isinstance(item, TianziError):
                    raise item
                call = make_call(item)
                read = call.read
                checked = model.preprocess(decode(call.request))
                return _Prepared(checked, lambda answer: read(encode(answer, model.bundle.version)))
            except Exception as error:
                return _as_client_error(error)

        def prepare_all(some: list[Any]) -> list[_Prepared | TianziError]:
            return [prepare(item) for item in some]

        # Two batches are under way: one is prepared while the model runs the other. A thread is asked once a batch:
        # once an item cost a tenth of the rate.
        threads = self._settings.threads
        batches: deque[list[Future[list[_Prepared | TianziError]]]] = deque()
        with ThreadPoolExecutor(threads, thread_name_prefix="prepare") as pool:
            while True:
                batch = list(islice(source, self._settings.batch_rows))
                share = -(-len(batch) // threads)
                batches.append(
                    [pool.submit(prepare_all, batch[n : n + share]) for n in range(0, len(batch), share or 1)]
                )
                if len(batches) == 2 or not batch:
                    yield from _results(model, list(chain.from_iterable(f.result() for f in batches.popleft())))
                if not batch:
                    return

    def _model(self, name: str) -> AnyModel:
        if name not in self._models:
            settings = self._settings
            self._models[name] = load_model(
                name, settings.bundle_root, device=settings.device, threads=settings.threads, gpu=settings.gpu
            )
        return self._models[name]


def _results(model: AnyModel, batch: Sequence[_Prepared | TianziError]) -> Iterator[Any]:
    """Runs what could be prepared, and gives each item's result in its place."""

    def run(entries: Sequence[_Prepared]) -> list[Any]:
        outputs = model.run([entry.item for entry in entries])
        return [
            entry.finish(model.postprocess(entry.item, output)) for entry, output in zip(entries, outputs, strict=True)
        ]

    prepared = [entry for entry in batch if isinstance(entry, _Prepared)]
    results = iter(outcomes(run, prepared) if prepared else [])
    for entry in batch:
        result = next(results) if isinstance(entry, _Prepared) else entry
        yield _as_client_error(result) if isinstance(result, Exception) else result


def _as_client_error(error: Exception) -> TianziError:
    """What a server's client would see."""
    if isinstance(error, TianziError):
        return error
    if isinstance(error, errors.InvalidInput):
        return InvalidInput(str(error), field=error.field)
    # An InferenceError names its cause itself.
    cause = str(error) if isinstance(error, errors.InferenceError) else f"{type(error).__name__}: {error}"
    internal = InternalError(f"internal error: {cause}")
    internal.__cause__ = error
    return internal
