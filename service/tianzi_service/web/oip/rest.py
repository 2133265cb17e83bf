"""/v2: the Open Inference Protocol's REST half. Each request becomes a message, which gRPC's own servicer answers."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from tianzi_service.rpc.oip.servicer import InferenceServicer
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.rpc.oip.v2 import model_config_pb2
from tianzi_service.scheduling.admission import Kind
from tianzi_service.scheduling.thread_pools import Threads
from tianzi_service.web.api import INLINE_BYTES
from tianzi_service.web.call import Call
from tianzi_service.web.endpoint import Handler
from tianzi_service.web.errors import Reply, json_reply
from tianzi_service.web.forms import read_json
from tianzi_service.web.messages import Style, fill, to_json
from tianzi_service.web.oip.tensors import HEAD_LENGTH, read_infer, write_infer

NUMBERS = Style(wide=int)
MODEL = "/v2/models/{model}"
VERSION = MODEL + "/versions/{version}"
UNAVAILABLE = 503


def handlers(inference: InferenceServicer, threads: Threads) -> dict[str, Mapping[str, Handler]]:
    """Path → HTTP method → handler. Those in OPEN need no token."""
    rest = _Rest(inference, threads)
    found: dict[str, Mapping[str, Handler]] = {
        "/v2/health/live": {"GET": rest.live},
        "/v2/health/ready": {"GET": rest.ready},
        "/v2": {"GET": rest.server},
        "/v2/repository/index": {"POST": rest.index},
        "/v2/models/stats": {"GET": rest.statistics},
    }
    for path in (MODEL, VERSION):
        found[f"{path}/infer"] = {"POST": rest.infer}
        found[f"{path}/ready"] = {"GET": rest.model_ready}
        found[f"{path}/config"] = {"GET": rest.configuration}
        found[f"{path}/stats"] = {"GET": rest.statistics}
        found[path] = {"GET": rest.model}
    return found


OPEN = ("/v2/health/live", "/v2/health/ready")
"""Probes have no token."""


class _Rest:
    """The handlers."""

    def __init__(self, inference: InferenceServicer, threads: Threads) -> None:
        self._inference = inference
        self._crew = threads.of(Kind.UNARY)

    async def live(self, call: Call) -> Reply:
        return json_reply(to_json(await self._inference.ServerLive(oip.ServerLiveRequest(), cast(Any, call))))

    async def ready(self, call: Call) -> Reply:
        told = await self._inference.ServerReady(oip.ServerReadyRequest(), cast(Any, call))
        return json_reply(to_json(told), 200 if told.ready else UNAVAILABLE)

    async def server(self, call: Call) -> Reply:
        told = await self._inference.ServerMetadata(oip.ServerMetadataRequest(), cast(Any, call))
        return json_reply(to_json(told))

    async def model(self, call: Call) -> Reply:
        told = await self._inference.ModelMetadata(oip.ModelMetadataRequest(**_named(call)), cast(Any, call))
        return json_reply(to_json(told, NUMBERS))

    async def model_ready(self, call: Call) -> Reply:
        told = await self._inference.ModelReady(oip.ModelReadyRequest(**_named(call)), cast(Any, call))
        data = {"name": call.parameters["model"], "ready": told.ready}
        return json_reply(data, 200 if told.ready else UNAVAILABLE)

    async def configuration(self, call: Call) -> Reply:
        told = await self._inference.ModelConfig(oip.ModelConfigRequest(**_named(call)), cast(Any, call))
        return json_reply(_config_json(told.config))

    async def statistics(self, call: Call) -> Reply:
        told = await self._inference.ModelStatistics(oip.ModelStatisticsRequest(**_named(call)), cast(Any, call))
        return json_reply(to_json(told, NUMBERS))

    async def index(self, call: Call) -> Reply:
        request = oip.RepositoryIndexRequest()
        if body := await call.body():
            fill(request, read_json(body))
        told = await self._inference.RepositoryIndex(request, cast(Any, call))
        return json_reply([to_json(model) for model in told.models])

    async def infer(self, call: Call) -> Reply:
        body = await call.body()
        named = _named(call)

        def read() -> Any:
            return read_infer(body, call.header(HEAD_LENGTH), named.get("name", ""), named.get("version", ""))

        request, binary = await self._soon(len(body), read)
        response = await self._inference.ModelInfer(request, cast(Any, call))
        reply: Reply = await self._soon(response.ByteSize(), lambda: write_infer(response, binary))
        return reply

    async def _soon(self, size_bytes: int, work: Callable[[], Any]) -> Any:
        """Small work is done here, large in a thread."""
        return work() if size_bytes <= INLINE_BYTES else await self._crew.run(work)


def _named(call: Call) -> dict[str, str]:
    """The model, and the version where the path names one."""
    parts = call.parameters
    return {name: parts[part] for name, part in (("name", "model"), ("version", "version")) if part in parts}


def _config_json(config: model_config_pb2.ModelConfig) -> Any:
    """Maps, which our own messages have none of, are written here."""
    return {
        "name": config.name,
        "platform": config.platform,
        "backend": config.backend,
        "max_batch_size": config.max_batch_size,
        "input": [to_json(tensor, NUMBERS) for tensor in config.input],
        "output": [to_json(tensor, NUMBERS) for tensor in config.output],
        "instance_group": [to_json(group, NUMBERS) for group in config.instance_group],
        "parameters": {name: {"string_value": each.string_value} for name, each in config.parameters.items()},
    }
