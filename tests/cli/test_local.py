"""In this process and on a server, a model gives the same answers to the last digit; and `models verify`."""

import io
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from tests.fakes import FakeCloze
from tests.models.tiny import write_ocr_bundle
from tianzi import Client, InvalidInput, Local, NotFound, Recognition, Unavailable
from tianzi_models import registry
from tianzi_service.score.local import local as made
from tianzi_service.settings import Settings

Run = Callable[..., Result]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle root with a real, tiny model of characters."""
    write_ocr_bundle(tmp_path / "bundles")
    return tmp_path / "bundles"


@pytest.fixture
def fake_ocr(root: Path) -> Any:
    """Not a fake here: the tiny model, for the server under test."""
    model: Any = registry.load_model("ocr", root)
    model.gate = threading.Event()
    return model


def pictures() -> list[bytes]:
    """Strokes of every width, an empty picture, and some that are none."""
    encoded = []
    for width in range(0, 40):
        pixels = np.full((48, 48), 255, np.uint8)
        pixels[4:44, 4 : 4 + width] = 0
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        encoded.append(buffer.getvalue())
    return [*encoded, b"", b"no image", encoded[5][:60]]


def test_same_answers_as_a_server(root: Path, address: str) -> None:
    images = pictures()
    here = made(Settings(bundle_root=root, threads=2, batch_rows=7)).recognize_many(images, top_k=3)
    with Client(address) as client:
        for ours, theirs in zip(here, client.recognize_many(images, top_k=3), strict=True):
            if isinstance(ours, Recognition):
                assert isinstance(theirs, Recognition)
                assert [c.text for c in ours.candidates] == [c.text for c in theirs.candidates]
                # Batches of another size may add up in another order.
                assert [c.confidence for c in ours.candidates] == pytest.approx(
                    [c.confidence for c in theirs.candidates]
                )
                assert (ours.rejected, ours.model_version) == (theirs.rejected, theirs.model_version)
            else:
                assert isinstance(ours, InvalidInput)
                assert (str(ours), ours.field) == (str(theirs), theirs.field)  # type: ignore[union-attr]


def test_top_k_is_the_models_to_refuse(root: Path, address: str) -> None:
    (ours,) = made(Settings(bundle_root=root)).recognize_many([pictures()[5]], top_k=99)
    with Client(address) as client, pytest.raises(InvalidInput) as theirs:
        client.recognize(pictures()[5], top_k=99)
    assert str(ours) == str(theirs.value) == "top_k: 99, must be 1 to 5"


@pytest.mark.parametrize("allowed", ["乙丙", ["丙", "乙"], "龘"])
def test_an_allowed_set_counts_here_as_at_the_server(root: Path, address: str, allowed: str | list[str]) -> None:
    (ours,) = made(Settings(bundle_root=root)).recognize_many([pictures()[5]], allowed=allowed)
    with Client(address) as client:
        (theirs,) = client.recognize_many([pictures()[5]], allowed=allowed)
    if allowed == "龘":
        assert str(ours) == str(theirs) and str(ours).startswith("allowed: '龘', must be a character")
    else:
        assert isinstance(ours, Recognition) and isinstance(theirs, Recognition)
        assert [c.text for c in ours.candidates] == [c.text for c in theirs.candidates] == ["乙", "丙"]


def test_a_row_is_read_as_at_the_server(root: Path, address: str) -> None:
    local = made(Settings(bundle_root=root, batch_rows=3))
    with Client(address) as client:
        ours, theirs = (asked.recognize_sequence(pictures()[3:11], top_k=2) for asked in (local, client))
        assert ours.text == theirs.text and len(ours.text) == 8
        for a, b in zip(ours.characters, theirs.characters, strict=True):
            assert [c.text for c in a.candidates] == [c.text for c in b.candidates] and len(a.candidates) == 2
        assert ours.model_version == theirs.model_version
        for bad in ([pictures()[5], b""], [pictures()[5]] * 2 + ["nowhere.png"], []):
            errors = []
            for asked in (local, client):
                with pytest.raises(InvalidInput) as caught:
                    asked.recognize_sequence(bad)  # type: ignore[attr-defined]
                errors.append((str(caught.value), caught.value.field))
            assert errors[0][1] == errors[1][1]
            assert errors[0] == errors[1] or not bad, "the server says how many at most"


def test_reads_no_further_ahead_than_two_batches(monkeypatch: pytest.MonkeyPatch, fake_cloze: FakeCloze) -> None:
    monkeypatch.setattr("tianzi_service.score.local.load_model", lambda *_, **__: fake_cloze)
    taken = []

    def endless() -> Any:
        while True:
            taken.append(1)
            yield "____好"

    results = made(Settings(threads=1, batch_rows=4)).fill_many(endless())
    for given in range(1, 20):
        next(results)
        assert len(taken) <= given + 8
    assert [len(run) for run in fake_cloze.runs] == [4] * len(fake_cloze.runs)


def test_threads_ask_one_local_at_the_same_time(root: Path) -> None:
    images = pictures()[:40]
    with Local(bundle_root=root, threads=1) as local:
        alone = [local.recognize(image).candidates[0] for image in images]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda image: local.recognize(image).candidates[0], images * 5))
    assert [one.text for one in together] == [one.text for one in alone] * 5
    assert [one.confidence for one in together] == pytest.approx([one.confidence for one in alone] * 5)


def test_a_local_that_is_sent_elsewhere_loads_its_own_models(root: Path) -> None:
    local = Local(bundle_root=root, threads=1)
    here = local.recognize(pictures()[5])
    assert pickle.loads(pickle.dumps(local)).recognize(pictures()[5]) == here


FORK = """
import os, sys
from tianzi import Local
image = sys.stdin.buffer.read()
local = Local(bundle_root=sys.argv[1], threads=2)
here = local.recognize(image)
child = os.fork()
there = local.recognize(image)
if not child:
    os._exit(there != here)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or there != here)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system knows no fork")
def test_a_forked_process_answers_too(root: Path) -> None:
    command = [sys.executable, "-c", FORK, str(root)]
    subprocess.run(command, input=pictures()[5], check=True, timeout=60)


def test_what_cannot_be_loaded_is_an_error_of_the_client(root: Path) -> None:
    local = Local(bundle_root=root)
    with pytest.raises(NotFound, match="no bundle of model cloze under"):
        local.fill("____")
    with pytest.raises(NotFound):
        local.recognize(pictures()[5], model_version=99)
    assert local.recognize(pictures()[5], model_version=1).model_version == 1
    (root / "ocr/1/charset.txt").write_text("x")
    with pytest.raises(Unavailable, match="charset.txt"):
        list(Local(bundle_root=root).recognize_many([pictures()[5]]))


@pytest.fixture
def only_ocr(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(registry.MODELS, "cloze")


@pytest.mark.usefixtures("only_ocr")
def test_verify_says_what_each_version_is(run: Run, root: Path) -> None:
    write_ocr_bundle(root, version=2)
    result = run("models", "verify", root)
    assert result.exit_code == 0
    assert [line.split(", ")[0] for line in result.stdout.splitlines()] == ["ocr 1: ok", "ocr 2: ok"]
    lines = [json.loads(line) for line in run("models", "verify", root, "--json").stdout.splitlines()]
    assert [(line["model"], line["version"], line["golden"]) for line in lines] == [("ocr", 1, 0), ("ocr", 2, 0)]
    assert lines[0]["bytes"] == sum(
        file.stat().st_size for file in (root / "ocr/1").iterdir() if file.name != "bundle.json"
    )


@pytest.mark.usefixtures("only_ocr")
def test_verify_finds_damage(run: Run, root: Path) -> None:
    write_ocr_bundle(root, version=2)
    with (root / "ocr/1/charset.txt").open("a") as file:
        file.write("x")
    result = run("models", "verify", root)
    assert result.exit_code == 1
    first, second = result.stdout.splitlines()
    assert first.startswith("ocr 1: ")
    assert "charset.txt: sha256 differs" in first
    assert second.startswith("ocr 2: ok")
    assert "sha256" in json.loads(run("models", "verify", root, "--json").stdout.splitlines()[0])["error"]


def test_verify_misses_a_model(run: Run, root: Path) -> None:
    result = run("models", "verify", root)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == f"cloze: no bundle of model cloze under {root}"
