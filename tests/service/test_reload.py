"""New bundles come into service while calls go on; a bad one stays out; a call may name the version it wants."""

import asyncio
import gc
import os
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from tests.fakes import FakeModel, FakeOcr
from tests.service.calls import code, failure, image, until
from tianzi.v1 import cloze_pb2, ocr_pb2, server_pb2
from tianzi_models.errors import BundleError
from tianzi_service.lifecycle.reload import Reloader
from tianzi_service.rpc.oip.v2 import grpc_service_pb2 as oip
from tianzi_service.telemetry.observer import Observer

NOT_FOUND = grpc.StatusCode.NOT_FOUND


class Repository:
    """A bundle root, with versions of ocr that load as fakes; a folder with a file `bad` does not load."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.loaded: list[str] = []
        self.models: dict[int, FakeModel] = {}

    def put(self, version: int, *files: str) -> None:
        folder = self.root / "ocr" / str(version)
        folder.mkdir(parents=True, exist_ok=True)
        for file in files or ("bundle.json",):
            (folder / file).write_text(f"{version}")

    def remove(self, version: int) -> None:
        (self.root / "ocr" / str(version)).rename(self.root / f"gone-{version}")

    def load(self, name: str, version: int) -> FakeModel:
        self.loaded.append(f"{name} {version}")
        if (self.root / name / str(version) / "bad").exists():
            raise BundleError(f"{name} {version}: sha256 differs")
        model = FakeOcr(version)
        self.models[version] = model
        return model


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(tmp_path)
    made.put(7)
    return made


@pytest.fixture
def reloading(serving: Any, repository: Repository) -> Any:
    """async with reloading(keep=1) as (running, reloader): … a server and what brings bundles of the repository in."""

    @asynccontextmanager
    async def start(keep: int = 1, **settings: Any) -> AsyncIterator[tuple[Any, Reloader]]:
        async with serving(**settings) as running:
            running.server.served["ocr"].models[0].bundle.__dict__["path"] = repository.root / "ocr" / "7"
            served = running.server.served
            yield running, Reloader(repository.root, served, repository.load, keep, running.server.update_health)

    return start


async def version_of(running: Any, wanted: int = 0) -> int:
    request = ocr_pb2.RecognizeRequest(image=b"abc", model_version=wanted)
    return (await running.ocr.Recognize(request)).model_version


async def info(running: Any) -> list[tuple[str, int]]:
    reply = await running.info.GetInfo(server_pb2.GetInfoRequest())
    return [(model.name, model.version) for model in reply.models]


async def test_a_new_version_takes_over_and_the_old_one_is_let_go(reloading: Any, repository: Repository) -> None:
    async with reloading() as (running, reloader):
        await reloader.refresh()
        assert repository.loaded == [], "what serves already is not loaded again"
        repository.put(8)
        await reloader.refresh()
        assert await version_of(running) == 8
        assert await info(running) == [("ocr", 8), ("cloze", 7)]
        old = weakref.ref(repository.models[8])
        repository.put(9)
        await reloader.refresh()
        repository.models.clear()
        await until(lambda: gc.collect() and old() is None)
        assert await version_of(running) == 9
        await reloader.refresh()
        assert repository.loaded == ["ocr 8", "ocr 9"]


async def test_the_collector_is_told_of_a_change(
    reloading: Any, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled = 0

    def settle() -> None:
        nonlocal settled
        settled += 1

    monkeypatch.setattr("tianzi_service.lifecycle.reload.SETTLE_S", 0.01)
    monkeypatch.setattr("tianzi_service.lifecycle.reload.settle", settle)
    async with reloading() as (_, reloader):
        await reloader.refresh()
        repository.put(8)
        await reloader.refresh()
        assert settled == 0, "the old version may still answer"
        await until(lambda: settled == 1)


async def test_no_call_fails_while_versions_change(reloading: Any, repository: Repository) -> None:
    seen: list[int] = []
    done = asyncio.Event()

    async def caller(running: Any) -> None:
        while not done.is_set():
            seen.append(await version_of(running))

    async def batches(running: Any) -> None:
        while not done.is_set():
            reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=[image(b"x")] * 40))
            assert len({item.ok.model_version for item in reply.items}) == 1, "one call, one version"
            seen.append(reply.items[0].ok.model_version)

    async with reloading() as (running, reloader):
        callers = [asyncio.create_task(caller(running)) for _ in range(8)]
        callers += [asyncio.create_task(batches(running)) for _ in range(2)]
        await until(lambda: seen)
        for version in range(8, 18):
            repository.put(version)
            await reloader.refresh()
            await until(lambda version=version: seen[-1:] == [version])
        done.set()
        await asyncio.gather(*callers)
    assert set(seen) == set(range(7, 18))


async def test_what_the_old_version_has_begun_it_ends(reloading: Any, repository: Repository, fake_ocr: Any) -> None:
    fake_ocr.gate.clear()
    async with reloading() as (running, reloader):
        begun = running.ocr.Recognize(image(b"begun"))
        await until(lambda: fake_ocr.runs)
        waiting = running.ocr.Recognize(image(b"waiting"))
        await until(lambda: len(fake_ocr.checked) == 2)
        repository.put(8)
        await reloader.refresh()
        assert await version_of(running) == 8, "new calls do not wait for the old version"
        fake_ocr.gate.set()
        assert [(await call).model_version for call in (begun, waiting)] == [7, 7]


async def test_a_bad_bundle_is_refused_once_and_the_old_one_serves_on(
    reloading: Any, repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    async with reloading() as (running, reloader):
        repository.put(8, "bundle.json", "bad")
        for _ in range(3):
            await reloader.refresh()
        assert await version_of(running) == 7
        assert repository.loaded == ["ocr 8"]
        assert "ocr 8 is refused, 7 serves on: ocr 8: sha256 differs" in caplog.text
        (repository.root / "ocr" / "8" / "bad").unlink()  # mended
        await reloader.refresh()
        assert await version_of(running) == 8


async def test_a_removed_version_is_rolled_back_but_the_last_one_stays(reloading: Any, repository: Repository) -> None:
    async with reloading() as (running, reloader):
        repository.put(8)
        await reloader.refresh()
        repository.remove(8)
        await reloader.refresh()
        assert await version_of(running) == 7
        repository.remove(7)
        await reloader.refresh()
        assert await version_of(running) == 7


async def test_a_version_whose_files_change_is_loaded_anew(reloading: Any, repository: Repository) -> None:
    async with reloading() as (running, reloader):
        os.utime(repository.root / "ocr" / "7" / "bundle.json", (1, 1))
        (repository.root / "ocr" / "7" / "README.md").write_text("only the card")
        await reloader.refresh()
        assert repository.loaded == ["ocr 7"]
        assert await version_of(running) == 7
        (repository.root / "ocr" / "7" / "README.md").write_text("the card alone changes nothing")
        await reloader.refresh()
        assert repository.loaded == ["ocr 7"]
        assert repository.models[7].ran


async def test_a_lost_engine_comes_back_with_its_bundle(reloading: Any, repository: Repository) -> None:
    class Notes(Observer):
        states: list[bool] = []  # noqa: RUF012

        def serving(self, yes: bool) -> None:
            self.states.append(yes)

    check = health_pb2.HealthCheckRequest(service="tianzi.v1.OcrService")
    async with reloading(observer=Notes()) as (running, reloader):
        assert await code(running.ocr.Recognize(image(b"lost"))) is grpc.StatusCode.UNAVAILABLE
        assert (await running.health.Check(check)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        await reloader.refresh()
        assert await version_of(running) == 7
        assert (await running.health.Check(check)).status == health_pb2.HealthCheckResponse.SERVING
        assert Notes.states == [True, False, True]


async def test_several_versions_serve_and_a_call_names_one(reloading: Any, repository: Repository) -> None:
    async with reloading(keep=2) as (running, reloader):
        repository.put(8)
        repository.put(9)
        await reloader.refresh()
        assert await info(running) == [("ocr", 9), ("ocr", 8), ("cloze", 7)]
        assert [await version_of(running, wanted) for wanted in (0, 8, 9)] == [9, 8, 9]
        error = await failure(running.ocr.Recognize(ocr_pb2.RecognizeRequest(image=b"a", model_version=7)))
        assert (error.code(), error.details()) == (NOT_FOUND, "model_version: ocr 7 is not serving, only 9, 8")
        fill = running.cloze.Fill(cloze_pb2.FillRequest(text="字", model_version=8))
        assert (await failure(fill)).details() == "model_version: cloze 8 is not serving, only 7"
        mixed = [ocr_pb2.RecognizeRequest(image=b"a", model_version=version) for version in (8, 7, 0, 8)]
        reply = await running.ocr.BatchRecognize(ocr_pb2.BatchRecognizeRequest(requests=mixed))
        assert [item.ok.model_version or item.error.code for item in reply.items] == [8, NOT_FOUND.value[0], 9, 8]
        index = await running.inference.RepositoryIndex(oip.RepositoryIndexRequest())
        assert [(m.name, m.version) for m in index.models] == [("ocr", "9"), ("ocr", "8"), ("cloze", "7")]
        ready = await running.inference.ModelReady(oip.ModelReadyRequest(name="ocr", version="8"))
        assert ready.ready


async def test_it_looks_when_asked_and_by_the_clock(reloading: Any, repository: Repository) -> None:
    async with reloading() as (running, reloader):
        for version, every_s in ((8, 0.0), (9, 0.01)):
            wanted = asyncio.Event()
            task = asyncio.create_task(reloader.run(wanted, every_s))
            repository.put(version)
            if not every_s:
                wanted.set()
            await until(lambda version=version: running.server.served["ocr"].versions == [version])
            task.cancel()
            await asyncio.wait([task])
