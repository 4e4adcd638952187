"""What a run measured: a cell for each method and target, with what is sure about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..scores.metrics import METRICS
from ..scores.output import shares
from ..scores.resample import difference_of_groups, group_test, holm, interval_of_groups
from ..study.records import Run, Weight
from .runs import Place, chosen, outputs
from .words import AVERAGE

SIGNIFICANT = 0.05
DRAWS = 10_000
Scores = NDArray[np.float64]
"""Of one method on one target: (seeds, examples), 0..100."""


@dataclass(frozen=True)
class Cell:
    """A method on a target, or (``target`` is ``average``) on all of a task, each language alike.

    ``score`` is the mean over ``seeds`` seeds and ``n`` examples, 0..100, with its 95 % bootstrap interval
    over both. ``base`` is the reference's on the same examples, ``gain`` the difference, ``p`` its paired
    test and ``p_holm`` that after Holm's correction over the targets, or all pairs of source and target (an
    average is one test); they are None for the reference itself. ``weights`` holds what was chosen, a
    weight for each seed. ``kinds`` are shares of outputs (0..1), empty where the task writes labels, and
    ``beside`` the figures that stand beside the metric (0..100). The oracle's weights and score are there
    where the run's protocol is another one. Where each source has results of its own, ``source`` says which
    it is, and there are no intervals: a hundred pairs would take minutes.
    """

    task: str
    target: str
    method: str
    n: int
    seeds: int
    score: float
    low: float | None = None
    high: float | None = None
    base: float | None = None
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    source: str = ""
    weights: tuple[Weight, ...] = ()
    kinds: Mapping[str, float] = field(default_factory=dict)
    beside: Mapping[str, float] = field(default_factory=dict)
    oracle_weights: tuple[Weight, ...] = ()
    oracle_score: float | None = None

    @property
    def mark(self) -> str:
        """``*`` for what is significantly above the reference, ``†`` for what is below."""
        if self.p_holm is None or self.p_holm >= SIGNIFICANT or not self.gain:
            return ""
        return "*" if self.gain > 0 else "†"

    @property
    def change(self) -> float | None:
        """The gain in percent of the reference's score; None where that is 0."""
        return 100 * self.gain / self.base if self.gain is not None and self.base else None


def cells(run: Run, *, draws: int = DRAWS) -> list[Cell]:
    """The cells of a run: by task and method, its targets and their average; see :func:`scores` for what counts."""
    about, by_place = run.about, scores(run)
    facts = _facts(run)
    sources = about.sources if about.by_source else [""]
    found: list[Cell] = []
    for task in about.tasks:
        for method in about.methods:
            rows = []
            for target, source in product(about.targets, sources):
                ours = by_place.get((task, target, method, source))
                theirs = by_place.get((task, target, about.reference, source)) if method != about.reference else None
                if ours is not None:
                    measured = _measured([ours], [] if theirs is None else [theirs], draws, not about.by_source)
                    known = facts[task, target, method, source]
                    rows.append(Cell(task, target, method, source=source, **measured, **known))
            ps = {f"{c.source} {c.target}": c.p for c in rows if c.p is not None}
            corrected = holm(ps) if ps else {}
            found += [replace(c, p_holm=corrected.get(f"{c.source} {c.target}")) for c in rows]
            if len(rows) > 1 and not about.by_source:
                found.append(_average(rows, by_place, about.reference, draws))
    return found


def scores(run: Run, protocol: str | None = None) -> dict[Place, Scores]:
    """The scores of :func:`.runs.outputs`, with a row for each seed.

    Of a target only the examples count that all methods and seeds have, in one order.
    """
    tested = outputs(run, protocol)
    common: dict[tuple[str, str], set[str]] = {}
    for (task, target, _, _), seeds in tested.items():
        for by_id in seeds.values():
            common[task, target] = common.get((task, target), set(by_id)) & by_id.keys()
    return {
        place: np.array([[by_id[id].score for id in sorted(common[place[:2]])] for by_id in seeds.values()])
        for place, seeds in tested.items()
        if common[place[:2]]
    }


def compared(run: Run, cell: Cell, other: Cell, *, draws: int = DRAWS) -> tuple[float, float, float, float]:
    """What a cell's method gains over another one on the same examples: mean, interval, p; an average by language."""
    by_place = scores(run)
    pairs = [
        (by_place[ours], by_place[theirs])
        for target in (run.about.targets if cell.target == AVERAGE else [cell.target])
        if (ours := (cell.task, target, cell.method, "")) in by_place
        and (theirs := (cell.task, target, other.method, "")) in by_place
    ]
    return difference_of_groups([ours for ours, _ in pairs], [theirs for _, theirs in pairs], draws=draws)


def kinds(of: Iterable[Cell]) -> dict[str, dict[str, dict[str, float]]]:
    """The shares of the kinds of output by target and method, over sources; averages are left out."""
    found: dict[str, dict[str, list[Mapping[str, float]]]] = {}
    for c in of:
        if c.kinds and c.target != AVERAGE:
            found.setdefault(c.target, {}).setdefault(c.method, []).append(c.kinds)
    return {target: {method: _means(some) for method, some in own.items()} for target, own in found.items()}


# ---------------------------------------------------------------- the arithmetic


def _measured(ours: Sequence[Scores], theirs: Sequence[Scores], draws: int, intervals: bool = True) -> dict[str, Any]:
    """The figures of a cell, over one group or several, with ``theirs`` of the reference if it was tested there."""
    found: dict[str, Any] = {"n": sum(group.shape[1] for group in ours), "seeds": len(ours[0]), "score": _mean(ours)}
    if intervals:
        found["low"], found["high"] = interval_of_groups(ours, draws=draws)
    if theirs and intervals:
        gained = difference_of_groups(ours, theirs, draws=draws)
        found |= {"gain": gained.mean, "gain_low": gained.low, "gain_high": gained.high, "p": gained.p}
    elif theirs:
        between = [a - b for a, b in zip(ours, theirs, strict=True)]
        found |= {"gain": _mean(between), "p": group_test([group.mean(0) for group in between], draws)}
    return found | ({"base": _mean(theirs)} if theirs else {})


def _average(of: Sequence[Cell], by_place: Mapping[Place, Scores], reference: str, draws: int) -> Cell:
    ours = [by_place[c.task, c.target, c.method, ""] for c in of]
    theirs = [by_place[c.task, c.target, reference, ""] for c in of if c.gain is not None]
    measured = _measured(ours, theirs if len(theirs) == len(ours) else [], draws)
    oracle = [c.oracle_score for c in of if c.oracle_score is not None]
    return Cell(
        of[0].task,
        AVERAGE,
        of[0].method,
        **measured,
        p_holm=measured.get("p"),
        kinds=_means([c.kinds for c in of]),
        beside=_means([c.beside for c in of]),
        oracle_score=fmean(oracle) if len(oracle) == len(of) else None,
    )


def _mean(groups: Sequence[Scores]) -> float:
    return fmean(float(group.mean()) for group in groups)


def _means(of: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: fmean(one[name] for one in of) for name in of[0] if all(name in one for one in of)}


# ---------------------------------------------------------------- what else is known of a cell


def beside_of(metric: str) -> Mapping[str, Callable[[Sequence[str], Sequence[Sequence[str]]], float]]:
    """The figures that stand beside a metric, by name: of outputs and their references, 0..100."""
    return next((one.beside for one in METRICS.values() if one.name == metric), {})


def _facts(run: Run) -> dict[Place, dict[str, Any]]:
    """What a cell knows beside its scores: weights, kinds of output, figures beside the metric, the oracle."""
    weights, oracle = _weights(run), _oracle(run)
    beside = {task: beside_of(metric) for task, metric in run.about.tasks.items()}
    right = {(e.task, e.target, e.id): [e.reference, *e.alternatives] for e in run.examples if e.split == "test"}
    found = {}
    for place, tested in outputs(run).items():
        kinds = [r.kind for by_id in tested.values() for r in by_id.values()]
        # An output whose example has no line is left out.
        seeds = [[r for r in by_id.values() if (r.task, r.target, r.id) in right] for by_id in tested.values()]
        found[place] = {
            "weights": weights.get(place, ()),
            "kinds": shares(kinds) if any(kinds) else {},
            "beside": {
                name: fmean(
                    float(figure([r.output for r in own], [right[r.task, r.target, r.id] for r in own]))
                    for own in seeds
                )
                for name, figure in beside.get(place[0], {}).items()
                if all(seeds)
            },
        } | oracle.get(place, {})
    return found


def _weights(run: Run, protocol: str | None = None) -> dict[Place, tuple[Weight, ...]]:
    found: dict[Place, tuple[Weight, ...]] = {}
    for (place, _), choice in chosen(run, protocol).items():
        found[place] = (*found.get(place, ()), choice.weight)
    return found


def _oracle(run: Run) -> dict[Place, dict[str, Any]]:
    """The oracle's weights and mean score, where the run's own protocol is another one that chose too."""
    by: dict[str, set[Place]] = {}
    for c in run.choices:
        by.setdefault(c.protocol, set()).add((c.task, c.target, c.method, c.source))
    both = by.get("oracle", set()) & by.get(run.about.protocol, set())
    if run.about.protocol == "oracle" or not both:
        return {}
    by_place, weights = scores(run, "oracle"), _weights(run, "oracle")
    means = {place: float(by_place[place].mean()) if place in by_place else None for place in both}
    return {place: {"oracle_weights": weights[place], "oracle_score": means[place]} for place in both}
