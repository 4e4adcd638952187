"""The pages of the documentation, and the snippets on them: every fenced block, with its kind and place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"\s*(?:\$ )?(?:torchrun .* -m |\S*/)?lingarith +(.+)")


@dataclass(frozen=True)
class Snippet:
    """The code of a fenced block; ``line`` is that of its fence, lines that go on are one."""

    page: str
    line: int
    kind: str
    code: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def typed(self) -> list[tuple[str, str]]:
        """Commands with what the page shows below them; that may be nothing."""
        return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", self.code, re.MULTILINE)


def snippets_of(page: str, text: str) -> list[Snippet]:
    """The fenced blocks of a page, in their order."""
    return [
        Snippet(page, text[: found.start()].count("\n") + 1, found[2], dedent(found[3]).replace("\\\n", " "))
        for found in FENCE.finditer(text)
    ]


def unseen(text: str) -> list[str]:
    """Lines of a page that a reader sees as code, and :func:`snippets_of` does not: indented, or fenced otherwise."""
    found, before, item = [], "", False
    for line in FENCE.sub(r"\1…", text).splitlines():
        if line[:1].strip():
            item = bool(re.match(r"[-*+] |\d+\. ", line))  # what is indented by four belongs to it
        code = re.match(r" {6}|\t" if item else r" {4}|\t", line) and not before.strip()
        if code or re.match(r" *(```|~~~)", line):
            found.append(line)
        before = line
    return found


def commands(code: str) -> list[str]:
    """What stands after ``lingarith`` in each command of some code."""
    return [match[1].replace(" …", "") for line in code.splitlines() if (match := COMMAND.match(line))]


SNIPPETS = {page.name: snippets_of(page.name, page.read_text(encoding="utf-8")) for page in PAGES}
"""Name of the page → its snippets."""
