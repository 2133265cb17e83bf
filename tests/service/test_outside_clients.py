"""Other projects' clients of the Open Inference Protocol, unchanged, and their descriptions of it against ours."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from tianzi_service.rpc.oip.v2 import grpc_service_pb2, model_config_pb2

ROOT = Path(__file__).resolve().parents[2]


def run(script: str, *arguments: str) -> str:
    """What tests/outside/SCRIPT.py prints; its own assertions are the test."""
    command = [sys.executable, "-m", f"tests.outside.{script}", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "proto"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", ["triton", "triton_aio", "kserve_client"])
def test_a_client_is_served_unchanged(address: str, script: str) -> None:
    run(script, address)


@pytest.mark.parametrize(
    "modules",
    [
        ("tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2"),
        ("kserve.protocol.grpc.grpc_predict_v2_pb2",),
    ],
)
def test_our_messages_are_theirs_on_the_wire(modules: tuple[str, ...]) -> None:
    """What both describe, they describe alike; all of ours is in Triton's."""
    theirs = descriptor_pb2.FileDescriptorSet.FromString(base64.b64decode(run("schema", *modules)))
    ours = [descriptor_pb2.FileDescriptorProto() for _ in range(2)]
    grpc_service_pb2.DESCRIPTOR.CopyToProto(ours[0])
    model_config_pb2.DESCRIPTOR.CopyToProto(ours[1])
    known, described = dict(facts(theirs.file)), dict(facts(ours))
    both = known.keys() & described.keys()
    assert len(both) > 50
    assert {name: described[name] for name in both} == {name: known[name] for name in both}
    if len(modules) == 2:
        assert not described.keys() - known.keys()


def facts(files: Iterable[descriptor_pb2.FileDescriptorProto]) -> Iterator[tuple[str, Any]]:
    """What counts on the wire: methods with their types, fields by their numbers, values of enums."""
    for file in files:
        for service in file.service:
            for method in service.method:
                kinds = (method.input_type, method.output_type, method.client_streaming, method.server_streaming)
                yield f"rpc {service.name}/{method.name}", kinds
        for enum in file.enum_type:
            yield from values(enum, enum.name)
        for message in file.message_type:
            yield from fields(message, message.name)


def fields(message: descriptor_pb2.DescriptorProto, path: str) -> Iterator[tuple[str, Any]]:
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
        yield f"{path} {field.number}", (field.name, field.type, field.label, field.type_name, oneof)
    for nested in message.nested_type:
        yield from fields(nested, f"{path}.{nested.name}")
    for enum in message.enum_type:
        yield from values(enum, f"{path}.{enum.name}")


def values(enum: descriptor_pb2.EnumDescriptorProto, path: str) -> Iterator[tuple[str, Any]]:
    for value in enum.value:
        yield f"{path} {value.number}", value.name
