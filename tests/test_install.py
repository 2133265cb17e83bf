"""Where the packages are found: from a clone whatever lies beside it, and from a wheel with its bundles."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = """
from tianzi import Client
from tianzi_models.bundle import default_root, find
from tianzi_service.settings import Settings
for name in ("ocr", "cloze"):
    print(find(default_root(), name).relative_to(default_root()).as_posix())
print(default_root())
"""


def python(code: str, cwd: Path, **environment: str) -> str:
    left = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BUNDLE_ROOT")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env={**left, **environment}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A user's folder: a clone called tianzi, and packages with the names of the source roots."""
    for root in ("models", "service", "training"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "__init__.py").write_text("raise ImportError('the wrong one')")
        (tmp_path / "tianzi" / root).mkdir(parents=True)
    return tmp_path


def test_a_clone_is_used_from_the_folder_above_it(beside: Path) -> None:
    *found, root = python(USE, beside).splitlines()
    assert root == str(ROOT / "models" / "bundles")
    assert [line.split("/")[0] for line in found] == ["ocr", "cloze"]


def test_a_wheel_holds_packages_and_bundles_and_no_training(beside: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    folders = {path.name for path in site.iterdir() if path.suffix != ".dist-info"}
    assert folders == {"tianzi", "inference", "tianzi_models", "tianzi_service"}
    *found, root = python(USE, beside, PYTHONPATH=str(site)).splitlines()
    assert root == str(site / "tianzi_models" / "bundles")
    assert [line.split("/")[0] for line in found] == ["ocr", "cloze"]
