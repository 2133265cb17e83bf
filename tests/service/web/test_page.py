"""The page in a real browser: a drawn character is read, a story is filled, an error is shown."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, START_S, wait_until_serving

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 30_000
YONG = [
    [(0.44, 0.10), (0.52, 0.17)],
    [(0.32, 0.28), (0.53, 0.27), (0.53, 0.86), (0.45, 0.80)],
    [(0.13, 0.47), (0.38, 0.46), (0.30, 0.64), (0.12, 0.80)],
    [(0.80, 0.30), (0.72, 0.40), (0.58, 0.49)],
    [(0.53, 0.44), (0.66, 0.62), (0.90, 0.82)],
]
"""The strokes of 永, in shares of the pad."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the page of a server with the shipped bundles."""
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TIANZI_")}
    command = [sys.executable, "-m", "tianzi_service", "serve", "--device", "cpu", "--drain-s", "0"]
    command += ["--port", str(ports[0]), "--http-port", str(ports[1])]
    server = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        wait_until_serving(f"127.0.0.1:{ports[0]}", server)
        yield f"http://127.0.0.1:{ports[1]}/"
    finally:
        server.terminate()
        server.communicate(timeout=START_S)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    """The page, in English; it must not ask anybody else, nor report an error."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda r: None if r.url.startswith((site, "blob:", "data:")) else problems.append(r.url))
    opened.goto(site)
    yield opened
    context.close()
    assert not problems


def draw(page: Any) -> None:
    box = page.locator("#ink").bounding_box()
    for stroke in YONG:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=5)
        page.mouse.up()


def expect(locator: Any) -> Any:
    playwright.expect.set_options(timeout=WAIT_MS)
    return playwright.expect(locator)


def test_a_drawn_character_is_read_and_wiped(page: Any) -> None:
    draw(page)
    expect(page.locator("#best")).to_have_text("永")
    assert page.locator("#readings li").count() == 5
    page.locator("#clear").click()
    assert page.locator("#readings li").count() == 0


def test_an_image_is_read(page: Any) -> None:
    page.locator("#file").set_input_files(str(ROOT / "examples/zi.png"))
    expect(page.locator("#best")).to_have_text("字")
    expect(page.locator("#picture")).to_be_visible()


def test_a_story_is_filled_and_a_click_makes_a_blank(page: Any) -> None:
    page.locator("#run").click()
    expect(page.locator("#passage .blank")).to_have_text("葡萄")
    assert page.locator("#words li").count() == 8
    assert page.locator("#passage .word[title]").count()
    page.locator("#passage .word", has_text="狐狸").first.click()
    expect(page.locator("#passage .blank")).to_have_count(2)
    expect(page.locator("#words li")).to_have_count(8)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator("#passage .blank")).to_have_count(3)
    assert "____" in page.locator("#text").input_value()


def test_an_error_is_shown(page: Any, tmp_path: Path) -> None:
    page.locator("#text").fill("没有空的一句话。")
    page.locator("#run").click()
    expect(page.locator("#fill-note.error")).not_to_be_empty()
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.locator("#file").set_input_files(str(tmp_path / "broken.png"))
    expect(page.locator("#recognise-note.error")).to_contain_text("image")


def test_language_and_theme_can_be_changed_and_the_api_is_described(page: Any, site: str) -> None:
    page.locator("#language").click()
    expect(page.locator("#recognise-title")).to_have_text("认字")
    page.locator("#theme").click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.goto(f"{site}docs")
    expect(page.locator("#operations section")).to_have_count(6)
