"""Who may import whom: tianzi ← tianzi_service → tianzi_models ← tianzi_training."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_BELOW_TRAINING = {"tianzi_service", "tianzi", "inference", "grpc", "studies"}
FORBIDDEN = {
    "proto/tianzi": {
        "inference",
        "tianzi_service",
        "tianzi_models",
        "tianzi_training",
        "studies",
        "torch",
        "onnxruntime",
        "jieba",
    },
    "models/tianzi_models": {
        "tianzi_service",
        "tianzi_training",
        "studies",
        "tianzi",
        "inference",
        "grpc",
        "google",
        "torch",
        "onnx",
    },
    "service/tianzi_service": {"tianzi_training", "studies", "torch", "onnx"},
    "training/tianzi_training": NOT_BELOW_TRAINING,
    "training/studies": NOT_BELOW_TRAINING - {"studies"},
}
SOURCE_ROOTS = ("proto", "models", "service", "training")


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


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_source_root_is_no_package(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()
