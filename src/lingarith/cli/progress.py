"""What a person sees while something runs: one bar, with the time that is left."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..study.jobs import Progress


def duration(seconds: float) -> str:
    """
    >>> duration(45), duration(600), duration(9000)
    ('45 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def shown() -> Iterator[Progress]:
    """A progress callback: a live bar on a terminal, else a line now and then; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(file=sys.stderr)
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bars:
        tasks: dict[str, object] = {}

        def update(what: str, done: int, total: int) -> None:
            if what not in tasks:
                for old in tasks.values():
                    bars.remove_task(old)  # type: ignore[arg-type]
                tasks.clear()
                tasks[what] = bars.add_task(what, total=None)
            bars.update(tasks[what], completed=done, total=total or None)  # type: ignore[arg-type]

        yield update


class _Lines:
    """Progress for a log file: the start of each thing, and every ten seconds how far it is."""

    def __init__(self) -> None:
        self.what, self.began, self.printed = "", 0.0, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self.what:
            self.what, self.began, self.printed = what, now, now
            print(f"{what} …", file=sys.stderr, flush=True)
        elif now - self.printed > 10 and done:
            left = f"/{total}, {(now - self.began) / done * (total - done):.0f} s left" if total else ""
            self.printed = now
            print(f"{what}: {done}{left}", file=sys.stderr, flush=True)
