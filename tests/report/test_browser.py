"""The page in a real browser: no error, no request, charts that are drawn, nothing wider than a phone."""

import html
import json
import re
import shutil
import subprocess

import pytest

from lingarith.report.findings import findings
from lingarith.report.page import page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

LOOK = """
addEventListener("load", () => {
  const inside = document.querySelector("iframe").contentWindow, page = inside.document;
  for (const closed of page.querySelectorAll("details")) closed.open = true;
  const charts = [...page.querySelectorAll("svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    return {label: svg.getAttribute("aria-label"), width: box.width, height: box.height,
      drawn: [...svg.querySelectorAll("path, use")].filter(mark => mark.getBoundingClientRect().width > 0).length};
  });
  const shades = [...page.querySelectorAll(".heat td")].map(cell => inside.getComputedStyle(cell).backgroundColor);
  const rtl = [...page.querySelectorAll(".outputs dd[lang=fa]")].map(text => inside.getComputedStyle(text).direction);
  const found = {charts, shades, rtl, width: page.documentElement.scrollWidth,
    requests: inside.performance.getEntriesByType("resource").map(entry => entry.name)};
  document.body.innerHTML = "<pre id=found></pre>";
  document.getElementById("found").textContent = JSON.stringify(found);
});
"""


@pytest.fixture(scope="module")
def seen(make_study, make_run, tmp_path_factory):
    """What a browser finds in the page, in a frame as wide as a phone; and what it writes to its log."""
    folder = tmp_path_factory.mktemp("browser")
    text = page(*map(findings, [make_study((0, 1)), make_study(by_source=True), make_run(n=5)]))
    frame = f'<iframe style="width: 360px; height: 2000px; border: 0" srcdoc="{html.escape(text)}"></iframe>'
    (folder / "look.html").write_text(f"<!doctype html><meta charset=utf-8><body>{frame}<script>{LOOK}</script>")
    words = (
        "--headless --no-sandbox --disable-gpu --enable-logging=stderr --virtual-time-budget=5000 --dump-dom".split()
    )
    words += [f"--user-data-dir={folder / 'profile'}", (folder / "look.html").as_uri()]
    done = subprocess.run([CHROMIUM, *words], capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="found">(.*)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    return json.loads(html.unescape(found[1])), done.stderr


def test_no_error_and_no_request(seen):
    found, log = seen
    assert "CONSOLE" not in log, re.findall(r".*CONSOLE.*", log)
    assert found["requests"] == []


def test_charts_are_drawn(seen):
    charts = seen[0]["charts"]
    assert len(charts) > 20
    for chart in charts:
        assert chart["width"] > 100, chart
        assert chart["height"] > 20, chart
        assert chart["drawn"] >= 5, chart


def test_the_heat_map_is_shaded(seen):
    shades = seen[0]["shades"]
    assert len(shades) == 6
    assert len(set(shades)) == 2  # what gains, and what does not
    assert not any("rgba(0, 0, 0, 0)" in shade for shade in shades)


def test_persian_runs_from_right_to_left(seen):
    assert set(seen[0]["rtl"]) == {"rtl"}


def test_nothing_is_wider_than_a_phone(seen):
    assert seen[0]["width"] <= 360
