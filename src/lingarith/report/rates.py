"""Outputs in the right language against the learning rate of the task vector, over runs that differ in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import product

from .cells import Cell
from .findings import Findings
from .words import AVERAGE

FREE = ("learning_rate", "learning_rates", "controls", "name", "seeds")
"""Keys of a study in which runs may differ that stand in one figure."""
Shares = Mapping[str, Mapping[str, Mapping[float, float]]]
"""Percent of outputs in the right language: by target, method and learning rate."""


def right_shares(results: Sequence[Findings]) -> list[Shares]:
    """The shares of the methods that all of them have, for each set of runs with several learning rates.

    A set has one study but for its rates and controls, on one backbone and data; of two runs at one rate the one with
    more seeds counts, or else with more results (then by its identity: whichever is named first). Tasks that write
    labels have no such shares.
    """
    groups: dict[str, dict[float, tuple[int, int, str, Sequence[Cell]]]] = {}
    for one in results:
        about = one.run.about
        study = {key: value for key, value in about.study.items() if key not in FREE}
        rate, written = about.study.get("learning_rate"), [cell for cell in one.cells if cell.kinds]
        if isinstance(rate, int | float) and written and not about.by_source:
            same = json.dumps([about.table, study, about.backbone, about.data], sort_keys=True, default=str)
            group, ours = groups.setdefault(same, {}), (len(about.seeds), len(written), about.identity, written)
            group[float(rate)] = max(group.get(float(rate), ours), ours, key=lambda one: one[:3])
    found = [{rate: group[rate][-1] for rate in sorted(group)} for group in groups.values()]
    return [_shares(group) for group in found if len(group) > 1]


def _shares(group: Mapping[float, Sequence[Cell]]) -> Shares:
    first = next(iter(group.values()))
    tasks = {cell.task for cell in first}
    by_rate = {
        rate: {(c.task, c.target, c.method): 100 * c.kinds["target"] for c in cells} for rate, cells in group.items()
    }
    shares: dict[str, dict[str, dict[float, float]]] = {}
    for cell, (rate, values) in product(first, by_rate.items()):
        place = (cell.task, cell.target, cell.method)
        if cell.target != AVERAGE and all(place in others for others in by_rate.values()):
            name = f"{cell.target}, {cell.task}" if len(tasks) > 1 else cell.target
            shares.setdefault(name, {}).setdefault(cell.method, {})[rate] = values[place]
    return shares
