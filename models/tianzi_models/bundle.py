"""Bundle: a folder with all that serving one model version needs, verified by sha256.

bundle.json   name, version, contract, facts, files {name: sha256, bytes}, and where it came from
model.onnx    the graph; weights.bin what it shares with model.int8.onnx, where there is one
*.txt         vocabularies; golden.json requests with the answers they must get
README.md     the model card: for people, so it is not among the verified files
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tianzi_models.errors import BundleError, ModelNotFound

FORMAT = 1
MANIFEST = "bundle.json"
GRAPH = "model.onnx"
INT8_GRAPH = "model.int8.onnx"
FP16_GRAPH = "model.fp16.onnx"
WEIGHTS = "weights.bin"
GOLDEN = "golden.json"


def default_root() -> Path:
    """Where bundles live: $BUNDLE_ROOT, else those that came along, in this package (wheel) or beside it (clone)."""
    if root := os.environ.get("BUNDLE_ROOT"):
        return Path(root)
    package = Path(__file__).parent
    inside = package / "bundles"
    return inside if inside.is_dir() else package.parent / "bundles"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle. Facts are the numbers that its model's code reads: sizes, limits, thresholds."""

    path: Path
    name: str
    version: int
    contract: int
    facts: Mapping[str, Any]
    manifest: Mapping[str, Any]

    @property
    def graph(self) -> Path:
        return self.path / GRAPH

    @property
    def int8_graph(self) -> Path | None:
        """The same graph for CPUs, where the bundle has one."""
        return self.path / INT8_GRAPH if INT8_GRAPH in self.manifest["files"] else None

    @property
    def fp16_graph(self) -> Path | None:
        """The same graph for graphics cards, where the bundle has one."""
        return self.path / FP16_GRAPH if FP16_GRAPH in self.manifest["files"] else None

    def text(self, name: str) -> str:
        """A vocabulary or other text file of the bundle."""
        return (self.path / name).read_text(encoding="utf-8")

    def golden(self) -> list[dict[str, Any]]:
        """Requests with the answers they must get: [{"request": …, "answer": …}]."""
        cases: list[dict[str, Any]] = json.loads(self.text(GOLDEN))
        return cases


def find(root: Path, name: str, version: int | None = None) -> Path:
    """The folder of one version of a model, the highest when none is named.

    Raises:
        ModelNotFound: there is no such model or version under root.
    """
    there = versions(root, name)
    if version is None and there:
        version = there[-1]
    if version not in there:
        wanted = "" if version is None else f" version {version}"
        raise ModelNotFound(f"no bundle of model {name}{wanted} under {root}")
    return root / name / str(version)


def versions(root: Path, name: str) -> list[int]:
    """The versions of a model under root, the highest last."""
    folders = (path for path in (root / name).glob("*") if path.is_dir())
    return sorted(int(path.name) for path in folders if re.fullmatch(r"[1-9]\d*", path.name))


def load(path: Path, contract: int) -> Bundle:
    """Reads a bundle and verifies every file in it.

    Raises:
        BundleError: something is missing, altered, or made for another contract.
    """
    manifest = _read_manifest(path)
    if manifest["contract"] != contract:
        raise BundleError(f"{path}: made for contract {manifest['contract']}, this code needs {contract}")
    for required in (GRAPH, GOLDEN):
        if required not in manifest["files"]:
            raise BundleError(f"{path / MANIFEST}: files: lacks {required}")
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"{file}: missing")
        if sha256(file) != expected["sha256"]:
            raise BundleError(f"{file}: sha256 differs from {MANIFEST}: the file is damaged or was replaced")
    return Bundle(path, manifest["name"], manifest["version"], contract, manifest["facts"], manifest)


def write(path: Path, files: Mapping[str, Path | bytes], manifest: Mapping[str, Any]) -> None:
    """Writes a bundle into a temporary folder beside path, then renames it into place.

    manifest: name, version, contract, facts and any provenance; files and format are filled in here.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    hashes = {}
    for name, source in files.items():
        target = temporary / name
        if isinstance(source, bytes):
            target.write_bytes(source)
        else:
            shutil.copyfile(source, target)
        hashes[name] = {"sha256": sha256(target), "bytes": target.stat().st_size}
    write_json(temporary / MANIFEST, {"format": FORMAT, **manifest, "files": hashes})
    if path.exists():
        shutil.rmtree(path)
    temporary.rename(path)


def write_json(path: Path, data: Any) -> None:
    """Writes JSON as people read it, through a temporary file: a kill leaves the old one whole."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_bytes(to_json(data))
    temporary.replace(path)


def to_json(data: Any) -> bytes:
    """JSON as people read it."""
    return (json.dumps(data, ensure_ascii=False, indent=2) + "\n").encode()


def sha256(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{file}: missing") from None
    except (OSError, ValueError) as error:
        raise BundleError(f"{file}: not readable as JSON: {error}") from None
    kinds = {"format": int, "name": str, "version": int, "contract": int, "facts": dict, "files": dict}
    for key, kind in kinds.items():
        if not isinstance(manifest, dict) or not isinstance(manifest.get(key), kind):
            raise BundleError(f"{file}: {key}: missing or not of type {kind.__name__}")
    if manifest["format"] != FORMAT:
        raise BundleError(f"{file}: format {manifest['format']}, this code reads {FORMAT}")
    return dict(manifest)
