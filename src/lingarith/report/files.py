"""Runs read for a report, strictly, and the files that a report consists of."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import LingarithError
from ..study.records import Run, read_run
from ..vectors.files import write_atomically
from . import table, verdict
from .comparison import cells, exact, kinds
from .grids import as_latex, as_markdown
from .page import page
from .pairs import pairs
from .paper import printed
from .study_table import F1, listed, tables

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


def write_report(runs: Mapping[str, Run], folder: Path) -> list[Path]:
    """``report.html``, ``table.md``, ``table.tex`` and ``table.csv`` in the folder; their paths, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.html": page(*runs.values()),
        "table.md": "\n".join(map(markdown, runs.values())),
        "table.tex": "\n".join(map(latex, runs.values())),
        "table.csv": as_csv(runs),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in contents]


def markdown(run: Run) -> str:
    """The tables of a run in Markdown, with the verdict below them."""
    if "tasks" in run.about or "grid" in run.about:
        return as_markdown(*tables(run))
    return table.as_markdown(table.rows(run))


def latex(run: Run) -> str:
    """The same for LaTeX."""
    if "tasks" in run.about or "grid" in run.about:
        return as_latex(*tables(run))
    of = table.rows(run)
    return as_latex([table.as_grid(of, str(run.about.get("title", "")))], verdict.verdict(run))


def as_csv(runs: Mapping[str, Run]) -> str:
    """Every number, unrounded: a line for each run, task, source, target and method; of tables that need no
    model, their own columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = {name: run for name, run in runs.items() if "grid" not in run.about}
    if measured:
        writer.writerow(COLUMNS)
    for name, run in measured.items():
        for values in _numbers(run):
            writer.writerow(["" if (v := ({"run": name} | values).get(column)) is None else v for column in COLUMNS])
    for run in runs.values():
        if "grid" in run.about:
            grid = listed(run)
            writer.writerows([grid.heads, *grid.rows])
    return text.getvalue()


def _numbers(run: Run) -> Iterator[dict[str, Any]]:
    if "tasks" not in run.about:
        for row in table.rows(run):
            shown = {"target": row.target, "method": row.equation, "weights": row.weight, "right": row.kinds["target"]}
            yield shown | {
                key: getattr(row, key) for key in "n score low high gain gain_low gain_high p p_holm".split()
            }
    elif run.about["by_source"]:
        (task,) = run.about["tasks"]
        for pair in pairs(run):
            own = {"task": task, "source": pair.source, "target": pair.target, "method": run.about["tried"][0]}
            yield own | {"score": pair.composed, "gain": pair.composed - pair.alone, "p": pair.p, "p_holm": pair.p_holm}
    else:
        yield from _of_cells(run)


def _of_cells(run: Run) -> Iterator[dict[str, Any]]:
    paper = printed(run.about["table"])
    right = {task: kinds(run, task) for task in run.about["tasks"]}
    same = {task: exact(run, task) for task, metric in run.about["tasks"].items() if metric == F1}
    for c in cells(run):
        of = right[c.task].get(c.target, {}).get(c.method)
        yield {key: getattr(c, key) for key in COLUMNS if hasattr(c, key)} | {
            "weights": " ".join(f"{weight:g}" for weight in c.weights),
            "right": of["target"] if of else None,
            "exact": same.get(c.task, {}).get((c.target, c.method)),
            "paper": paper.get((c.task, c.target, c.method)),
        }
