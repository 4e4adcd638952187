"""What the newsroom has written is kept: to write it anew for each command would take longer than to read it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache, partial
from importlib import resources
from typing import Any

import babel

from ..disk.kept import kept
from .pages import page
from .rows import SIZES, rows

BLOCK = 500
"""Pages of a file: so many are written at a time, whether all are asked for or not."""


def texts(language: str, numbers: range) -> Iterator[str]:
    """The pages of plain text of these numbers, in their order."""
    for start in range(numbers.start, numbers.stop, BLOCK):
        some = range(start, min(start + BLOCK, numbers.stop))
        about = {"language": language, "pages": [some.start, some.stop]}
        yield from archived(about, partial(_pages, language, some))


def labelled(language: str, split: str, limit: int | None, fields: Collection[str]) -> list[dict[str, Any]]:
    """The rows of a split (:func:`.rows.rows`), as plain JSON."""
    some = {"id"} | ({"english"} & {*fields})  # all others come with any of them
    about = {"language": language, "split": split, "stories": limit or SIZES[split], "fields": sorted(some)}
    return archived(about, partial(rows, language, split, limit, some))


def _pages(language: str, numbers: range) -> list[str]:
    return [page("text", language, number) for number in numbers]


def archived(about: dict[str, Any], write: Callable[[], Iterable[Any]]) -> list[Any]:
    """What ``write`` gives, plain JSON; ``about`` tells it from all else that the newsroom writes."""
    return kept("newsroom", about | {"version": version()}, write)


@cache
def version() -> str:
    """sha256 (hex) of all that the newsroom's words depend on: its programs and languages, Python and Babel."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {babel.__version__}".encode())
    folder = resources.files(__package__)
    for file in sorted([*folder.iterdir(), *(folder / "languages").iterdir()], key=lambda file: file.name):
        if file.name.endswith((".py", ".toml")):
            digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()
