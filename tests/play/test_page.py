"""The page in a real browser: no error, no request elsewhere, nothing wider than a phone, and the keyboard alone."""

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from lingarith.errors import LingarithError
from lingarith.newsroom.rows import rows
from lingarith.play.desk import Output
from lingarith.play.page import page, said, shown
from lingarith.vectors.composition import Space

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SERVER = """
import sys

def here_alone(event, given):
    if event in ("socket.connect", "socket.getaddrinfo"):
        host = given[0] if event == "socket.getaddrinfo" else given[1][0] if isinstance(given[1], tuple) else None
        if host not in ("127.0.0.1", "localhost", "::1", None):
            print(f"asked {host}", flush=True)

sys.addaudithook(here_alone)
from lingarith.cli.main import main
main()
"""
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
READY = ".output p >> nth=1"


def test_what_is_shown_is_text():
    assert shown(Output("<b>&", "", 0.5)) == (
        '<p dir="auto">&lt;b&gt;&amp;</p><small>no language told · 50% copied in one stretch</small>'
    )
    assert said(LingarithError("a <b>", "  ^"), wrong=True) == '<pre role="status" class=wrong>a &lt;b&gt;\n  ^</pre>'


@pytest.fixture(scope="module")
def address(on_desk, tmp_path_factory):
    """The page on a tiny backbone, by a process that may reach nothing but this machine."""
    pytest.importorskip("gradio")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["play", "--store", on_desk.lab.store.place, "-b", on_desk.lab.backbone.name, "--port", str(port)]
    log = tmp_path_factory.mktemp("served") / "log"
    with log.open("w") as lines:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *words, "--max-output", "6"], stdout=lines, stderr=subprocess.STDOUT
        )
    try:
        for _ in range(1200):
            assert process.poll() is None, log.read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert "asked" not in log.read_text()


@pytest.fixture
def opened(address):
    """``opened(size)``: the page when both outputs stand there, and what it logged and asked for."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        logged, hosts = [], set()

        def open_page(size):
            page = browser.new_page(viewport=size)
            page.set_default_timeout(60_000)
            page.on("console", lambda message: logged.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: logged.append(str(error)))
            page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
            page.goto(address)
            page.wait_for_selector(READY)
            return page

        yield open_page
        assert logged == []
        assert hosts <= {urlsplit(address).netloc, ""}
        browser.close()


@pytest.mark.slow
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_is_wider_than_the_window(opened, size, tmp_path):
    page = opened(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    page.screenshot(path=tmp_path / "page.png", full_page=True)


@pytest.mark.slow
def test_the_keyboard_alone_moves_weights_and_types_expressions(opened):
    page = opened(DESKTOP)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.type")
        )
    page.get_by_label("Expression").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("0.5*headlines[en] + 0.5*news[pt")
    page.wait_for_function("document.querySelector('.said pre.wrong')?.innerText.includes('names look like')")
    page.keyboard.type("]")
    page.wait_for_selector(".said pre:not(.wrong)")
    slider = page.locator("input[type=range]:visible").nth(1)
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.said pre').innerText.includes('0.51*news[pt]')")
    assert page.get_by_label("Expression").input_value() == "0.51*news[pt] + 0.5*headlines[en]"
    assert page.evaluate("document.activeElement.type") == "range"  # the slider is still under one's hand
    assert not page.get_by_label("Method").is_visible()  # a way to merge takes the place of the exact sum alone
    page.get_by_label("delta").focus()
    page.keyboard.press("Space")
    page.get_by_label("Method").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("tsv")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.said pre').innerText.includes(' in delta, tsv:keep=1: ')")
    page.get_by_label("factors").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.said pre').innerText.includes(' in factors: ')")
    page.get_by_label("Target language").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Engl")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.said pre').innerText.includes('0.2*news[en]')")
    assert page.get_by_label("Article").input_value() == next(rows("en", "test", 1))["text"]
    page.get_by_label("Task vector alone").focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.said pre').innerText.startsWith('headlines[en] in factors')")
    assert {"Target language", "range slider for news[pt]", "textarea", "radio", "submit"} <= set(reached)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Gradio's, which is not served
def test_vectors_without_a_slider_keep_their_weights(on_desk, monkeypatch):
    pytest.importorskip("gradio")
    monkeypatch.setattr("lingarith.play.page.MOST", 2)
    made = page(on_desk, Space("delta"))
    moved = next(each.fn for each in made.fns.values() if each.name == "moved")
    held = [("headlines[en]", 1.0), ("news[pt]", 0.4), ("news[en]", -0.4)]
    [told] = next(moved("delta", "sum", "Rain fell.", "pt", held, 0.5, 0.3)).values()
    assert told == "0.5*headlines[en] + 0.3*news[pt] - 0.4*news[en]"
