"""What ``inspect`` says of the compositions whose weight a study tries, beside what each of them loses.

Nothing of the former needs an output, so what foretells a loss can be known before anything is generated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import fmean, stdev

from ..algebra import Combination
from ..inspection.measure import inspect
from .grams import vectors_of
from .lab import Lab
from .outputs import UNCHANGED, Stored, Wanted, space_of
from .place import Method, Place
from .weights import neutral

GAIN, ERROR = "gain", "error"
"""Score over the task vector alone on the same validation examples, and the standard error of that."""


def measured(lab: Lab, rows: Iterable[tuple[Place, Method]]) -> dict[str, dict[str, float]]:
    """Figure → "task/target/method/source/seed/weight" → its value; outputs come from the store, or are made."""
    figures: dict[str, dict[str, float]] = {}
    for at, values in _points(lab, rows):
        for name, value in values.items():
            figures.setdefault(name, {})[at] = round(value, 5)
    return figures


def _points(lab: Lab, rows: Iterable[tuple[Place, Method]]) -> Iterator[tuple[str, dict[str, float]]]:
    for place, method in rows:
        alone, weights = neutral(method.name), [weight for weight in method.tried if isinstance(weight, float)]
        if alone not in weights or len(weights) < 2 or not lab.has_labels(place.task, place.target, "validation"):
            continue
        task = method.asks or place.task
        data = lab.labels(task, place.target, "validation")
        wanted = Wanted(task, data, [method.tried[weight] for weight in weights], sums=method.sums)
        scores = [[outcome.score for outcome in outcomes] for outcomes in Stored(lab).written(wanted)]
        base = scores[weights.index(alone)]
        for weight, ours in zip(weights, scores, strict=True):
            lab.progress(f"inspecting {method.name} in {place.target}", weights.index(weight), len(weights))
            values = figures_of(lab, method, method.tried[weight]) if weight != alone else {}
            if values:
                gains = [one - other for one, other in zip(ours, base, strict=True)]
                error = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
                at = f"{place.task}/{place.target}/{method.name}/{method.source}/{place.seed}/{weight:g}"
                yield at, values | {GAIN: fmean(gains), ERROR: error}


def figures_of(lab: Lab, method: Method, composition: Combination) -> dict[str, float]:
    """The figures of a composition that are there; none where it holds no task vector, or its space refuses it."""
    space = space_of(lab, method.sums or UNCHANGED)
    vectors = vectors_of(lab, [composition], space)
    tasks = [vectors[name].origin.get("kind") == "task" for name in composition.names]
    share = sum(weight for is_task, weight in zip(tasks, composition.weights.values(), strict=True) if is_task)
    if not any(tasks) or share <= 0:
        return {}
    inspection = inspect(composition, vectors, [space])
    if str(space) not in inspection.sums.results:
        return {}
    figures = inspection.figures()
    [result] = figures.results.values()
    sums, inner = inspection.sums.results[str(space)].sum(0).tolist(), inspection.parts()
    task, language, size = inner[True, True] / share**2, inner[False, False], sums[-1]
    onto = sum(sums[k] for k, is_task in enumerate(tasks) if is_task) / share  # ⟨result, task vector alone⟩
    cosines = [c for name, row in figures.cosines.items() for other, c in row.items() if name < other and c is not None]
    drifts = [d.drift for (_, d), is_task in zip(figures.drift.items(), tasks, strict=True) if d and not is_task]
    values = {
        "kept": onto / task, "norm": math.sqrt(size / task),
        "away": math.sqrt(max(0.0, size - 2 * onto + task) / task),
        "beside": math.sqrt(language / inner[True, True]),
        "cosine": inner[True, False] / math.sqrt(language * inner[True, True]) if language > 0 else None,
        "opposed": min(cosines, default=None), "conflicts": figures.conflicts, "cancelled": figures.cancelled,
        "exact": result.cosine, "residual": result.residual, "drift": max(drifts, default=None),
    }  # fmt: skip
    return {name: value for name, value in values.items() if value is not None}
