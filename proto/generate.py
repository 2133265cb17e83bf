"""Generates the Python stubs beside each .proto: python proto/generate.py [FOLDER, default: this one]."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from google.rpc import status_pb2

PROTO = Path(__file__).resolve().parent
PACKAGES = ("tianzi", "inference")
GOOGLE = Path(status_pb2.__file__).parents[2]
"""Holds google/rpc/status.proto: googleapis-common-protos ships it beside its stub."""


def main(folder: Path) -> None:
    """Writes *_pb2.py, *_pb2_grpc.py and a typed *.pyi of each under folder.

    Raises:
        subprocess.CalledProcessError: a .proto does not compile; protoc has said why on stderr.
    """
    scripts = Path(sysconfig.get_path("scripts"))
    plugins = [f"--plugin={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    quiet = ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet"]
    outputs = [f"--{kind}_out={folder}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")]
    sources = sorted(str(path) for package in PACKAGES for path in (PROTO / package).rglob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTO}", f"-I{GOOGLE}"]
    subprocess.run([*command, *plugins, *quiet, *outputs, *sources], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PROTO)
