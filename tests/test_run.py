"""The task runner, without network: its help, and what it says where something is missing."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SH = shutil.which("dash") or "/bin/sh"
# All of the system that ./run uses before there is a .venv, apart from Python.
TOOLS = ("cat", "cksum", "grep", "id", "rm", "sed", "tail", "tee")
FITS = "exit 0"
TOO_OLD = '[ "$1" = -V ] && echo Python 3.9.2 && exit; exit 3'
NO_VENV = '[ "$1" = -V ] && echo Python 3.12.3 && exit; exit 4'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with run alone, in a path with a space, and no .venv."""
    folder = tmp_path / "my checkout"
    (folder / "training/tianzi_training/ocr/data").mkdir(parents=True)
    (folder / "proto").mkdir()
    for name in ("run", "pyproject.toml", "proto/pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def run(folder: Path, *args: str, programs: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Calls ./run of a folder with nothing on PATH but TOOLS and the given programs, each a shell script's body."""
    path = folder.parent / "bin"
    path.mkdir(exist_ok=True)
    for tool in TOOLS:
        (path / tool).unlink(missing_ok=True)
        (path / tool).symlink_to(str(shutil.which(tool)))
    for name, body in (programs or {}).items():
        (path / name).write_text(f"#!{SH}\n{body}\n")
        (path / name).chmod(0o755)
    environment = {"PATH": str(path), "HOME": str(folder.parent)}
    return subprocess.run(
        [SH, str(folder / "run"), *args], env=environment, cwd="/", capture_output=True, text=True, timeout=30
    )


def tasks(usage: str) -> set[str]:
    return set(re.findall(r"^  ([\w-]+) ", usage, re.MULTILINE))


@pytest.mark.parametrize("script", ["run", ".ci/run"])
def test_scripts_parse_and_are_executable(script: str) -> None:
    shell = "bash" if script == ".ci/run" else SH
    assert subprocess.run([shell, "-n", str(ROOT / script)], capture_output=True).returncode == 0
    assert os.access(ROOT / script, os.X_OK)


def test_bare_run_lists_its_tasks(checkout: Path) -> None:
    bare = run(checkout)
    assert bare.returncode == 0
    assert {"serve", "test", "lint", "proto", "fonts", "train", "bench", "image"} <= tasks(bare.stdout)
    assert run(checkout, "--help").stdout == bare.stdout


def test_listed_tasks_are_the_ones_there_are(checkout: Path) -> None:
    script = (ROOT / "run").read_text()
    labels = re.findall(r"^([a-z |-]+)\)", script.split("# --- the tasks")[1], re.MULTILINE)
    assert {name for label in labels for name in label.split(" | ")} == tasks(run(checkout).stdout)


def test_every_task_that_the_documents_name_is_listed(checkout: Path) -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("models/bundles/*/*/README.md")]
    named = {name for file in documents for name in re.findall(r"\./run ([a-z-]+)", file.read_text(encoding="utf-8"))}
    assert {"serve", "test"} <= named <= tasks(run(checkout).stdout)


def test_unknown_task_is_a_usage_error(checkout: Path) -> None:
    unknown = run(checkout, "fly")
    assert unknown.returncode == 2
    assert unknown.stdout == ""
    assert "no task fly" in unknown.stderr
    assert "serve" in tasks(unknown.stderr)


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({}, ["Python 3.11, 3.12, 3.13 or 3.14", "found none", "apt install python3 python3-venv"]),
        ({"python3": TOO_OLD}, ["found Python 3.9.2", "apt install"]),
        ({"python3": NO_VENV}, ["Python 3.12.3 lacks its venv module", "apt install python3-venv"]),
        ({"python3": TOO_OLD, "python3.12": NO_VENV}, ["Python 3.12.3 lacks", "apt install python3.12-venv"]),
    ],
)
def test_missing_python_is_said_plainly(checkout: Path, programs: dict[str, str], said: list[str]) -> None:
    result = run(checkout, "serve", programs=programs)
    assert result.returncode == 1
    for text in said:
        assert text in result.stderr
    assert not (checkout / ".venv").exists()


def test_first_python_that_fits_is_taken(checkout: Path) -> None:
    makes = 'case "$*" in "-m venv .venv") echo 3.13 makes it; exit 1 ;; esac'
    result = run(checkout, "serve", programs={"python3": TOO_OLD, "python3.13": makes, "python3.12": NO_VENV})
    assert "3.13 makes it" in result.stdout


def test_half_made_environment_is_made_anew(checkout: Path) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/left-over").touch()
    makes = 'case "$*" in "-m venv .venv") exit 1 ;; esac'
    assert "Making .venv" in run(checkout, "serve", programs={"python3": makes}).stdout
    assert not (checkout / ".venv").exists()


@pytest.fixture
def installed(checkout: Path) -> Path:
    """A checkout whose .venv has a Python that writes down how it is called, and a stamp once it has installed."""
    folder = checkout / ".venv" / "bin"
    folder.mkdir(parents=True)
    (folder / "python").write_text(f'#!{SH}\necho "$*" >>"{checkout}/calls"\n[ "$2 $3" != "pip show" ]\n')
    (folder / "python").chmod(0o755)
    return checkout


def calls(folder: Path) -> list[str]:
    file = folder / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return [line for line in lines if line.startswith("-m ") and "pip -V" not in line and "pip show" not in line]


def test_serve_installs_once_and_passes_arguments_on(installed: Path) -> None:
    assert run(installed, "serve", "--port", "6000").returncode == 0
    install, serve = calls(installed)
    assert install.startswith("-m pip install")
    assert install.endswith("-e proto -e .[cpu,score]")
    assert serve == "-m tianzi_service serve --port 6000"

    assert run(installed, "serve").returncode == 0
    assert calls(installed) == ["-m tianzi_service serve"]

    for changed in ("pyproject.toml", "proto/pyproject.toml"):
        with (installed / changed).open("a") as file:
            file.write("# changed\n")
        assert run(installed, "serve").returncode == 0
        assert len(calls(installed)) == 2


def test_a_copy_of_the_client_is_replaced_by_a_link(installed: Path) -> None:
    run(installed, "serve")
    (installed / ".venv/lib/python3.14/site-packages/tianzi").mkdir(parents=True)
    calls(installed)
    assert run(installed, "serve").returncode == 0
    assert calls(installed)[0].startswith("-m pip install")


def test_test_adds_training_and_development(installed: Path) -> None:
    assert run(installed, "test", "-k", "ocr").returncode == 0
    install, test = calls(installed)
    assert install.endswith("-e .[cpu,score,train,dev]")
    assert test == "-m pytest -k ocr"
    assert run(installed, "serve").returncode == 0
    assert calls(installed) == ["-m tianzi_service serve"], "what testing needs holds what serving needs"


def test_test_says_how_long_it_takes_and_how_to_run_a_part(installed: Path) -> None:
    said, part = run(installed, "test").stdout, run(installed, "test", "tests/models").stdout
    assert said.startswith("All tests but the slow ones: about") and "./run test tests/models" in said
    assert "All tests" not in part


@pytest.mark.parametrize(("driver", "runtime"), [(FITS, "gpu"), ("exit 9", "cpu")])
def test_gpu_runtime_only_where_a_driver_answers(installed: Path, driver: str, runtime: str) -> None:
    run(installed, "serve", programs={"nvidia-smi": driver})
    assert calls(installed)[0].endswith(f"-e .[{runtime},score]")


def test_other_runtime_is_removed_before_a_switch(installed: Path) -> None:
    python = installed / ".venv/bin/python"
    python.write_text(python.read_text().replace("pip show", "nothing"))  # so that pip show finds the other one
    run(installed, "serve")
    uninstall, install, _ = calls(installed)
    assert uninstall == "-m pip uninstall -qq -y onnxruntime onnxruntime-gpu"
    assert install.endswith("-e .[cpu,score]")


def test_failed_install_shows_the_error_and_is_tried_again(installed: Path) -> None:
    python = installed / ".venv/bin/python"
    works = python.read_text()
    python.write_text(works + 'case "$*" in *" install "*) echo "ERROR: no such index"; exit 1 ;; esac\n')
    failed = run(installed, "serve")
    assert failed.returncode == 1
    assert "ERROR: no such index" in failed.stderr
    calls(installed)
    python.write_text(works)
    assert run(installed, "serve").returncode == 0
    assert len(calls(installed)) == 2


def test_fonts_are_installed_from_their_list(installed: Path) -> None:
    kinds = "# Fonts\ndebian fonts-a\nnpm @fontsource/b\ndebian fonts-c\npypi strokes==1\n"
    (installed / "training/tianzi_training/ocr/data/fonts.txt").write_text(kinds)
    record = f'echo "${{0##*/}} $*" >>"{installed}/called"'
    assert run(installed, "fonts", programs={"apt-get": record, "sudo": record, "npm": record}).returncode == 0
    called = (installed / "called").read_text()
    assert "fonts-a fonts-c\n" in called
    assert "--prefix .cache/fonts @fontsource/b\n" in called
    assert calls(installed)[-1].endswith("--no-deps --dest .cache/fonts strokes==1")


def test_fonts_without_npm_say_so(checkout: Path) -> None:
    (checkout / "training/tianzi_training/ocr/data/fonts.txt").write_text("debian fonts-a\n")
    result = run(checkout, "fonts")
    assert result.returncode == 1
    assert "fonts-a" in result.stderr
    assert "apt install npm" in result.stderr


def test_train_without_a_known_name_lists_the_names(checkout: Path) -> None:
    experiments(checkout)
    for args in ((), ("poetry",), ("",), ("configs",)):
        result = run(checkout, "train", *args)
        assert result.returncode == 1
        names = result.stderr.partition("name one of ")[2].split()
        assert sorted(names) == ["cloze", "ocr", "ocr-again"]


@pytest.mark.parametrize(
    ("name", "file"),
    [("cloze", "cloze/recipe.toml"), ("ocr", "configs/ocr.toml"), ("ocr-again", "configs/ocr-again.toml")],
)
@pytest.mark.parametrize("task", ["train", "export"])
def test_an_experiment_is_found_by_its_name(checkout: Path, installed: Path, task: str, name: str, file: str) -> None:
    experiments(checkout)
    assert run(checkout, task, name, "--set", "lr=1").returncode == 0
    assert calls(installed)[-1] == f"-m tianzi_training.{task} training/tianzi_training/{file} --set lr=1"


def experiments(checkout: Path) -> None:
    for file in ("cloze/recipe.toml", "cloze/other.toml", "configs/ocr.toml", "configs/ocr-again.toml"):
        path = checkout / "training/tianzi_training" / file
        path.parent.mkdir(exist_ok=True)
        path.touch()


def test_image_copies_what_is_there_and_no_training() -> None:
    copied = set(re.findall(r"^COPY ([^-].*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    sources = {name for line in copied for name in line.split()}
    assert sources == {"pyproject.toml", "LICENSE", "README.md", "proto", "models", "service", "deploy/image/trim"}
    assert all((ROOT / name).exists() for name in sources)
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == sources


def test_dockerfile_is_as_hadolint_wants_it() -> None:
    command = [Path(sys.executable).with_name("hadolint"), ROOT / "Dockerfile"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


@pytest.mark.parametrize(
    ("there", "broken", "taken"),
    [
        (("podman", "buildah"), "docker", "podman"),
        (("docker", "podman"), "buildah", "docker"),
        (("buildah",), "podman", "buildah"),
    ],
)
def test_image_is_built_with_what_answers(checkout: Path, there: tuple[str, ...], broken: str, taken: str) -> None:
    (checkout / "proto/tianzi").mkdir(parents=True)
    (checkout / "proto/tianzi/__init__.py").write_text('__version__ = "1.2.3"\n')
    record = f'[ "$1" = info ] || echo "${{0##*/}} $BUILDAH_FORMAT $*" >>"{checkout}/calls"'
    programs = {broken: "exit 1", **dict.fromkeys(there, record)}
    assert run(checkout, "image", "gpu", "--no-cache", programs=programs).returncode == 0
    call = (checkout / "calls").read_text()
    assert call.startswith(f"{taken} docker build --target gpu --tag tianzi:gpu --build-arg VERSION=1.2.3 ")
    assert call.endswith(" --no-cache .\n")


def test_image_without_a_builder_says_what_is_needed(checkout: Path) -> None:
    result = run(checkout, "image", programs={"docker": "exit 1"})
    assert result.returncode == 1
    assert "docker (with its daemon running), podman or buildah is needed" in result.stderr
