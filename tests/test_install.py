"""Where the packages are found: from a clone whatever lies beside it, and from the two wheels with the bundles."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

from tests.conftest import wait_until_serving
from tianzi import __version__

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"tianzi": ROOT / "proto", "tianzi_server": ROOT}
"""Distribution → the folder of its pyproject.toml."""
USE = """
from tianzi import Client
from tianzi_models.bundle import default_root, find
from tianzi_service.settings import Settings
for name in ("ocr", "cloze"):
    print(find(default_root(), name).relative_to(default_root()).as_posix())
print(default_root())
"""
ASK = """
import sys
from tianzi import Client
with Client(sys.argv[1], timeout=60) as client:
    print(client.recognize(sys.argv[2]).text)
"""


def python(code: str, cwd: Path, *args: str, by: str = sys.executable) -> str:
    left = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "BUNDLE_ROOT")}
    done = subprocess.run([by, "-c", code, *args], cwd=cwd, env=left, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """A user's folder: a clone called tianzi, and packages with the names of the source roots."""
    for root in ("models", "service", "training", "inference"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "__init__.py").write_text("raise ImportError('the wrong one')")
        (tmp_path / "tianzi" / root).mkdir(parents=True)
    return tmp_path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution → its wheel."""
    made = {}
    for name, folder in FOLDERS.items():
        target = tmp_path_factory.mktemp("dist")
        command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
        assert built.returncode == 0, built.stderr
        (made[name],) = target.glob("*.whl")
    return made


def test_a_clone_is_used_from_the_folder_above_it(beside: Path) -> None:
    *found, root = python(USE, beside).splitlines()
    assert root == str(ROOT / "models" / "bundles")
    assert [line.split("/")[0] for line in found] == ["ocr", "cloze"]


def test_the_wheels_hold_what_they_should_and_share_no_file(wheels: dict[str, Path]) -> None:
    files = {name: set(zipfile.ZipFile(wheel).namelist()) for name, wheel in wheels.items()}
    assert not files["tianzi"] & files["tianzi_server"]
    folders = {name: {file.split("/")[0] for file in held} for name, held in files.items()}
    info = {name: f"{name}-{__version__}.dist-info" for name in wheels}
    assert folders["tianzi"] == {"tianzi", info["tianzi"]}
    assert folders["tianzi_server"] == {"tianzi_models", "tianzi_service", info["tianzi_server"]}
    for name, held in files.items():
        assert f"{info[name]}/licenses/LICENSE" in held
    assert {"tianzi/py.typed", "tianzi/v1/ocr.proto"} <= files["tianzi"]
    bundles = {file.split("/")[2] for file in files["tianzi_server"] if file.startswith("tianzi_models/bundles/")}
    assert bundles == {"ocr", "cloze"}


def test_the_wheels_say_what_they_need(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        text = zipfile.ZipFile(wheel).read(f"{name}-{__version__}.dist-info/METADATA").decode()
        said = HeaderParser().parsestr(text)
        assert said["Version"] == __version__
        assert said["License-Expression"] == "Apache-2.0"
        assert str(said.get_payload()).lstrip().startswith("# tianzi")
        versions = re.findall(r"Python :: (3\.\d+)$", "\n".join(said.get_all("Classifier", [])), re.MULTILINE)
        assert versions == ["3.11", "3.12", "3.13", "3.14"]
    needs = [line for line in said.get_all("Requires-Dist", []) if line.startswith("tianzi")]
    minor = __version__.rpartition(".")[0]
    assert needs == [f"tianzi=={minor}.*"], "pyproject.toml: the server needs the client of its own minor version"


def test_run_takes_the_pythons_that_the_distributions_name() -> None:
    ((lowest, above),) = re.findall(r"\((3, \d+)\) <= sys.version_info < \((3, \d+)\)", (ROOT / "run").read_text())
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["requires-python"]
    assert requires == f">={lowest},<{above}".replace(", ", ".")


def environment(folder: Path) -> Path:
    """A Python of its own that sees the dependencies installed beside this one, but no tianzi."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=100)
    (site,) = folder.glob("lib/python*/site-packages")
    # The links of editable distributions are .pth files, which Python reads in site-packages alone.
    outer = [sysconfig.get_path("purelib"), *(path for path in sys.path if path.endswith("site-packages"))]
    (site / "dependencies.pth").write_text("\n".join(dict.fromkeys(outer)))
    return folder / "bin"


def pip(bin_: Path, *args: str) -> None:
    command = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "--disable-pip-version-check", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_wheels_are_installed_used_and_parted(wheels: dict[str, Path], beside: Path) -> None:
    client, server = environment(beside / "client"), environment(beside / "server")
    pip(client, "install", "--no-deps", str(wheels["tianzi"]))
    pip(server, "install", "--no-deps", *map(str, wheels.values()))
    shutil.rmtree(beside / "tianzi")
    shutil.copytree(ROOT / "docs", beside / "tianzi")  # no package, but a folder of that name
    assert {path.name for path in client.parent.glob("lib/python*/site-packages/*")} == {
        "tianzi",
        f"tianzi-{__version__}.dist-info",
        "dependencies.pth",
    }
    *found, root = python(USE, beside, by=str(server / "python")).splitlines()
    assert [line.split("/")[0] for line in found] == ["ocr", "cloze"]
    assert root.startswith(str(beside / "server"))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    left = {name: value for name, value in os.environ.items() if not name.startswith(("TIANZI_", "PYTHONPATH"))}
    command = [str(server / "tianzi"), "serve", "--port", str(port), "--device", "cpu"]
    serving = subprocess.Popen(command, cwd=beside, env=left, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_serving(f"127.0.0.1:{port}", serving)
        asked = (f"127.0.0.1:{port}", str(ROOT / "examples/zi.png"))
        assert python(ASK, beside, *asked, by=str(client / "python")) == "字\n"
    finally:
        serving.send_signal(signal.SIGTERM)
        serving.communicate(timeout=60)
    assert serving.returncode == 0

    pip(server, "uninstall", "--yes", "tianzi")
    python("import tianzi_models.bundle", beside, by=str(server / "python"))
    with pytest.raises(AssertionError, match="cannot import name 'Client' from 'tianzi'"):
        python(USE, beside, by=str(server / "python"))
    pip(server, "install", "--no-deps", str(wheels["tianzi"]))
    assert python(USE, beside, by=str(server / "python")).splitlines()[:-1] == found


@pytest.mark.slow
def test_without_onnxruntime_one_line_says_what_to_install(wheels: dict[str, Path], beside: Path) -> None:
    server = environment(beside / "server")
    pip(server, "install", "--no-deps", *map(str, wheels.values()))
    (site,) = (beside / "server").glob("lib/python*/site-packages")
    (site / "none.py").write_text("import sys\nsys.modules['onnxruntime'] = None\n")
    (site / "none.pth").write_text("import none\n")
    left = {name: value for name, value in os.environ.items() if not name.startswith(("TIANZI_", "PYTHONPATH"))}
    for args in (["serve", "--port", "0"], ["serve", "--port", "0", "--workers", "2"], ["models", "verify"]):
        done = subprocess.run(
            [str(server / "tianzi"), *args], cwd=beside, env=left, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 1, args
        assert 'pip install "tianzi-server[cpu]"' in done.stderr
        assert len(done.stderr.splitlines()) == 1, args
