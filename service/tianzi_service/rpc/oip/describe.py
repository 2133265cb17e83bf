"""What the protocol's metadata and configuration say of a model."""

from collections.abc import Iterable
from typing import Any

from tianzi_models.base import Model
from tianzi_models.bundle import GRAPH
from tianzi_models.gpu import CPU
from tianzi_service.rpc.oip.adapters import Adapter
from tianzi_service.rpc.oip.tensors import BYTES, Spec
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.rpc.oip.v2 import model_config_pb2 as config

PLATFORM, BACKEND = "onnxruntime_onnx", "onnxruntime"


def metadata(
    model: Model[Any, Any, Any, Any], adapter: Adapter[Any, Any], versions: Iterable[int]
) -> oip.ModelMetadataResponse:
    """A model's tensors. versions: those that serve."""

    def tensor(spec: Spec) -> oip.ModelMetadataResponse.TensorMetadata:
        return oip.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)

    return oip.ModelMetadataResponse(
        name=model.name,
        versions=map(str, sorted(versions)),
        platform=PLATFORM,
        inputs=map(tensor, adapter.inputs),
        outputs=map(tensor, adapter.outputs),
    )


def configuration(
    model: Model[Any, Any, Any, Any], adapter: Adapter[Any, Any], num_versions: int
) -> config.ModelConfig:
    """A model's configuration in Triton's terms; its parameters are the facts of the bundle.

    num_versions: how many versions may serve, the newest ones.
    """
    kind = config.ModelInstanceGroup.KIND_CPU if model.session.provider == CPU else config.ModelInstanceGroup.KIND_GPU
    inputs = [
        config.ModelInput(name=s.name, data_type=_data_type(s), dims=s.shape, optional=s.optional)
        for s in adapter.inputs
    ]
    outputs = [config.ModelOutput(name=s.name, data_type=_data_type(s), dims=s.shape) for s in adapter.outputs]
    facts = {name: config.ModelParameter(string_value=str(fact)) for name, fact in model.bundle.facts.items()}
    return config.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend=BACKEND,
        version_policy=config.ModelVersionPolicy(latest=config.ModelVersionPolicy.Latest(num_versions=num_versions)),
        input=inputs,
        output=outputs,
        instance_group=[config.ModelInstanceGroup(name=model.name, count=1, kind=kind)],
        default_model_filename=GRAPH,
        dynamic_batching=config.ModelDynamicBatching(),
        parameters=facts,
    )


def _data_type(spec: Spec) -> Any:
    return config.DataType.Value("TYPE_STRING" if spec.datatype == BYTES else f"TYPE_{spec.datatype}")
