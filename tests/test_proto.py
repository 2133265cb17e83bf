"""The public contract: buf's STANDARD rules hold, and the committed stubs are those of the .proto files."""

import runpy
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

PROTO = Path(__file__).resolve().parents[1] / "proto"
GENERATOR = PROTO / "generate.py"


def lint(proto: Path) -> subprocess.CompletedProcess[str]:
    """Runs buf lint with proto/buf.yaml on the tianzi folder under proto.

    buf is given a compiled image: from sources it would fetch google/rpc/status.proto from its registry.
    """
    image = proto.parent / "image.binpb"
    google = runpy.run_path(str(GENERATOR))["GOOGLE"]
    sources = [str(path) for path in sorted((proto / "tianzi").rglob("*.proto"))]
    outputs = ["--include_imports", "--include_source_info", f"--descriptor_set_out={image}"]
    compiler = [sys.executable, "-m", "grpc_tools.protoc", f"-I{proto}", f"-I{google}"]
    subprocess.run([*compiler, *outputs, *sources], check=True)
    buf = Path(sysconfig.get_path("scripts"), "buf")
    command = [str(buf), "lint", str(image), "--config", str(PROTO / "buf.yaml"), "--path", "tianzi"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of proto/ to spoil."""
    return shutil.copytree(PROTO, tmp_path / "proto", ignore=shutil.ignore_patterns("*.py*"))


def test_the_contract_keeps_bufs_standard_rules(copy: Path) -> None:
    result = lint(copy)
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_the_linter_would_complain(copy: Path) -> None:
    ocr = copy / "tianzi" / "v1" / "ocr.proto"
    ocr.write_text(ocr.read_text().replace("uint32 top_k", "uint32 topK"))
    assert 'Field name "topK" should be lower_snake_case' in lint(copy).stdout


def test_the_committed_stubs_are_the_generated_ones(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(GENERATOR), str(tmp_path)], check=True)
    fresh = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    committed = {
        path.relative_to(root): path.read_text()
        for root, package in runpy.run_path(str(GENERATOR))["SOURCES"]
        for path in (root / package).rglob("*_pb2*")
        if path.suffix != ".pyc"
    }
    assert fresh.keys() == committed.keys()
    stale = [str(name) for name in fresh if fresh[name] != committed[name]]
    assert not stale, "run ./run proto"
