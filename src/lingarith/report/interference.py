"""What foretells that a sum loses: figures of ``inspect``, known before anything is generated, against scores.

A composition *loses* where it scores two standard errors less than the task vector alone on the same validation
examples. The area under the curve (AUC) is the chance that of two compositions the one that loses has the higher
figure: 0.5 knows nothing, and below it the lower figure foretells loss. *Within* compares only compositions of one
task and weight, since whoever chooses λ knows λ. Limits are chosen on all targets but one and tried on that one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING, Any

from ..study.records import Grid, Run
from .answer import Answer
from .figures import ALONE_LINE, COLOURS, blank
from .words import percent, two

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURES = {
    "kept": "of the task vector in the result (1: all of it)",
    "norm": "norm of the result over the task vector's",
    "away": "norm of result − task vector over the task vector's",
    "beside": "norm of the language part over the task part's",
    "cosine": "of language part and task part",
    "opposed": "lowest cosine between two vectors",
    "conflicts": "share of entries with both signs",
    "cancelled": "share of the magnitude that cancels",
    "exact": "cosine of the result and the exact sum",
    "residual": "part of the result that no vector explains",
    "drift": "largest of a language vector from its start",
    "weight": "λ or β, for comparison",
}
ERRORS = 2.0
"""So many standard errors below the task vector alone are a loss."""
Point = dict[str, Any]
"""A composition: its figures, ``task``, ``target`` and ``weight``, and whether it ``loses``."""


def interference(run: Run) -> Answer | None:
    """Which figures foretell a loss, over the compositions of a run; None where all of them lose, or none."""
    known = [losing(point) for point in points_of(run.about.measured)]
    lost = sum(point["loses"] for point in known)
    if not 0 < lost < len(known):
        return None
    metric = " and ".join(dict.fromkeys(run.about.tasks.values()))
    caption = (
        f"{len(known)} compositions whose weight was tried, of which {lost} lose: {ERRORS:g} standard errors less "
        f"{metric} than the task vector alone on the same validation examples. AUC: the chance that of two the losing "
        "one has the higher figure; within: of one task and weight. Found and false: of those that lose, and of the "
        "others, the share beyond the limit, in targets on which it was not chosen."
    )
    heads = ["Figure", "AUC", "Within", "Limit", "Found", "False", "What it is"]
    text = "How well each figure of inspect foretells a loss; 0.5 knows nothing."
    return Answer(
        [Grid("What foretells a loss", heads, table(known, "target"), caption)],
        {"interference": lambda: drawing(known)}, {"interference": text},
    )  # fmt: skip


def points_of(measured: Mapping[str, Mapping[str, float]]) -> list[Point]:
    """The compositions that a study has measured, of which its keys say what they are."""
    points: dict[str, Point] = {}
    for name, values in measured.items():
        for at, value in values.items():
            if at not in points:
                task, target, method, source, seed, weight = at.split("/")
                points[at] = {"task": task, "target": target, "method": method, "source": source}
                points[at] |= {"seed": int(seed), "weight": float(weight)}
            points[at][name] = value
    return list(points.values())


def losing(point: Point, errors: float = ERRORS) -> Point:
    """The point, and whether it loses."""
    return point | {"loses": point["gain"] < -max(1e-9, errors * point["error"])}


def auc(points: Sequence[Point], name: str, within: bool = False) -> float | None:
    """The area under the curve of a figure; None where there are no pairs."""
    groups: dict[Any, list[Point]] = defaultdict(list)
    for point in points:
        if point.get(name) is not None:
            groups[(point.get("run"), point["task"], point["weight"]) if within else None].append(point)
    above, pairs = 0.0, 0
    for group in groups.values():
        lost, other = ([p[name] for p in group if p["loses"] == loses] for loses in (True, False))
        above += sum((a > b) + 0.5 * (a == b) for a, b in product(lost, other))
        pairs += len(lost) * len(other)
    return above / pairs if pairs else None


def threshold(points: Sequence[Point], name: str) -> tuple[float, int]:
    """The limit that tells losing ones best (share of these found + share of others left, halved), and the side:
    1 where what is above loses."""
    values = sorted({p[name] for p in points if p.get(name) is not None})
    sides = [(value, side) for value in values for side in (1, -1)]
    return max(sides, key=lambda at: sum(balance(points, name, *at)), default=(math.nan, 1))


def balance(points: Sequence[Point], name: str, limit: float, side: int) -> tuple[float, float]:
    """Of those that lose the share beyond the limit, and of the others the share on this side of it."""
    shares = []
    for loses in (True, False):
        some = [p[name] for p in points if p["loses"] == loses and p.get(name) is not None]
        shares.append(sum((side * value >= side * limit) == loses for value in some) / len(some) if some else math.nan)
    return shares[0], shares[1]


def table(points: Sequence[Point], by: str) -> list[list[str]]:
    """A row for each figure: AUC, AUC within, its limit, and what that finds where it was not chosen, ``by`` by ``by``
    (``target`` or ``run``)."""
    rows = []
    for name, about in FIGURES.items():
        limit, side = threshold(points, name)
        outside = []
        for one in dict.fromkeys(p[by] for p in points):
            there, rest = ([p for p in points if (p[by] == one) == here] for here in (True, False))
            if len({p["loses"] for p in there}) == 2 and len({p["loses"] for p in rest}) == 2:
                outside.append(balance(there, name, *threshold(rest, name)))
        found, left = (fmean(column) for column in zip(*outside, strict=True)) if outside else (math.nan, math.nan)
        shares = [percent(found), percent(1 - left)] if outside else ["", ""]
        cells = [two(auc(points, name)), two(auc(points, name, within=True)), f"{'≥' if side > 0 else '≤'} {limit:.2f}"]
        rows.append([name, *cells, *shares, about])
    return rows


def drawing(points: Sequence[Point]) -> Figure:
    """The area under the curve of each figure, over all compositions and within equal weights."""
    figure = blank(5.2, 0.8 + 0.24 * len(FIGURES))
    axis = figure.subplots()
    axis.axvline(0.5, **ALONE_LINE)
    for mark, colour, within, label in (
        ("o", "add", False, "all compositions"), ("D", "add-subtract", True, "of one task and weight"),
    ):  # fmt: skip
        areas = [auc(points, name, within) for name in FIGURES]
        axis.plot(
            [math.nan if area is None else area for area in areas],
            range(len(areas)),
            mark,
            color=COLOURS[colour],
            markersize=5,
            label=label,
        )
    axis.set_yticks(range(len(FIGURES)), [f"{name}: {about}" for name, about in FIGURES.items()], fontsize=7)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.grid(axis="x")
    axis.set_xlabel("AUC")
    axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.2, -0.12), ncols=2)
    return figure
