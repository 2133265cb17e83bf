"""Every program of examples/clients does what it shows, with a server of the shipped bundles."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = ROOT / "examples/clients"
CACHE = ROOT / ".cache/examples"
RUN_S = 60.0
READ = {"8.png": "8", "tian.png": "填", "zi.png": "字"}


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'proto'}"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reads(output: str) -> dict[str, str]:
    """The second word of each line by the first."""
    return {words[0]: words[1] for line in output.splitlines() if len(words := line.split()) > 1}


def test_sync_client(shipped: str) -> None:
    output = run(sys.executable, CLIENTS / "sync.py", shipped)
    assert READ.items() <= reads(output).items()
    assert "refused: image" in output
    assert reads(output)["stories.jsonl"] == "InvalidInput"


@pytest.mark.parametrize("name", ["aio.py", "triton.py"])
def test_other_python_clients(shipped: str, name: str) -> None:
    output = run(sys.executable, CLIENTS / name, shipped)
    assert READ.items() <= reads(output).items()
    assert "小猫" in output


def test_grpcurl(shipped: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("grpcurl") is None:
        pytest.skip("there is no grpcurl here")
    output = run("sh", CLIENTS / "grpcurl.sh", shipped)
    assert "tianzi.v1.OcrService" in output
    assert '"text": "填"' in output
    assert '"text": "小猫"' in output


@pytest.fixture(scope="module")
def node_client() -> Path:
    """The Node client with its packages, apart from the checkout, which its files then still come from."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("there is no Node here")
    source = CLIENTS / "node"
    folder = CACHE / "examples/clients/node"
    if (
        not (folder / "node_modules").exists()
        or (folder / "package.json").read_text() != (source / "package.json").read_text()
    ):
        shutil.rmtree(CACHE, ignore_errors=True)
        folder.mkdir(parents=True)
        shutil.copy(source / "package.json", folder)
        command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if installed.returncode != 0:
            shutil.rmtree(CACHE)
            pytest.skip(f"npm cannot install the packages: {installed.stderr[-300:]}")
    shutil.copy(source / "client.js", folder)
    shutil.copytree(source / "google", folder / "google", dirs_exist_ok=True)
    for name in ("proto", "examples/tian.png", "examples/zi.png", "examples/8.png", "examples/stories.jsonl"):
        link = CACHE / name
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT / name)
    return folder / "client.js"


def test_node_client(shipped: str, node_client: Path) -> None:
    output = run("node", node_client, shipped)
    assert output.startswith("填 ")
    assert "INVALID_ARGUMENT image: " in output
    assert READ.items() <= reads(output).items()
    assert "stories.jsonl image:" in output


def test_notebook(shipped: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Its cells in order, as a kernel would run them."""
    monkeypatch.chdir(ROOT)
    notebook = json.loads((CLIENTS / "score.ipynb").read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"])
    names = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"]).replace("localhost:50051", shipped)
            exec(compile(source, cell["id"], "exec"), names)
    assert {line["id"]: line["candidates"][0]["text"] for line in names["lines"]}.items() >= READ.items()  # type: ignore[attr-defined]
    assert READ.items() <= reads(capsys.readouterr().out).items()
