"""Prints another project's description of the protocol: python -m tests.outside.schema MODULE..., in base64."""

import base64
import importlib
import sys

from google.protobuf import descriptor_pb2

if __name__ == "__main__":
    described = descriptor_pb2.FileDescriptorSet()
    for name in sys.argv[1:]:
        importlib.import_module(name).DESCRIPTOR.CopyToProto(described.file.add())
    print(base64.b64encode(described.SerializeToString()).decode())
