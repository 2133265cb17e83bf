"""Settings: where values come from, what is refused, and how many cores are ours."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from tianzi_models.gpu import Gpu
from tianzi_service.settings import Settings, available_cpus


def test_arguments_win_over_the_environment_and_that_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANZI_PORT", "1234")
    monkeypatch.setenv("TIANZI_DEVICE", "cpu")
    settings = Settings(port=4321)
    assert (settings.port, settings.device, settings.queue_rows) == (4321, "cpu", 1024)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("TIANZI_PORT", "70000", "less than or equal to 65535"),
        ("TIANZI_DEVICE", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("TIANZI_THREADS", "0", "greater than or equal to 1"),
        ("TIANZI_GRACE_S", "nan", "finite"),
        ("TIANZI_PROT", "50051", "TIANZI_PROT: no such setting"),
    ],
)
def test_a_bad_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, complaint: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=complaint):
        Settings()


def test_an_unknown_argument_is_refused() -> None:
    with pytest.raises(ValidationError, match="prot"):
        Settings(prot=1)


def test_what_is_for_a_card(tmp_path: Path) -> None:
    assert Settings().gpu == Gpu()
    settings = Settings(gpu_fp16=False, gpu_memory_bytes=2**30, cuda_graph_rows=8)
    assert settings.gpu == Gpu(fp16=False, memory_bytes=2**30, graph_rows=8)
    with pytest.raises(ValidationError, match="cuda_graph_rows and tensorrt_cache: one or the other"):
        Settings(cuda_graph_rows=8, tensorrt_cache=tmp_path)


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "350000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.max": "what\n"}, 8),
        ({}, 8),
    ],
)
def test_cores_are_those_that_the_container_grants(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cores
