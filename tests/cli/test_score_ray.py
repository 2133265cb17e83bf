"""score on a Ray cluster of two nodes on this machine: the same rows, also when a node is lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny import write_ocr_bundle

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 300.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    write_ocr_bundle(tmp_path / "bundles")
    return {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'proto'}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # else Ray replaces 127.0.0.1 by an address of the network
        "TIANZI_BUNDLE_ROOT": str(tmp_path / "bundles"),
    }


@pytest.fixture
def cluster(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "node_ip_address": "127.0.0.1", "object_store_memory": 200 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.second = cluster.add_node(**node)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(64):
        pixels = np.full((48, 48), 255, np.uint8)
        pixels[4:44, 4 : 4 + number % 40] = 0
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "20.png").write_bytes(b"none")
    return folder


def command(*args: Any) -> list[str]:
    return [sys.executable, "-m", "tianzi_service", "score", "ocr", *map(str, args), "--part-items", "4"]


@pytest.fixture
def whole(pictures: Path, environment: dict[str, str]) -> bytes:
    """What the local engine writes."""
    return subprocess.run(command(pictures, "-"), env=environment, stdout=subprocess.PIPE, check=True).stdout


def on(cluster: Any) -> tuple[str, ...]:
    return ("--engine", "ray", "--address", cluster.address, "--workers", "3")


def test_same_rows_as_here(
    cluster: Any, pictures: Path, environment: dict[str, str], whole: bytes, tmp_path: Path
) -> None:
    target = tmp_path / "out.jsonl"
    began = time.perf_counter()
    subprocess.run(command(pictures, target, *on(cluster)), env=environment, check=True, timeout=WAIT_S)
    print(f"{time.perf_counter() - began:.1f} s from start to end")
    assert target.read_bytes() == whole


def test_a_lost_node_loses_no_row(
    cluster: Any, pictures: Path, environment: dict[str, str], whole: bytes, tmp_path: Path
) -> None:
    """One image is a pipe, so that the run cannot end before the node is gone."""
    pipe = pictures / "40.png"
    content = pipe.read_bytes()
    pipe.unlink()
    os.mkfifo(pipe)
    target = tmp_path / "out.jsonl"
    with subprocess.Popen(command(pictures, target, *on(cluster)), env=environment) as process:
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as held:
            cluster.remove_node(cluster.second, allow_graceful=False)
            held.write(content)  # unless the reader was on the lost node
        while process.poll() is None:
            feed(pipe, content)
            time.sleep(0.05)
    assert process.returncode == 0
    assert target.read_bytes() == whole


def feed(pipe: Path, content: bytes) -> None:
    """Gives the content to whoever waits for it now, if anybody does."""
    try:
        number = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        os.write(number, content)
    except BrokenPipeError:
        return
    finally:
        os.close(number)


def test_a_cluster_that_does_not_answer(pictures: Path, environment: dict[str, str], tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    options = ("--engine", "ray", "--address", "127.0.0.1:9")
    done = subprocess.run(command(pictures, target, *options), env=environment, capture_output=True, timeout=WAIT_S)
    assert done.returncode == 1
    assert b"error: no Ray cluster answers at 127.0.0.1:9" in done.stderr
    assert not list(tmp_path.glob("out*"))
