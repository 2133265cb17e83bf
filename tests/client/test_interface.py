"""Client, AsyncClient and Local have the same methods; slips and calls after close() get a message."""

import asyncio
import inspect
import subprocess
import sys
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tianzi
from tests.fakes import FakeCloze, FakeOcr
from tests.service.calls import nth
from tianzi import AsyncClient, AsyncInterface, Client, Interface, InvalidInput, Local, Question
from tianzi.interface import METHODS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch, fake_ocr: FakeOcr, fake_cloze: FakeCloze) -> Iterator[Local]:
    models: dict[str, Any] = {"ocr": fake_ocr, "cloze": fake_cloze}
    monkeypatch.setattr("tianzi_service.score.local.load_model", lambda name, *_, **__: models[name])
    with Local(threads=2) as made:
        yield made


@pytest.fixture(params=["client", "local"])
def asked(request: pytest.FixtureRequest) -> Any:
    if request.param == "local":
        return request.getfixturevalue("local")
    return Client(request.getfixturevalue("address"))


@pytest.mark.parametrize("kind", [Client, Local, AsyncClient, AsyncInterface])
def test_methods_are_alike_and_documented_once(kind: type) -> None:
    for name in METHODS:
        ours, theirs = getattr(kind, name), getattr(Interface, name)
        assert inspect.getdoc(ours) == inspect.getdoc(theirs)
        parameters = [
            [(one.name, one.kind, one.default) for one in inspect.signature(method).parameters.values()]
            for method in (ours, theirs)
        ]
        assert parameters[0] == parameters[1], name


def test_fill_takes_all_that_a_question_has() -> None:
    fields = list(inspect.signature(Question).parameters)
    assert [name for name in inspect.signature(Interface.fill).parameters if name in fields] == fields


def test_instances_are_what_they_look_like(local: Local, address: str) -> None:
    assert isinstance(local, Interface) and isinstance(Client(address), Interface)
    assert isinstance(AsyncClient(address), AsyncInterface)


def test_both_answer_alike(local: Local, address: str) -> None:
    with Client(address) as client:
        for asked in (local, client):
            assert asked.recognize(b"abc", top_k=2).text == nth(3)
            assert asked.recognize_sequence([b"a", b"abc"], top_k=1).text == nth(5) + nth(7)
            assert [getattr(one, "text", one) for one in asked.recognize_many([b"a", b"bb"])] == [nth(1), nth(2)]
            assert asked.fill("_____好", candidates=["猫", "狗"]).text == "6好"
            assert asked.health()
            assert [model.name for model in asked.info().models] == ["ocr", "cloze"]
            with pytest.raises(InvalidInput, match="^image: empty$"):
                asked.recognize(b"")


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("recognize_many", "a.png"),
        ("recognize_many", Path("a.png")),
        ("recognize_many", b"abc"),
        ("recognize_many", np.zeros((4, 4), np.uint8)),
        ("recognize_sequence", "a.png"),
        ("fill_many", "小猫____"),
        ("fill_many", Question("小猫____")),
    ],
)
def test_one_where_several_are_meant_gets_a_message(asked: Any, method: str, given: Any) -> None:
    alone = "fill" if method == "fill_many" else "recognize"
    with pytest.raises(InvalidInput, match=rf"must be a list or another iterable; {alone}\(\) takes one"):
        getattr(asked, method)(given)
    with pytest.raises(InvalidInput, match="int, must be a list"):
        getattr(asked, method)(5)


def test_an_allowed_set_that_is_misspelt_gets_a_message(asked: Any) -> None:
    for slip in ("digit", "Digits", "letter", "number", "hanzis"):
        with pytest.raises(InvalidInput, match=f"^allowed: '{slip}' is none of the sets digits, uppercase"):
            asked.recognize(b"12345", allowed=slip)
    for meant in ("abc", "aeiou", "IVXLCDM", "no", "甲乙丙", "a.b.c"):
        assert asked.recognize(b"12345", allowed=meant).text == meant


def test_after_close_there_is_a_message_of_ours(asked: Any) -> None:
    stream = asked.recognize_many([b"a"])
    asked.close()
    asked.close()
    calls: list[Callable[[], Any]] = [
        lambda: asked.recognize(b"a"),
        lambda: asked.fill("____"),
        lambda: asked.fill_many(["____"]),
        lambda: asked.recognize_sequence([b"a"]),
        asked.info,
    ]
    for call in calls:
        with pytest.raises(tianzi.Closed, match="was closed"):
            call()
    if isinstance(asked, Client):
        with pytest.raises(tianzi.Closed):
            list(stream)


def test_an_async_client_made_at_import_works_in_every_loop(address: str) -> None:
    client = AsyncClient(address)

    async def ask() -> list[str]:
        many = [result async for result in client.recognize_many([b"bb"])]
        return [(await client.recognize(b"a")).text, *(getattr(one, "text", "") for one in many)]

    assert [asyncio.run(ask()) for _ in range(2)] == [[nth(1), nth(2)]] * 2
    answers: list[list[str]] = []
    threads = [threading.Thread(target=lambda: answers.append(asyncio.run(ask()))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [[nth(1), nth(2)]] * 3
    asyncio.run(client.close())

    async def late() -> None:
        with pytest.raises(tianzi.Closed):
            await client.recognize(b"a")
        with pytest.raises(tianzi.Closed):
            client.fill_many(["____"])

    asyncio.run(late())


async def test_closing_ends_a_call_under_way_with_a_message(serving: Any, fake_ocr: FakeOcr) -> None:
    async with serving() as running:
        client = AsyncClient(f"127.0.0.1:{running.port}")
        fake_ocr.gate.clear()
        waiting = asyncio.create_task(client.recognize(b"a"))
        while not fake_ocr.runs:
            await asyncio.sleep(0.005)
        await client.close()
        with pytest.raises(tianzi.Closed):
            await waiting


TYPED = """
from pathlib import Path
from tianzi import Client, Local
client, local = Client(), Local()
client.recognize("a.png"), local.recognize(Path("a.png")), client.recognize(b""), client.recognize(open("a", "rb"))
"""
WRONG = ["client.recognize(5)", "local.recognize(None)", "client.recognize_many(5)", 'client.fill("", candidates=5)']


def test_a_type_checker_finds_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED + "".join(f"{line}\n" for line in WRONG))
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "typed.py"]
    environment = {"MYPYPATH": str(ROOT / "proto"), "PATH": ""}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110)
    first = TYPED.count("\n") + 1
    found = [line.split(":")[1] for line in done.stdout.splitlines() if "error:" in line]
    assert found == [str(first + number) for number in range(len(WRONG))], done.stdout + done.stderr


def test_what_images_may_be_holds_no_any() -> None:
    assert Any not in typing.get_args(tianzi.types.ImageSource)


def test_local_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tianzi.local.ENGINE", "tianzi_nowhere.local")
    with pytest.raises(tianzi.Unavailable, match=r"\(tianzi_nowhere is missing\): pip install 'tianzi\[local\]'"):
        Local()


def test_local_checks_what_it_is_told() -> None:
    with pytest.raises(InvalidInput, match="device: 'tpu', must be auto, cpu, cuda"):
        Local(device="tpu")
    with pytest.raises(InvalidInput, match="threads: 0, must be 1 at least"):
        Local(threads=0)
