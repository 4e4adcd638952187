"""Runs read strictly, seeds taken together, and which of their lines a report speaks of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import LingarithError
from ..study.records import Choice, Record, Run, Weight
from ..study.run_folder import read_run

Place = tuple[str, str, str, str]
"""Task, target, method and, where each source has results of its own, source."""


def read_runs(folders: Sequence[Path]) -> dict[str, Run]:
    """The runs in the folders by name, in the order in which they are named; those of one study that differ in their
    seeds alone become one, the lowest seed first whichever is named first, under the name of the folder with that seed.

    A name is that of the folder, or the whole path where two have that name. Raises :class:`LingarithError` for a
    folder that holds no run or an unfinished one, a line that is cut off or does not fit, and two folders with the same
    run.
    """
    groups: list[list[tuple[Path, Run]]] = []
    for folder in folders:
        run = read_run(folder, whole=True)
        if run.about.grid is None and not run.records and not run.choices:
            raise LingarithError(
                f"{folder} has no records yet; run the command again that made it, which goes on from there"
            )
        _must_be_whole(run, folder)
        same = next((group for group in groups if _but_seeds(group[0][1]) == _but_seeds(run)), None)
        if same is None:
            groups.append([(folder, run)])
        else:
            same.append((folder, run))
    if not groups:
        raise LingarithError("no run was named; name a folder made by `lingarith adapt` or `lingarith run`")
    groups = [sorted(group, key=lambda one: (one[1].about.seeds, str(one[0]))) for group in groups]
    names = [group[0][0].resolve().name for group in groups]
    return {
        name if names.count(name) == 1 else str(group[0][0]): _together(group)
        for name, group in zip(names, groups, strict=True)
    }


def _must_be_whole(run: Run, folder: Path) -> None:
    """Raise :class:`LingarithError` unless each method has one output for each example, and none beside."""
    examples: dict[tuple[str, str, str], set[str]] = {}
    for e in run.examples:
        examples.setdefault((e.task, e.target, e.split), set()).add(e.id)
    written: dict[tuple[Any, ...], set[str]] = {}
    for r in run.records:
        written.setdefault(((r.task, r.target, r.split), r.method, r.source, r.seed, r.weight), set()).add(r.id)
    for (place, method, *_), ids in written.items():
        expected = examples.get(place, ids)
        if ids != expected:
            strangers = sorted(ids - expected)
            what = (
                f"an output for {strangers[0]!r}, which is no example"
                if strangers
                else (f"outputs for {len(ids)} of {len(expected)} examples")
            )
            raise LingarithError(
                f"{folder}: {method} has {what} of {place[1]} ({place[2]}); run the command again that made it"
            )


def _but_seeds(run: Run) -> Any:
    """What two runs of one study on the same backbone and data have in common."""
    about = run.about
    study = {key: value for key, value in about.study.items() if key not in ("seeds", "name")}
    return about.table, study, about.backbone, about.data, about.methods, about.grid


def _together(members: Sequence[tuple[Path, Run]]) -> Run:
    """One run of several with other seeds, their lines in this order."""
    of_seed: dict[int, Path] = {}
    for folder, run in members:
        for seed in run.about.seeds:
            if seed in of_seed:
                raise LingarithError(
                    f"{folder} is the same run as another one that was named, {of_seed[seed]}; leave one of the two out"
                )
            of_seed[seed] = folder
    runs = [run for _, run in members]
    first, seeds = runs[0], list(of_seed)
    if len(runs) == 1:
        return first
    handed_over = first.about.handed_over.items()
    about = replace(
        first.about,
        seeds=seeds,
        study=first.about.study | {"seeds": seeds},
        fixed=[fixed for run in runs for fixed in run.about.fixed],
        notes=list(dict.fromkeys(note for run in runs for note in run.about.notes)),
        handed_over={k: v for k, v in handed_over if all(run.about.handed_over.get(k) == v for run in runs)},
    )
    return replace(
        first,
        about=about,
        records=[record for run in runs for record in run.records],
        choices=[choice for run in runs for choice in run.choices],
        ingredients=list({(i.name, i.hash): i for run in runs for i in run.ingredients}.values()),
    )


# ---------------------------------------------------------------- which lines count


def chosen(run: Run, protocol: str | None = None) -> dict[tuple[Place, int], Choice]:
    """The choice that counts for each place and seed: by ``protocol`` (without one, that of the run), or else
    the only one that the method has; the last one where a run was repeated."""
    protocol = run.about.protocol if protocol is None else protocol
    chosen: dict[tuple[Place, int], Choice] = {}
    for c in run.choices:
        key = ((c.task, c.target, c.method, c.source), c.seed)
        if key not in chosen or c.protocol == protocol:
            chosen[key] = c
    return chosen


def outputs(run: Run, protocol: str | None = None) -> dict[Place, dict[int, dict[str, Record]]]:
    """The test records of each method at the weights that were :func:`chosen`, by seed and id."""
    choices = chosen(run, protocol)
    outputs: dict[Place, dict[int, dict[str, Record]]] = {}
    taken: dict[tuple[object, ...], dict[str, Record] | None] = {}
    for r in run.records:
        key = (r.task, r.target, r.split, r.method, r.source, r.seed, r.weight)
        if key not in taken:  # of a million lines few differ in more than their example
            place = (r.task, r.target, r.method, r.source if run.about.by_source else "")
            choice = choices.get((place, r.seed))
            counts = r.split == "test" and same_weight(r.weight, choice.weight if choice else None)
            taken[key] = outputs.setdefault(place, {}).setdefault(r.seed, {}) if counts else None
        if (by_id := taken[key]) is not None:
            by_id[r.id] = r
    return outputs


def same_weight(a: Weight | None, b: Weight | None) -> bool:
    """Whether two weights are the same, numbers up to rounding.

    >>> same_weight(0.1 + 0.2, 0.3), same_weight(None, 0.0), same_weight("ru", "ru")
    (True, False, True)
    """
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, abs_tol=1e-9)
    return a == b


def targets_of(run: Run, task: str) -> list[str]:
    """The targets of a task, in the order in which the run names them."""
    lines: list[Record | Choice] = [*run.records, *run.choices]
    present = {line.target for line in lines if line.task == task}
    return [target for target in run.about.targets if target in present]
