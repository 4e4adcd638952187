"""Runs read for a report, strictly, and the files that a report consists of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..disk.files import write_atomically
from ..errors import LingarithError
from ..study.records import Run, read_run
from . import table
from .comparison import exact, kinds
from .grids import as_latex, as_markdown
from .page import page
from .paper import printed
from .results import Results
from .study_table import F1

STUDY = {
    "tasks": dict, "targets": list, "sources": list, "seeds": list, "methods": dict, "tried": list, "against": list,
    "reference": str, "protocol": str, "by_source": bool, "title": str, "table": str, "study": dict,
}  # fmt: skip
"""What ``run.json`` of a study tells, and of which type."""
GRID = {"title": str, "heads": list, "rows": list, "caption": str}
COLUMNS = (
    "run task source target method seeds n score low high gain gain_low gain_high p p_holm weights right exact paper"
).split()


def read_runs(folders: Sequence[Path]) -> dict[str, Run]:
    """The runs in the folders by name; runs of one study that differ in their seeds alone become one.

    Raises :class:`LingarithError` for a folder that holds no run or an unfinished one, a line that is
    cut off or lacks a field, and two folders with the same run.
    """
    found: dict[str, Run] = {}
    for folder in folders:
        run = read_run(folder, whole=True)
        _check(run, folder)
        like = next((name for name, other in found.items() if _same_but_seeds(run, other)), None)
        if like is not None:
            found[like] = _together(found[like], run, folder)
            continue
        name = folder.resolve().name
        found[name if name not in found else str(folder)] = run
    if len(found) < 1:
        raise LingarithError("no run was named; name a folder made by `lingarith adapt` or `lingarith run`")
    return found


def _check(run: Run, folder: Path) -> None:
    about, path = run.about, folder / "run.json"
    if "grid" in about:
        _fields(about["grid"] if isinstance(about["grid"], dict) else {}, GRID, path)
        _fields(about, {"table": str}, path)
        return
    if "study" in about or "tasks" in about:
        _fields(about, STUDY, path)
    elif not isinstance(about.get("targets", []), list):
        raise LingarithError(f"{path}: 'targets' is no list; run the command again that made it")
    if not run.records and not run.choices:
        raise LingarithError(
            f"{folder} has no records yet; run the command again that made it, which goes on from there"
        )


def _fields(given: Mapping[str, Any], wanted: Mapping[str, type], path: Path) -> None:
    for name, kind in wanted.items():
        if not isinstance(given.get(name), kind):
            raise LingarithError(
                f"{path}: {'no field' if name not in given else 'no sense in field'} {name!r}; "
                "run the command again that made it"
            )


def _same_but_seeds(one: Run, other: Run) -> bool:
    """Whether two runs are of one study, on the same backbone and the same data."""

    def rest(run: Run) -> Any:
        study = {key: value for key, value in run.about["study"].items() if key not in ("seeds", "name")}
        return study, run.about["backbone"], run.about["data"], run.about["methods"]

    keys = ("study", "backbone", "data", "methods")
    return all(key in run.about for run in (one, other) for key in keys) and rest(one) == rest(other)


def _together(one: Run, other: Run, folder: Path) -> Run:
    seeds = [*one.about["seeds"], *other.about["seeds"]]
    if len(set(seeds)) < len(seeds):
        raise LingarithError(f"{folder} is the same run as another one that was named; leave one of the two out")
    known: set[tuple[str, str]] = {(i.name, i.hash) for i in one.ingredients}
    return replace(
        one,
        about=one.about | {"seeds": seeds, "study": one.about["study"] | {"seeds": seeds}},
        records=[*one.records, *other.records],
        choices=[*one.choices, *other.choices],
        ingredients=[*one.ingredients, *(i for i in other.ingredients if (i.name, i.hash) not in known)],
    )


# ---------------------------------------------------------------- what is written


def write_report(of: Mapping[str, Results], folder: Path) -> list[Path]:
    """``report.html``, ``table.md``, ``table.tex`` and ``table.csv`` in the folder; their paths, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.html": page(*of.values()),
        "table.md": "\n".join(map(_markdown, of.values())),
        "table.tex": "\n".join(as_latex(one.grids, one.said) for one in of.values()),
        "table.csv": as_csv(of),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def _markdown(of: Results) -> str:
    return as_markdown(of.grids, of.said) if of.by_method else table.as_markdown(of.rows)


def as_csv(of: Mapping[str, Results]) -> str:
    """Every number, unrounded: a line for each run, task, source, target and method; of tables that need no
    model, their own columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = {name: one for name, one in of.items() if "grid" not in one.run.about}
    if measured:
        writer.writerow(COLUMNS)
    for name, one in measured.items():
        for values in _numbers(one):
            told = values | {"run": name}
            writer.writerow([told.get(column) for column in COLUMNS])
    for one in of.values():
        if "grid" in one.run.about:
            writer.writerows(row for grid in one.grids for row in (grid.heads, *grid.rows))
    return text.getvalue()


def _numbers(of: Results) -> Iterator[dict[str, Any]]:
    """What the columns hold, a line at a time; an empty cell where one is missing or None."""
    about = of.run.about
    for row in of.rows:
        own = {"target": row.target, "method": row.equation, "weights": row.weight, "right": row.kinds["target"]}
        yield {column: getattr(row, column, None) for column in COLUMNS} | own
    for pair in of.pairs:
        own = {"method": about["tried"][0], "score": pair.composed, "gain": pair.composed - pair.alone}
        yield {column: getattr(pair, column, None) for column in COLUMNS} | own | {"task": next(iter(about["tasks"]))}
    if of.cells:
        paper = printed(about["table"])
        right = {task: kinds(of.run, task) for task in about["tasks"]}
        same = {task: exact(of.run, task) for task, metric in about["tasks"].items() if metric == F1}
    for cell in of.cells:
        shares = right[cell.task].get(cell.target, {}).get(cell.method)
        yield {column: getattr(cell, column, None) for column in COLUMNS} | {
            "weights": " ".join(f"{weight:g}" for weight in cell.weights),
            "right": shares["target"] if shares else None,
            "exact": same.get(cell.task, {}).get((cell.target, cell.method)),
            "paper": paper.get((cell.task, cell.target, cell.method)),
        }
