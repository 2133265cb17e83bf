"""inference.GRPCInferenceService: the Open Inference Protocol for both models, on the pipelines of tianzi.v1."""

# ruff: noqa: N802 gRPC names the methods

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, TypeAlias

import grpc
from inference import grpc_service_pb2 as oip
from inference import grpc_service_pb2_grpc as oip_grpc
from tianzi import __version__

from models.errors import InvalidInput, ModelNotFound
from service.errors import to_status
from service.oip import describe
from service.oip.adapters import Adapter, ClozeAdapter, OcrAdapter, Parameters
from service.oip.statistics import Statistics
from service.oip.tensors import Spec, read, shown, write
from service.pipeline import Answered, Pipeline
from service.settings import Settings
from service.streams import answer_stream

AnyPipeline: TypeAlias = Pipeline[Any, Any]
Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

ADAPTERS: Mapping[str, Adapter[Any, Any]] = {"ocr": OcrAdapter(), "cloze": ClozeAdapter()}
EXTENSIONS = ("model_configuration", "statistics")


class InferenceServicer(oip_grpc.GRPCInferenceServiceServicer):
    """Rows of a request go through the pipeline each by itself, as those of a batch of tianzi.v1 do."""

    def __init__(
        self,
        pipelines: Mapping[str, AnyPipeline],
        settings: Settings,
        threads: Executor,
        statistics: Statistics,
        is_ready: Callable[[str], Awaitable[bool]],
    ) -> None:
        """pipelines: by model. threads: where tensors are taken apart. is_ready: whether a model can be asked."""
        self._pipelines = pipelines
        self._settings = settings
        self._threads = threads
        self._statistics = statistics
        self._is_ready = is_ready

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:
        return oip.ServerReadyResponse(ready=all([await self._is_ready(name) for name in self._pipelines]))

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        pipeline = self._pipeline(request.name, request.version)
        return oip.ModelReadyResponse(ready=await self._is_ready(pipeline.model.name))

    async def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Context) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name="tianzi", version=__version__, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        model = self._pipeline(request.name, request.version).model
        return describe.metadata(model, ADAPTERS[model.name])

    async def ModelConfig(self, request: oip.ModelConfigRequest, context: Context) -> oip.ModelConfigResponse:
        model = self._pipeline(request.name, request.version).model
        return oip.ModelConfigResponse(config=describe.configuration(model, ADAPTERS[model.name]))

    async def ModelStatistics(
        self, request: oip.ModelStatisticsRequest, context: Context
    ) -> oip.ModelStatisticsResponse:
        asked = [request.name] if request.name else list(self._pipelines)
        bundles = [self._pipeline(name, request.version).model.bundle for name in asked]
        return oip.ModelStatisticsResponse(
            model_stats=[self._statistics.message(bundle.name, bundle.version) for bundle in bundles]
        )

    async def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        if request.repository_name:
            raise ModelNotFound(f"no repository {shown(request.repository_name)}: there is one, without a name")
        response = oip.RepositoryIndexResponse()
        for name, pipeline in self._pipelines.items():
            version = str(pipeline.model.bundle.version)
            if await self._is_ready(name):
                response.models.add(name=name, version=version, state="READY")
            elif not request.ready:
                response.models.add(name=name, version=version, state="UNAVAILABLE", reason="lost or stopping")
        return response

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        return await self._infer(request)

    async def ModelStreamInfer(  # type: ignore[override]
        self, request_iterator: AsyncIterator[oip.ModelInferRequest], context: Context
    ) -> None:
        async def answer(request: oip.ModelInferRequest) -> oip.ModelStreamInferResponse:
            try:
                return oip.ModelStreamInferResponse(infer_response=await self._infer(request))
            except Exception as error:
                failed = oip.ModelInferResponse(id=request.id)
                return oip.ModelStreamInferResponse(error_message=to_status(error).message, infer_response=failed)

        await answer_stream(request_iterator, context, self._settings.stream_rows, answer)

    def _pipeline(self, name: str, version: str) -> AnyPipeline:
        """Raises ModelNotFound where no such model, or version of it, is served."""
        pipeline = self._pipelines.get(name)
        if pipeline is None:
            raise ModelNotFound(f"no model {shown(name)}, must be one of {', '.join(self._pipelines)}")
        if version not in ("", str(pipeline.model.bundle.version)):
            raise ModelNotFound(f"no version {shown(version)} of model {name}")
        return pipeline

    async def _infer(self, request: oip.ModelInferRequest) -> oip.ModelInferResponse:
        pipeline = self._pipeline(request.model_name, request.model_version)
        adapter = ADAPTERS[pipeline.model.name]
        specs = _requested(request, adapter)

        def rows() -> list[Any]:
            tensors = read(request, adapter.inputs, self._settings.max_batch_items)
            return adapter.requests(tensors, Parameters(request.parameters))

        # In a thread: typed pixels are numbers by the million.
        requests = await asyncio.get_running_loop().run_in_executor(self._threads, rows)
        pipeline.require_room()
        answered = await _answer_all(pipeline, requests, adapter)
        version = str(answered[0].version)
        response = oip.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
        arrays = adapter.arrays([row.answer for row in answered])
        for spec in specs:
            write(response, spec, arrays[spec.name], raw=bool(request.raw_input_contents))
        return response


async def _answer_all(
    pipeline: AnyPipeline, requests: Sequence[Any], adapter: Adapter[Any, Any]
) -> list[Answered[Any]]:
    """Each request's answer, in order. The first that fails takes the others out of the queue.

    Raises:
        InvalidInput: of the first bad row, which it names: the protocol has no error of a single row.
    """

    async def answer(number: int) -> Answered[Any]:
        try:
            return await pipeline.answer(requests[number], wait=True)
        except InvalidInput as error:
            if error.field == "top_k":  # the same for all rows
                raise InvalidInput("parameters.top_k", error.problem) from error
            raise InvalidInput(f"{adapter.renamed.get(error.field, error.field)}[{number}]", error.problem) from error

    try:
        async with asyncio.TaskGroup() as group:
            rows = [group.create_task(answer(number)) for number in range(len(requests))]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return [row.result() for row in rows]


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
