"""Runs whose every text is hostile: tables that do nothing, pages in which nothing runs, loads or asks elsewhere."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lingarith.study.records import METHODS, Run
from tests.cli.conftest import Command
from tests.report.conftest import TASK, adapted, studied

MARK = "document.documentElement.setAttribute('data-pwn',1)"
ELSEWHERE = "http://127.0.0.1:9"
PAYLOADS = {
    "script": f"<script>{MARK}</script>",
    "picture": f'<img src=x onerror="{MARK}">',
    "attribute": f'" onmouseover="{MARK}" autofocus onfocus="{MARK}" x="',
    "apostrophe": f"' onfocus='{MARK}' autofocus '",
    "svg": f'</text></svg><svg onload="{MARK}">',
    "style": f"</style><script>{MARK}</script>",
    "address": f"</pre></code></title><img src={ELSEWHERE}/x onerror={MARK}>",
    "css": f"red;background:url({ELSEWHERE}/css)",
    "template": "{{7*191}}{% for x in y %}",
    "comment": f"]]>--><script>{MARK}</script><!--",
    "pattern": "\\g<0>\\1\\x",
    "lines": "a\nb|c\n# head\r\n- item",
    "link": "[click](javascript:alert(1))",
    "remote picture": f"![x]({ELSEWHERE}/md)",
    "code": "`a` ~~b~~ **c** | d",
    "escape": "\x1b]0;pwned\x07\x1b[31m\x9b2J\u202e",
    "latex": "\\input{/etc/passwd}\\end{tabular}%^^5c",
    "formula": "=cmd|' /C calc'!A0",
    "plus": "+1+1",
    "at": "@SUM(1)",
    "minus": "-2+3",
    "tab": "\t=1+1",
}
FIXED = {*METHODS, TASK, "sources", "oracle", "test", "validation", "adapt", "table1", "table5"}
FIXED |= {"target", "source", "other", "empty", "copied", ""}
"""Words that mean something to a report, which would refuse others."""
RUNS: dict[str, Callable[[], Run]] = {"adapt": lambda: adapted(3), "study": studied}


def poisoned(value: Any, payload: str) -> Any:
    """All texts with the payload behind them, or in front where it works there; those that are equal stay so."""
    if isinstance(value, dict):
        return {_key(key, payload): poisoned(one, payload) for key, one in value.items()}
    if isinstance(value, list):
        return [poisoned(one, payload) for one in value]
    return _word(value, payload) if isinstance(value, str) else value


def _word(text: str, payload: str) -> str:
    if text in FIXED or text.startswith(f"{TASK}/"):
        return f"{TASK}/{_word(text.removeprefix(f'{TASK}/'), payload)}" if "/" in text else text
    return payload + text if payload.strip()[0] in "=+@-" else text + payload


def _key(key: str, payload: str) -> str:
    """Names of fields stay."""
    return key if re.fullmatch(r"id|[a-z_]{3,}", key) else _word(key, payload)


def written(folder: Path, payload: str) -> Path:
    """The run in a folder, poisoned."""
    values = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(poisoned(values, payload)))
    for file in folder.glob("*.jsonl"):
        rows = [json.dumps(poisoned(json.loads(line), payload)) for line in file.read_text().splitlines()]
        file.write_text("\n".join(rows) + "\n")
    return folder


def listing(folder: Path, payload: str) -> Path:
    """A run without records, whose table is all there is."""
    rows = [[payload, payload], ["3", "-1.5"]]
    grid = {"title": f"T{payload}", "heads": ["a", payload], "rows": rows, "caption": payload}
    about = {"identity": "x", "title": f"t{payload}", "table": "table5", "grid": grid, "command": f"x{payload}"}
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(about))
    return folder


ALWAYS = ("script", "attribute", "style", "template", "lines", "link", "code", "escape", "latex", "formula", "minus")
"""One of each kind; the others are tried with :func:`test_pages_in_a_browser`."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in ALWAYS else pytest.mark.attack) for n in PAYLOADS])
def test_tables(name: str, command: Command, folder_of: Any, tmp_path: Path) -> None:
    payload = PAYLOADS[name]
    runs = [written(folder_of(studied(), "a"), payload), listing(tmp_path / "grid", payload)]
    for run in runs:
        done = command("report", run, "--out", tmp_path / f"{run.name} report")
        assert done.code == 0, done.err
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", done.out)
        page, markdown, latex = (
            (tmp_path / f"{run.name} report" / file).read_text() for file in ("report.html", "table.md", "table.tex")
        )
        assert "1337" not in page
        assert not re.search(r"(?<!\\)(<[a-zA-Z/!]|\]\(|`|~~|\*\*)", markdown)
        assert not re.search(r"^(# head|- item|b\|c)", markdown, re.MULTILINE)
        assert not re.search(r"(?<!textbackslash\{\})input\\?\{|\^\^5c", latex)
        with (tmp_path / f"{run.name} report/table.csv").open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert [
            cell for cell in cells if re.match(r"[=+@\t-]", cell) and not re.fullmatch(r"[+-]?[\d.e-]+", cell)
        ] == []


@pytest.mark.attack
def test_pages_in_a_browser(command: Command, folder_of: Any, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium here")
    pages = []
    for (name, payload), (kind, make) in ((one, run) for one in PAYLOADS.items() for run in RUNS.items()):
        out = tmp_path / f"{kind} {name}"
        done = command("report", written(folder_of(make(), "a"), payload), "--out", out)
        assert done.code == 0, done.err
        pages.append(f'<iframe data-n="{kind} {name}" src="{html.escape((out / "report.html").as_uri())}"></iframe>')
    script = """
        addEventListener("load", () => setTimeout(() => {
          const bad = [];
          for (const frame of document.querySelectorAll("iframe")) {
            const page = frame.contentDocument;
            if (page.documentElement.getAttribute("data-pwn")) bad.push(frame.dataset.n + ": ran");
            for (const part of page.querySelectorAll("*"))
              if ([...part.attributes].some(a => a.name.startsWith("on")) ||
                  ["SCRIPT", "IFRAME", "OBJECT", "EMBED", "IMG", "LINK", "BASE", "FORM"].includes(part.tagName))
                bad.push(frame.dataset.n + ": " + part.outerHTML.slice(0, 80));
            for (const one of frame.contentWindow.performance.getEntriesByType("resource")) bad.push(one.name);
          }
          document.body.innerHTML = "<pre id=found></pre>";
          document.getElementById("found").textContent = JSON.stringify(bad);
        }, 3000))"""
    (tmp_path / "frames.html").write_text("".join(pages) + f"<script>{script}</script>")
    words = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
    words += ["--virtual-time-budget=20000", (tmp_path / "frames.html").as_uri()]
    shown = subprocess.run([browser, *words], capture_output=True, text=True, timeout=170, check=True).stdout
    found = re.search(r'<pre id="found">(.*?)</pre>', shown, re.DOTALL)
    assert found, shown[-500:]
    assert json.loads(html.unescape(found[1])) == []
