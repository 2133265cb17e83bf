"""inference.GRPCInferenceService: the Open Inference Protocol for both models, on the pipelines of tianzi.v1."""

# ruff: noqa: N802 gRPC names the methods

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc

from tianzi import __version__
from tianzi_models.errors import InvalidInput, ModelNotFound
from tianzi_service.rpc.deadline import deadline_s
from tianzi_service.rpc.errors import to_status
from tianzi_service.rpc.oip import describe
from tianzi_service.rpc.oip.adapters import Adapter, ClozeAdapter, OcrAdapter, Parameters
from tianzi_service.rpc.oip.statistics import Statistics
from tianzi_service.rpc.oip.tensors import Spec, read, shown, write
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.rpc.oip.v2 import grpc_service_pb2_grpc as oip_grpc
from tianzi_service.rpc.streams import answer_stream
from tianzi_service.scheduling.admission import Kind
from tianzi_service.scheduling.model_versions import AnyModel, AnyPipeline, Served
from tianzi_service.scheduling.outcome import Answered, RowError
from tianzi_service.scheduling.pipeline import QUICK_BYTES
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.settings import Settings

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

ADAPTERS: Mapping[str, Adapter[Any, Any]] = {"ocr": OcrAdapter(), "cloze": ClozeAdapter()}
EXTENSIONS = ("model_configuration", "statistics")


class InferenceServicer(oip_grpc.GRPCInferenceServiceServicer):
    """Rows of a request go through the pipeline each by itself, as those of a batch of tianzi.v1 do."""

    def __init__(
        self,
        served: Mapping[str, Served],
        settings: Settings,
        threads: Threads,
        statistics: Statistics,
        is_ready: Callable[[str], Awaitable[bool]],
    ) -> None:
        """served: by model. threads: where tensors are taken apart. is_ready: whether a model can be asked."""
        self._served = served
        self._settings = settings
        self._threads = threads
        self._statistics = statistics
        self._is_ready = is_ready

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:
        return oip.ServerReadyResponse(ready=all([await self._is_ready(name) for name in self._served]))

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        """A version that is not there is not ready, whatever is written for one; an unknown model is an error."""
        served = self._named(request.name, "")[0]
        there = not request.version or request.version in map(str, served.versions)
        return oip.ModelReadyResponse(ready=there and await self._is_ready(served.name))

    async def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Context) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name="tianzi", version=__version__, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        model = self._model(request.name, request.version)
        return describe.metadata(model, ADAPTERS[model.name], self._served[model.name].versions)

    async def ModelConfig(self, request: oip.ModelConfigRequest, context: Context) -> oip.ModelConfigResponse:
        model = self._model(request.name, request.version)
        return oip.ModelConfigResponse(
            config=describe.configuration(model, ADAPTERS[model.name], self._settings.versions)
        )

    async def ModelStatistics(
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        asked = [request.name] if request.name else list(self._served)
        response = oip.ModelStatisticsResponse()
        for name in asked:
            served, number = self._named(name, request.version)
            versions = [self._model(name, request.version).bundle.version] if number else served.versions
            response.model_stats.extend(self._statistics.message(name, version) for version in versions)
        return response

    async def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        if request.repository_name:
            raise ModelNotFound(f"no repository {shown(request.repository_name)}: there is one, without a name")
        response = oip.RepositoryIndexResponse()
        for name, served in self._served.items():
            ready = await self._is_ready(name)
            for version in map(str, served.versions):
                if ready:
                    response.models.add(name=name, version=version, state="READY")
                elif not request.ready:
                    response.models.add(name=name, version=version, state="UNAVAILABLE", reason="lost or stopping")
        return response

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        return await self._infer(request, context, Kind.UNARY)

    async def ModelStreamInfer(  # type: ignore[override]
        self, request_iterator: AsyncIterator[oip.ModelInferRequest], context: Context
    ) -> None:
        async def answer(request: oip.ModelInferRequest) -> oip.ModelStreamInferResponse:
            try:
                return oip.ModelStreamInferResponse(infer_response=await self._infer(request, context, Kind.STREAM))
            except Exception as error:
                failed = oip.ModelInferResponse(id=request.id)
                return oip.ModelStreamInferResponse(error_message=to_status(error).message, infer_response=failed)

        await answer_stream(context, self._settings.stream_rows, answer)

    def _named(self, name: str, version: str) -> tuple[Served, int]:
        """The model of a name, and the version's number, 0 where none is named.

        Raises:
            ModelNotFound: no such model is served, or the version is no number.
        """
        served = self._served.get(name)
        if served is None:
            raise ModelNotFound(f"no model {shown(name)}, must be one of {', '.join(self._served)}")
        if not re.fullmatch(r"([1-9][0-9]{0,8})?", version):
            raise ModelNotFound(f"no version {shown(version)} of model {name}")
        return served, int(version or 0)

    def _model(self, name: str, version: str) -> AnyModel:
        """Raises ModelNotFound where no such model, or version of it, is served."""
        served, number = self._named(name, version)
        with served.use(number) as pipeline:
            return pipeline.model

    async def _infer(self, request: oip.ModelInferRequest, context: Context, kind: Kind) -> oip.ModelInferResponse:
        served, number = self._named(request.model_name, request.model_version)
        adapter = ADAPTERS[served.name]
        specs = _requested(request, adapter)

        def rows() -> list[Any]:
            tensors = read(request, adapter.inputs, self._settings.max_batch_items)
            return adapter.requests(tensors, Parameters(request.parameters))

        with served.use(number) as pipeline:
            size = request.ByteSize()
            # In a thread where they may be large: typed pixels are numbers by the million.
            requests = rows() if size <= QUICK_BYTES else await self._threads.of(kind).run(rows)
            answered = await _answer_all(pipeline, requests, adapter, size, deadline_s(context), kind)
        if len(answered) == 1:
            return _response(request, answered, adapter, specs)
        # In a thread, too: 256 texts of 64 blanks with 50 candidates each take most of a second.
        return await self._threads.of(kind).run(lambda: _response(request, answered, adapter, specs))


def _response(
    request: oip.ModelInferRequest, answered: Sequence[Answered[Any]], adapter: Adapter[Any, Any], specs: Sequence[Spec]
) -> oip.ModelInferResponse:
    """The answer with the outputs that were asked for, in the form of contents that the request has."""
    version = str(answered[0].version)
    response = oip.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
    arrays = adapter.arrays([row.answer for row in answered])
    for spec in specs:
        write(response, spec, arrays[spec.name], raw=bool(request.raw_input_contents))
    return response


async def _answer_all(
    pipeline: AnyPipeline,
    requests: Sequence[Any],
    adapter: Adapter[Any, Any],
    size_bytes: int,
    due_s: float | None,
    kind: Kind,
) -> list[Answered[Any]]:
    """Each request's answer, in order. One alone is a single call, several are a batch.

    Raises:
        InvalidInput: of the first bad row, which it names: the protocol has no error of a single row.
    """
    try:
        if len(requests) == 1:
            return [await pipeline.answer(requests[0], _same, kind=kind, size_bytes=size_bytes, deadline_s=due_s)]
        kind = Kind.STREAM if kind is Kind.STREAM else Kind.BATCH
        results = await pipeline.answer_many(
            requests, _same, kind=kind, size_bytes=size_bytes, deadline_s=due_s, whole=True
        )
    except InvalidInput as error:
        raise _renamed(error, 0, adapter) from error
    except RowError as failed:
        raise _renamed(failed.error, failed.number, adapter) from failed
    return [result for result in results if isinstance(result, Answered)]


def _renamed(error: Exception, number: int, adapter: Adapter[Any, Any]) -> Exception:
    """Bad input by the name of the tensor's element."""
    if not isinstance(error, InvalidInput):
        return error
    if error.field == "top_k":  # the same for all rows
        return InvalidInput("parameters.top_k", error.problem)
    return InvalidInput(f"{adapter.renamed.get(error.field, error.field)}[{number}]", error.problem)


def _same(request: Any) -> Any:
    return request


def _requested(request: oip.ModelInferRequest, adapter: Adapter[Any, Any]) -> Sequence[Spec]:
    """The outputs to return, in the order asked for.

    Raises:
        InvalidInput: one is unknown, asked for twice, or to be returned in a way that is not supported.
    """
    known = {spec.name: spec for spec in adapter.outputs}
    names = [output.name for output in request.outputs]
    for output in request.outputs:
        if output.name not in known:
            raise InvalidInput("outputs", f"{shown(output.name)} is not known, must be among {', '.join(known)}")
        for parameter in output.parameters:
            if parameter == "classification" or parameter.startswith("shared_memory"):
                raise InvalidInput("outputs", f"{output.name}: parameter {shown(parameter)} is not supported")
    if len(names) != len(set(names)):
        raise InvalidInput("outputs", "one is asked for twice")
    return [known[name] for name in names] if names else adapter.outputs
