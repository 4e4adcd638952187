"""What a person sees while something runs: one bar, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .terminal import console, tell

if TYPE_CHECKING:
    from ..progress import Progress


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
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines()
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=screen, transient=True) as bars:
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
            tell(f"{what} …", stderr=True)
        elif now - self.printed > 10 and done:
            left = f"/{total}, {(now - self.began) / done * (total - done):.0f} s left" if total else ""
            self.printed = now
            tell(f"{what}: {done}{left}", stderr=True)
