"""Who may import whom: proto ← service → models ← training."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "proto/tianzi": {"inference", "service", "models", "training", "torch", "onnxruntime", "jieba"},
    "models": {"service", "training", "tianzi", "inference", "grpc", "google", "torch", "onnx"},
    "service": {"training", "torch", "onnx"},
    "training": {"service", "tianzi", "inference", "grpc"},
}


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every import, those inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_folder_imports_only_what_its_layer_may(folder: str) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"{folder}: no Python file"
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in files
        for line, name in imported(file)
        if name in FORBIDDEN[folder]
    ]
    assert not wrong, "\n".join(wrong)
