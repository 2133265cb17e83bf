"""Who may import whom: tianzi ← tianzi_service → tianzi_models ← tianzi_training."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "tianzi": "proto",
    "tianzi_models": "models",
    "tianzi_service": "service",
    "tianzi_training": "training",
    "studies": "training",
}
"""Package → source root."""
TRAINING = {"tianzi_training", "studies"}
FORBIDDEN = {
    "tianzi": {"inference", "tianzi_service", "tianzi_models", "torch", "onnxruntime", "jieba", *TRAINING},
    "tianzi_models": {"tianzi_service", "tianzi", "inference", "grpc", "google", "torch", "onnx", *TRAINING},
    "tianzi_service": {"torch", "onnx", *TRAINING},
    "tianzi_training": {"tianzi_service", "tianzi", "inference", "grpc", "studies"},
    "studies": {"tianzi_service", "tianzi", "inference", "grpc"},
}
"""Package → what it never imports."""


def sources(package: str) -> dict[str, Path]:
    """Dotted name → file of a package's modules that are written by hand."""
    root = ROOT / PACKAGES[package]
    files = [file for file in sorted((root / package).rglob("*.py")) if "_pb2" not in file.name]
    assert files, f"{package}: no Python file"
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


MODULES = {name: file for package in PACKAGES for name, file in sources(package).items()}


def imported(file: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, those inside functions too; a module where it is one of ours."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{file}:{node.lineno}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else node.module


def within(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def breaches(modules: Mapping[str, Path], forbidden: Iterable[str]) -> str:
    """The imports of modules that are forbidden, a line each."""
    refused = set(forbidden)
    return "\n".join(
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in modules.values()
        for line, name in imported(file)
        if within(name, refused)
    )


@pytest.mark.parametrize("package", PACKAGES)
def test_package_imports_only_what_its_layer_may(package: str) -> None:
    assert not breaches(sources(package), FORBIDDEN[package])


def test_what_is_learnt_from_knows_no_test_set() -> None:
    data = {name: file for name, file in MODULES.items() if within(name, ["tianzi_training.ocr.data"])}
    assert data
    assert not breaches(data, ["tianzi_training.ocr.evaluation"])


@pytest.mark.parametrize("root", sorted({*PACKAGES.values()}))
def test_a_source_root_is_no_package(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()
