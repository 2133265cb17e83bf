"""The package as others install it: what it imports, what it exports."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import tianzi
from tests.service.calls import nth

PROTO = Path(__file__).resolve().parents[2] / "proto"
WITHOUT = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"numpy", "PIL", "grpc_health", "grpc_status", "tianzi_models", "tianzi_service"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocked())
sys.path[:0] = sys.argv[1:2]
from tianzi import Client, InvalidInput

with Client(sys.argv[2]) as client:
    print(client.recognize(b"abc").text, client.fill("_____好").text, client.health())
    print(client.recognize(memoryview(bytes(6)).cast("B", (2, 3))).text)
    try:
        client.recognize(memoryview(bytes(6)).cast("B", (1, 2, 3)))
    except InvalidInput as error:
        print(error)
"""


def test_works_without_numpy_and_pillow(address: str) -> None:
    command = [sys.executable, "-c", WITHOUT, str(PROTO), address]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=60)
    expected = [f"{nth(3)} 6好 True", nth(6), "image: a colour array needs Pillow to encode it"]
    assert done.stdout.splitlines() == expected, done.stderr


def test_imports_are_declared() -> None:
    project = tomllib.loads((PROTO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert declared == {"grpcio", "protobuf", "googleapis-common-protos"}
    imported = set()
    for file in (PROTO / "tianzi").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.split(".")[0])
    assert imported - sys.stdlib_module_names == {"grpc", "google", "tianzi", "PIL"}, "PIL only where it is there"


def test_everything_exported_is_there() -> None:
    assert all(hasattr(tianzi, name) for name in tianzi.__all__)
    assert (PROTO / "tianzi" / "py.typed").exists()
