"""Gain against similarity: whether arithmetic brings more where source and target are alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from ..errors import LingarithError
from ..languages.distances import Uriel
from ..study.records import Run
from .answer import spearman
from .cells import Cell
from .words import AVERAGE

MEASURES = ("syntactic", "geographic")
"""The URIEL distances by which the paper selects languages."""
FEWEST = 5
"""Pairs of source and target: fewer show nothing."""


@dataclass(frozen=True)
class Point:
    """A target, with the source that its task vector comes from: 1 − their distance, and what a method
    gained there over the reference, in points of the score."""

    source: str
    target: str
    method: str
    similarity: float
    gain: float


def points(run: Run, cells: Sequence[Cell], *, fewest: int = FEWEST) -> dict[str, list[Point]]:
    """The points of the methods that a study tries, by measure: of each source, or of several sources that are
    combined the one that is nearest to the target. A measure with less than ``fewest`` pairs is left out."""
    about = run.about
    points: dict[str, list[Point]] = {measure: [] for measure in MEASURES}
    tried = about.tried[:1] if about.by_source else about.tried
    for measure, cell in product(MEASURES, cells):
        sources = [cell.source] if about.by_source else about.sources_of.get(cell.target, about.sources)
        if cell.method in tried and cell.gain is not None and cell.target not in (AVERAGE, *sources):
            distances = {source: _distance(measure, source, cell.target) for source in sources}
            known = [(distance, source) for source, distance in distances.items() if distance is not None]
            if known:
                distance, nearest = min(known)
                points[measure].append(Point(nearest, cell.target, cell.method, 1 - distance, cell.gain))
    return {
        measure: several
        for measure, several in points.items()
        if len({(p.source, p.target) for p in several}) >= fewest
    }


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
    found = spearman([p.similarity for p in points], [p.gain for p in points])
    return None if math.isnan(found) else found
