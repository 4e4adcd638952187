"""The folder of a run: JSON lines that are only ever added, and what was run.

It holds ``run.json`` (what was run, written first), ``examples.jsonl`` (each article once), ``records.jsonl`` (each
output), ``choices.jsonl`` (each chosen weight), ``vectors.jsonl`` (origin and cost of each vector). What stands after
the last end of a line was cut off by a crash: reading leaves it out and the next line takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from .. import plain
from ..disk import lines
from ..disk.files import inside, listed, read_json, write_atomically
from ..disk.locks import alone
from ..disk.temporary import TEMPORARY, sweep
from ..errors import LingarithError
from .records import About, Choice, Example, Ingredient, Line, Record, Run, must_be_score

LOCK = ".run"
"""What a command that writes into a run folder locks there."""
Kind = TypeVar("Kind", Example, Record, Choice, Ingredient)
FILES: Mapping[type[Line], tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    Example: ("examples.jsonl", attrgetter("task", "target", "split", "id")),
    Record: ("records.jsonl", attrgetter("task", "target", "split", "method", "source", "seed", "weight", "id")),
    Choice: ("choices.jsonl", attrgetter("task", "target", "method", "source", "seed", "protocol")),
    Ingredient: ("vectors.jsonl", attrgetter("name", "hash")),
}
"""Where lines of a kind stand, and what tells them apart: a folder holds each once."""


# ---------------------------------------------------------------- read


def read_run(folder: Path, *, whole: bool = False) -> Run:
    """Everything in a run folder. Raises :class:`LingarithError` when it is none; see :func:`read_lines`."""
    mend = f"{folder} is no run folder; name one made by `lingarith adapt` or `lingarith run`"
    values = read_json(inside(folder, "run.json"), mend=mend)
    return Run(
        plain.record(About, values, str(folder / "run.json"), mend="run the command again that made it"),
        read_lines(folder, Example, whole=whole),
        read_lines(folder, Record, whole=whole),
        read_lines(folder, Choice, whole=whole),
        read_lines(folder, Ingredient, whole=whole),
    )


def read_lines(folder: Path, kind: type[Kind], *, whole: bool = False) -> list[Kind]:
    """The lines of one kind in a run folder; none if their file is not there yet.

    Raises :class:`LingarithError` naming file and line where a line is no JSON or does not fit (see
    :func:`.plain.record`); with ``whole`` also where the last line was cut off.
    """
    seen: dict[tuple[Any, ...], Kind] = {}
    mend = "delete that line and run again"
    return [
        _checked(plain.record(kind, values, where, mend=mend), seen, where, mend)
        for where, values in lines.objects(folder / FILES[kind][0], mend, whole=whole)
    ]


def _checked(line: Kind, seen: dict[tuple[Any, ...], Kind], where: str, mend: str) -> Kind:
    """The line itself. Raises :class:`LingarithError` for a score that is none, and what was said otherwise before."""
    if isinstance(line, Record):
        must_be_score(line.score, where, mend)
    if isinstance(line, Record | Example) and seen.setdefault(_key(line), line) != line:
        raise LingarithError(f"{where}: this line stood there before and said something else; {mend}")
    return line


# ---------------------------------------------------------------- written


def append(folder: Path, added: Iterable[Line]) -> None:
    """Add lines to the file of their kind. Raises :class:`LingarithError` when that fails (disk full)."""
    texts: dict[str, list[str]] = {}
    for line in added:
        texts.setdefault(FILES[type(line)][0], []).append(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    for name, rows in texts.items():
        try:
            lines.append(folder / name, "".join(rows).encode())
        except OSError as problem:
            raise LingarithError(
                f"cannot write {folder / name}: {problem.strerror}; what was there is kept: "
                "mend that and run the same command again"
            ) from problem


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: lines are added once, and only by the run that it belongs to."""

    path: Path
    written: set[tuple[Any, ...]] = field(default_factory=set)
    """What tells apart the lines that are there."""

    def open(self, about: About) -> Run:
        """What is there already. Raises :class:`LingarithError` if it belongs to another run."""
        if (self.path / "run.json").exists():
            run = read_run(self.path)
            if run.about.identity != about.identity:
                raise LingarithError(
                    f"{self.path} holds another run (other data, options or backbone); choose another --out"
                )
            there: list[Line] = [*run.examples, *run.records, *run.choices, *run.ingredients]
            self.written.update(map(_key, there))
            return run
        self.must_be_free()
        self.close(about)
        return read_run(self.path)

    def must_be_free(self) -> None:
        """Raise :class:`LingarithError` unless a run can be there: a run is, or nothing yet."""
        if self.path.exists() and not self.path.is_dir():
            raise LingarithError(f"{self.path} is a file; choose another --out")
        names = listed(self.path)
        if "run.json" not in names and any(not name.startswith((TEMPORARY, LOCK)) for name in names):
            raise LingarithError(f"{self.path} is not empty and holds no run; choose another --out")

    @contextmanager
    def alone(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Context that one command at a time is in: of two, the second one waits, and finds all lines there.

        Raises :class:`LingarithError` as :meth:`must_be_free` does, and where nothing can be written.
        """
        self.must_be_free()
        with alone(self.path / LOCK, waiting):
            sweep(self.path)
            yield

    def close(self, about: About) -> None:
        """Write ``run.json``, whole or not at all."""
        write_atomically(self.path / "run.json", json.dumps(asdict(about), ensure_ascii=False, indent=1))

    def add(self, added: Sequence[Line]) -> None:
        """Append the lines that are not there yet."""
        new = {_key(line): line for line in added if _key(line) not in self.written}
        append(self.path, new.values())
        self.written.update(new)


def _key(line: Line) -> tuple[Any, ...]:
    return FILES[type(line)][1](line)
