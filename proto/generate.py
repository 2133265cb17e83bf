"""Generates the Python stubs beside each .proto: python proto/generate.py [FOLDER to write them under instead]."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from google.rpc import status_pb2

PROTO = Path(__file__).resolve().parent
SOURCES = ((PROTO, "tianzi"), (PROTO.parent / "service", "tianzi_service/rpc/oip/v2"))
"""Source root → folder of .proto files below it: the client's contract, and the Open Inference Protocol, which only
the server needs."""
GOOGLE = Path(status_pb2.__file__).parents[2]
"""Holds google/rpc/status.proto: googleapis-common-protos ships it beside its stub."""


def main(folder: Path | None = None) -> None:
    """Writes *_pb2.py, *_pb2_grpc.py and a typed *.pyi of each beside it, or under folder.

    Raises:
        subprocess.CalledProcessError: a .proto does not compile; protoc has said why on stderr.
    """
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    quiet = ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet"]
    for root, package in SOURCES:
        outputs = [f"--{kind}_out={folder or root}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
        sources = sorted(str(path) for path in (root / package).rglob("*.proto"))
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{root}", f"-I{GOOGLE}"]
        subprocess.run([*command, *plugins, *quiet, *outputs, *sources], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
