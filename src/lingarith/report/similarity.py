"""Gain against similarity: whether arithmetic brings more where source and target are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import LingarithError
from ..languages.distances import Uriel
from ..study.records import Run
from .comparison import Cell
from .pairs import Pair
from .table import AVERAGE

MEASURES = ("syntactic", "geographic")
"""The URIEL distances by which the paper selects languages."""


@dataclass(frozen=True)
class Point:
    """A target, with the source that its task vector comes from: 1 − their distance, and what a method
    gained there over the reference, in points of the score."""

    source: str
    target: str
    method: str
    similarity: float
    gain: float


def of_pairs(run: Run, of: Sequence[Pair]) -> dict[str, list[Point]]:
    """Points of a run with rows by source, by measure."""
    gains = [((pair.source,), pair.target, run.about["tried"][0], pair.composed - pair.alone) for pair in of]
    return _points(gains)


def of_cells(run: Run, of: Sequence[Cell]) -> dict[str, list[Point]]:
    """Points of the methods that a study tries; with several sources, the nearest to the target counts."""
    sources = tuple(run.about["sources"])
    tried = [c for c in of if c.method in run.about["tried"] and c.target != AVERAGE and c.target not in sources]
    return _points([(sources, c.target, c.method, c.gain) for c in tried if c.gain is not None])


def _points(gains: Sequence[tuple[tuple[str, ...], str, str, float]]) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {measure: [] for measure in MEASURES}
    for measure, points in found.items():
        for sources, target, method, gain in gains:
            near = min(((d, s) for s in sources if (d := _distance(measure, s, target)) is not None), default=None)
            if near:
                points.append(Point(near[1], target, method, 1 - near[0], gain))
    return {measure: points for measure, points in found.items() if len(points) > 1}


def _distance(measure: str, source: str, target: str) -> float | None:
    """None also for what neither the package nor an installed lang2vec knows."""
    try:
        return Uriel(measure).between(source, target)
    except LingarithError:
        return None


def rank_correlation(points: Sequence[Point]) -> float | None:
    """Spearman's ρ of similarity and gain; None where one of the two is the same everywhere.

    >>> at = [Point("en", "pt", "add", x, y) for x, y in ((0.1, 1.0), (0.2, 5.0), (0.9, 6.0))]
    >>> round(rank_correlation(at), 6), rank_correlation(at[:1])
    (1.0, None)
    """
    x, y = (_ranks([getattr(point, key) for point in points]) for key in ("similarity", "gain"))
    if not len(points) or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Ranks from 0, equal values sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def by_method(points: Sequence[Point]) -> Mapping[str, list[Point]]:
    """The points of each method."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.method, []).append(point)
    return found
