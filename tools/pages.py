"""Pages of the documentation site that are made when it is built (``make docs``), and docstrings as Markdown.

The command reference comes from ``--help``, the Python API from docstrings in the order of ARCHITECTURE.md's tree.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.structure.files import File
from typer.cli import get_docs_for_click

from lingarith.cli.main import app

ROOT = Path(__file__).parents[1]
PLACES = {"README.md": "index.md", "ARCHITECTURE.md": "architecture.md", "CHANGELOG.md": "changelog.md"}
"""Documents beside docs/, and the pages that they are."""
ROLE = re.compile(r":[a-z]+:`~?[.]*([^`]+)`")
DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
TABLE = re.compile(r"^=+ +=+\n(?:.*\n)+?=+ +=+$", re.MULTILINE)


def commands() -> str:
    """Every command with its arguments and options, as ``--help`` has them."""
    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command, info_name="lingarith"), name="lingarith")
    # Its lists of commands cut their sentences off; the page has them as headings.
    return re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text.replace("# `lingarith`\n", "# Commands\n", 1))


def rooms() -> dict[str, list[str]]:
    """Modules by the folder of the package that they stand in, in the order of the tree; not those of the command."""
    tree = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```\nsrc/lingarith/", 1)[1].split("```")[0]
    found: dict[str, list[str]] = {}
    folders: list[str] = []
    for indent, name, end in re.findall(r"^( +)([\w-]+)(/|\.py)", tree, re.MULTILINE):
        folders = folders[: len(indent) // 2 - 1]
        if end == "/":
            folders.append(name)
        else:
            found.setdefault(folders[0] if folders else "lingarith", []).append(".".join(["lingarith", *folders, name]))
    return {room: modules for room, modules in found.items() if room != "cli"}


def api(room: str, modules: list[str]) -> str:
    """The page of a folder: each module with what is public in it."""
    return "\n\n".join([f"# {room}", *(f"::: {module}" for module in modules)])


def as_markdown(docstring: str) -> str:
    """A docstring without roles, and with fences around its doctests and tables.

    >>> print(as_markdown("See :class:`~.errors.LingarithError`.\\n\\n>>> 1 + 1\\n2"))
    See `errors.LingarithError`.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    text = DOCTEST.sub(lambda found: f"```pycon\n{found[0]}\n```", ROLE.sub(r"`\1`", docstring))
    return TABLE.sub(lambda found: f"```text\n{found[0]}\n```", text)


class Docstrings(griffe.Extension):  # type: ignore[misc, unused-ignore]
    """Docstrings as Markdown, for mkdocstrings."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


def on_config(config: Any) -> Any:
    """The API has a page for each folder of the package."""
    [section] = [entry for entry in config.nav if entry.get("Python API")]
    section["Python API"] = [{room: f"api/{room}.md"} for room in rooms()]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Pages that lie in no file under docs/."""
    made = {"commands.md": commands(), **{f"api/{room}.md": api(room, modules) for room, modules in rooms().items()}}
    for name, page in PLACES.items():
        if page != "index.md":
            made[page] = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
    for place, content in made.items():
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to documents beside docs/ lead to their pages; of those to other files, which no page is, words stay."""
    return re.sub(
        r"\[([^\]]+)\]\(\.\./([^)]+)\)",
        lambda link: f"[{link[1]}]({PLACES[link[2]]})" if link[2] in PLACES else link[1],
        markdown,
    )
