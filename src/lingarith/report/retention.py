"""What a composition loses where the labels come from: its scores on the source's own test data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..scores.resample import difference_of_groups, holm
from ..study.records import RETENTION, Grid, Run, name_of
from .cells import Scores, mark_of
from .words import number, signed

Where = tuple[str, str, str]
"""Target, source, method."""


def retention(run: Run, task: str, only: str | None = None) -> list[Grid]:
    """One table of a task, with a row for each target, source and method; none where nothing of it was tested.

    ``only`` one target's rows stand in it, if named; their marks are those that they have among all.
    """
    by_place = _scores(run, task)
    gains = {}
    for (target, source, method), ours in by_place.items():
        base = by_place.get((target, source, run.about.reference))
        if base is not None and method != run.about.reference and base.shape == ours.shape:
            gains[target, source, method] = difference_of_groups([ours], [base])
    rows: list[Sequence[str]] = []
    for (target, source, method), ours in by_place.items():
        row = [target, source, name_of(method).short, number(float(ours.mean())), "", "", str(ours.shape[1])]
        if gain := gains.get((target, source, method)):
            ps = {f"{t} {s}": other.p for (t, s, m), other in gains.items() if m == method}
            p = holm(ps)[f"{target} {source}"]
            row[4:6] = [signed(gain.mean) + mark_of(gain.mean, p), f"{signed(gain.low)} to {signed(gain.high)}"]
        rows += [row] if only in (None, target) else []
    if not rows:
        return []
    reference = name_of(run.about.reference).short
    caption = (
        f"{run.about.tasks[task]} on the source's own test data, of the compositions that were tested for a target. "
        f"Change: against {reference} there, on the same examples; * better, † worse, p < 0.05 after Holm."
    )
    title = f"{run.about.title}, {task}: retention in the source language"
    return [Grid(title, ["", "Source", "Method", run.about.tasks[task], "Change", "95 %", "Examples"], rows, caption)]


def _scores(run: Run, task: str) -> dict[Where, Scores]:
    """Scores (seeds, examples) of the examples that all methods have there, in one order."""
    tested: dict[Where, dict[int, dict[str, float]]] = {}
    for r in run.records:
        if r.split == RETENTION and r.task == task:
            tested.setdefault((r.target, r.source, r.method), {}).setdefault(r.seed, {})[r.id] = r.score
    common: dict[tuple[str, str], set[str]] = {}
    for (target, source, _), seeds in tested.items():
        for by_id in seeds.values():
            common[target, source] = common.get((target, source), set(by_id)) & by_id.keys()
    return {
        where: np.array([[by_id[id] for id in sorted(common[where[:2]])] for by_id in seeds.values()])
        for where, seeds in tested.items()
        if common[where[:2]]
    }
