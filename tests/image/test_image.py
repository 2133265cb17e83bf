"""The container image: built, run with a read-only root and no capability, called, stopped. `./run test-image`."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tianzi import Client, TianziError

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "tianzi:cpu"
NAME = f"tianzi-test-{os.getpid()}"
LIMIT_BYTES = 350_000_000
# The official base's, as of Python 3.11 on Debian 12; another base may be there under its name.
BASE_BYTES = 150_000_000
START_S = 120.0
STOP_S = 120.0

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]


def answers(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, capture_output=True).returncode == 0


# buildah builds, but keeps no container running.
ENGINE = next((name for name in ("docker", "podman") if answers(name, "info")), None)


def engine(*args: str) -> str:
    result = subprocess.run([str(ENGINE), *args], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="module")
def image() -> dict[str, object]:
    """The built image's description."""
    if ENGINE is None:
        pytest.skip("neither docker nor podman answers here")
    arguments = shlex.split(os.environ.get("IMAGE_ARGUMENTS", ""))
    subprocess.run([ROOT / "run", "image", "cpu", *arguments], check=True)
    (description,) = json.loads(engine("image", "inspect", IMAGE))
    return description


@pytest.fixture(scope="module")
def container(image: dict[str, object]) -> Iterator[str]:
    """host:port of a running container without rights, and without a file that it could write."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--name", NAME, "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges"]
    if ENGINE == "podman":
        options.append("--read-only-tmpfs=false")
    settings = [f"--env=TIANZI_PORT={port}", f"--env=TIANZI_GRACE_S={STOP_S}"]
    engine("run", "--detach", *options, *settings, f"--publish=127.0.0.1:{port}:{port}", IMAGE)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        print(subprocess.run([str(ENGINE), "logs", NAME], capture_output=True, text=True).stderr)
        engine("rm", "--force", NAME)


def inside(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(ENGINE), "exec", NAME, *command], capture_output=True, text=True)


def test_size_and_labels(image: dict[str, object]) -> None:
    ours = int(engine("run", "--rm", "--entrypoint=du", IMAGE, "-s", "--bytes", "/opt/tianzi").split()[0])
    print(f"\nimage {image['Size'] / 1e6:.0f} MB, of which /opt/tianzi {ours / 1e6:.0f} MB")  # type: ignore[operator]
    assert ours + BASE_BYTES <= LIMIT_BYTES
    config = image["Config"]
    labels = config["Labels"]  # type: ignore[index]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.version"]
    assert "3.11" in labels["org.opencontainers.image.base.name"]
    assert config["User"] == "10001:10001"  # type: ignore[index]
    assert config["StopSignal"] == "SIGTERM"  # type: ignore[index]


def test_holds_nothing_for_building_or_training(image: dict[str, object]) -> None:
    listing = "ls /opt/tianzi/lib/python3*/site-packages; command -v gcc cc strip || true"
    there = set(engine("run", "--rm", "--entrypoint=sh", IMAGE, "-c", listing).split())
    assert {"onnxruntime", "tianzi", "tianzi_service", "tianzi_models"} <= there
    assert not there & {"torch", "tianzi_training", "pip", "setuptools", "pyarrow"}
    assert not [name for name in there if name.startswith("/")]


def test_the_list_of_contents_is_the_images_own(image: dict[str, object]) -> None:
    done = subprocess.run([ROOT / "run", "sbom", "cpu"], capture_output=True, text=True, check=True)
    listed = json.loads((ROOT / done.stdout.split()[-1]).read_text(encoding="utf-8"))
    assert listed["bomFormat"] == "CycloneDX"
    script = "from importlib.metadata import distributions as d; print(*(f'{x.name}=={x.version}' for x in d()))"
    there = engine("run", "--rm", "--entrypoint=python", IMAGE, "-c", script).split()
    components = [listed["metadata"]["component"], *listed["components"]]
    named = {f"{normal(part['name'])}=={part['version']}" for part in components}
    assert named == {f"{normal(name)}=={version}" for name, version in (entry.split("==") for entry in there)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_answers_without_rights(container: str) -> None:
    with Client(container) as client:
        deadline = time.monotonic() + START_S
        while True:
            try:
                recognition = client.recognize(ROOT / "examples/tian.png")
                break
            except TianziError:
                assert time.monotonic() < deadline, "the container does not answer"
                time.sleep(1)
        assert recognition.text == "填"
        assert client.fill("小猫钓鱼，____很高兴。", candidates=["小猫", "小狗"]).text
    assert inside("id", "-u").stdout.strip() == "10001"
    assert inside("sh", "-c", "touch /tmp/x /opt/tianzi/x").returncode != 0
    assert "CapEff:\t0000000000000000" in inside("grep", "CapEff", "/proc/1/status").stdout


def test_its_own_health_check_agrees(container: str) -> None:
    (state,) = json.loads(engine("inspect", NAME))
    kind, *command = state["Config"]["Healthcheck"]["Test"]
    assert kind == "CMD"
    checked = inside(*command)
    assert checked.stdout.strip() == "SERVING", checked.stderr


def test_sigterm_lets_calls_end(container: str) -> None:
    """Last: it stops the container."""
    text = "小猫在河边钓鱼，小狗在树下睡觉。" * 100 + "____很高兴。"
    with Client(container, timeout=STOP_S) as client:
        filling = client.fill_many([text] * 16)
        results = [next(filling)]
        stopping = subprocess.Popen([str(ENGINE), "stop", f"--time={STOP_S:.0f}", NAME], stdout=subprocess.DEVNULL)
        results += filling
    assert not [result for result in results if isinstance(result, TianziError)]
    assert len(results) == 16
    assert stopping.wait(timeout=STOP_S) == 0
    (state,) = json.loads(engine("inspect", NAME))
    assert state["State"]["ExitCode"] == 0
    logs = subprocess.run([str(ENGINE), "logs", NAME], capture_output=True, text=True)
    assert (logs.stdout + logs.stderr).splitlines()[-1].endswith("stopped")
