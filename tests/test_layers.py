"""Who may import whom: tianzi ← tianzi_service → tianzi_models ← tianzi_training, the rooms, no circles."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
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
    "tianzi": {"tianzi_service", "tianzi_models", "torch", "onnxruntime", "jieba", *TRAINING},
    "tianzi_models": {"tianzi_service", "tianzi", "grpc", "google", "torch", "onnx", *TRAINING},
    "tianzi_service": {"torch", "onnx", *TRAINING},
    "tianzi_training": {"tianzi_service", "tianzi", "grpc", "studies"},
    "studies": {"tianzi_service", "tianzi", "grpc"},
}
"""Package → what it never imports."""
ROOMS = ("cli", "score", "lifecycle", "web", "rpc", "scheduling", "telemetry")
"""Of tianzi_service. A room imports those to the right of it, never one to the left: score takes from lifecycle how a
process tells of its failure. All may import settings.py, which imports none of them."""
MAX_FILES = 14
"""Of a folder, written by hand; __init__.py and __main__.py do not count."""


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


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {name: {other for _, other in imported(file) if other in MODULES} for name, file in MODULES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(reversed(error.args[1])))


@pytest.mark.parametrize("room", [*ROOMS, "settings"])
def test_room_imports_only_those_to_the_right(room: str) -> None:
    modules = {name: file for name, file in MODULES.items() if within(name, [f"tianzi_service.{room}"])}
    assert modules, f"{room}: no Python file"
    refused = ROOMS[: ROOMS.index(room)] if room in ROOMS else ROOMS
    assert not breaches(modules, [f"tianzi_service.{other}" for other in refused])


def test_the_server_has_these_rooms() -> None:
    package = ROOT / "service/tianzi_service"
    assert {file.parent.name for file in package.glob("*/__init__.py")} == set(ROOMS)
    assert {file.stem for file in package.glob("*.py")} == {"__init__", "__main__", "settings"}


def test_no_folder_holds_more_files_than_one_can_overlook() -> None:
    counts = Counter(file.parent for file in MODULES.values() if not file.stem.startswith("__"))
    assert not {str(folder.relative_to(ROOT)): count for folder, count in counts.items() if count > MAX_FILES}


@pytest.mark.parametrize("root", sorted({*PACKAGES.values()}))
def test_a_source_root_is_no_package(root: str) -> None:
    assert not (ROOT / root / "__init__.py").exists()
