"""Running commands: in this process, without a terminal, on a server of the fake models or with them loaded here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.fakes import FakeCloze, FakeOcr
from tianzi_service.cli import app


def run_command(*args: Any, **options: Any) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args], **options)


@pytest.fixture
def run() -> Callable[..., Result]:
    """run("health", …) runs a command."""
    return run_command


@pytest.fixture
def ask(address: str) -> Callable[..., Result]:
    """Runs a command that asks the server of the fake models."""
    return lambda *args, **options: run_command(*args, "--address", address, **options)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, fake_ocr: FakeOcr, fake_cloze: FakeCloze) -> None:
    """The fake models are what is loaded into this process."""
    models = {"ocr": fake_ocr, "cloze": fake_cloze}
    monkeypatch.setattr("tianzi_service.score.local.load_model", lambda name, *_, **__: models[name])


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Two files that FakeOcr reads."""
    files = [tmp_path / name for name in ("a.png", "字.png")]
    for size, file in enumerate(files, start=1):
        file.write_bytes(b"x" * size)
    return files
