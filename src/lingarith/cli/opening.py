"""What most commands begin and end with: a store, a lab; a table, sentences, JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import without_passwords
from .terminal import console, harmless, tell

if TYPE_CHECKING:
    from ..progress import Progress
    from ..store.store import Store
    from ..study.lab import Lab
    from ..study.study import Study
    from ..study.tracking import Tracker

DEFAULT_STORE = "lingarith-store"
TYPED = "the command line"
"""Where a study's keys come from, for messages."""

StorePlace = Annotated[
    str, typer.Option("--store", envvar="LINGARITH_STORE", help="Where vectors lie: a folder, or s3://bucket/path.")
]
Json = Annotated[bool, typer.Option("--json", help="The same facts for a program.")]


def command() -> str:
    """What was typed, so that it can be typed again, but for passwords in URLs."""
    return without_passwords(shlex.join(["lingarith", *sys.argv[1:]]))


def open_store(place: str) -> Store:
    """The store in a folder or under a URL, which need not exist yet."""
    from ..store.store import Store

    return Store.at(place)


def open_lab(study: Study, store: str, progress: Progress, *, trains: bool = True, track: Tracker | None = None) -> Lab:
    """A lab on a store; its backbone will be loaded without the noise that libraries make."""
    from ..model.memory import prepare
    from ..study.lab import Lab

    prepare()
    return Lab(study, open_store(store), progress=progress, trains=trains, track=track)


def print_json(value: Any) -> None:
    """One JSON value on stdout; a dataclass in it is an object, and letters that stdout cannot hold are escaped."""

    def plain(part: Any) -> Any:
        return asdict(part) if is_dataclass(part) and not isinstance(part, type) else str(part)

    escaped = not (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    tell(json.dumps(value, ensure_ascii=escaped, indent=1, default=plain))


def print_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], right: Collection[str] = (), *, stderr: bool = False
) -> None:
    """A table without lines; the columns under the heads of ``right`` are numbers."""
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen, lines = (
        console(stderr=stderr),
        [[harmless(cell).replace("\n", " ") for cell in row] for row in (heads, *rows)],
    )
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    if not screen.is_terminal or sum(widths) + 2 * len(widths) - 2 <= screen.width:
        # As below and a hundred times as quick; where no terminal breaks lines, a row is a line.
        for row in lines:
            cells = [" " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
            texts = [
                pad + cell if head in right else cell + pad for pad, cell, head in zip(cells, row, heads, strict=True)
            ]
            tell("  ".join(texts).rstrip(), stderr=stderr)
        return
    table = Table(box=None, pad_edge=False)
    for head in heads:
        table.add_column(Text(head), justify="right" if head in right else "left")
    for row in lines[1:]:
        table.add_row(*map(Text, row))
    screen.print(table)


def warn(sentence: str) -> None:
    """A sentence on stderr, if there is one."""
    if sentence:
        tell(f"warning: {sentence}", stderr=True)


def say(sentences: Iterable[str], *, stderr: bool = False) -> None:
    """Sentences, each on lines of its own."""
    for sentence in sentences:
        console(stderr=stderr).print(sentence)
