"""Gains against what they may come from: likeness of source and target, dose, and what the baseline gets wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from statistics import fmean

from ..errors import LingarithError
from ..languages.distances import Uriel
from ..study.records import Run, dose
from .answer import spearman
from .cells import Cell
from .words import AVERAGE

MEASURES = ("syntactic", "geographic")
"""The URIEL distances by which the paper selects languages."""
DOSE, WRONG = "dose in the target, bits per byte", "baseline in a wrong language, %"
FEWEST = 5
"""Pairs of source and target: fewer show nothing of likeness, and have no correlation."""
FEW = 2
"""The same of doses and of wrong languages, which differ by more."""


@dataclass(frozen=True)
class Point:
    """A target, with the source that its task vector comes from: where it stands, and what a method gained there
    over the reference, in points of the score."""

    source: str
    target: str
    method: str
    x: float
    gain: float


def points(run: Run, cells: Sequence[Cell], *, fewest: int = FEWEST) -> dict[str, list[Point]]:
    """The points of the methods that a study tries, by what they stand against, as an axis has it.

    Similarity is 1 − URIEL's distance: of each source, or of several that are combined the one that is nearest to the
    target; with less than ``fewest`` pairs it is left out. The dose is how many bits per byte the target's language
    vector saved, the mean over seeds; a wrong language is one that is not the target's, empty and copied outputs
    apart. What is the same everywhere is left out.
    """
    about, doses, wrong = run.about, _doses(run), _wrong(run, cells)

    def likeness(measure: str, cell: Cell) -> tuple[float | None, str]:
        distances = {source: _distance(measure, source, cell.target) for source in _sources(run, cell)}
        known = [(distance, source) for source, distance in distances.items() if distance is not None]
        return (1 - min(known)[0], min(known)[1]) if known else (None, "")

    against: dict[str, Callable[[Cell], tuple[float | None, str]]] = {
        **{f"{measure} similarity": partial(likeness, measure) for measure in MEASURES},
        DOSE: lambda cell: (doses.get(cell.target), _sources(run, cell)[0]),
        WRONG: lambda cell: (wrong.get((cell.target, cell.source)), _sources(run, cell)[0]),
    }
    tried = about.tried[:1] if about.by_source else about.tried
    found: dict[str, list[Point]] = {label: [] for label in against}
    for (label, where), cell in product(against.items(), cells):
        if cell.method in tried and cell.gain is not None and cell.target not in (AVERAGE, *_sources(run, cell)):
            x, source = where(cell)
            if x is not None:
                found[label].append(Point(source, cell.target, cell.method, x, cell.gain))
    least = {label: FEW if label in (DOSE, WRONG) else fewest for label in found}
    return {
        label: some
        for label, some in found.items()
        if pairs(some) >= least[label] and len({point.x for point in some}) > 1
    }


def _sources(run: Run, cell: Cell) -> Sequence[str]:
    return [cell.source] if run.about.by_source else run.about.sources_of.get(cell.target, run.about.sources)


def pairs(points: Sequence[Point]) -> int:
    """How many pairs of source and target these are."""
    return len({(point.source, point.target) for point in points})


def _doses(run: Run) -> dict[str, float]:
    """Bits per byte that the language vectors of a language saved, the mean over seeds, by language."""
    saved: dict[str, list[float]] = {}
    for origin in (i.origin for i in run.ingredients if i.origin.get("kind") == "language"):
        if pair := dose(origin):
            saved.setdefault(str(origin.get("language")), []).append(pair[0] - pair[1])
    return {language: fmean(values) for language, values in saved.items()}


def _wrong(run: Run, cells: Sequence[Cell]) -> dict[tuple[str, str], float]:
    """Percent of the reference's outputs in another language than the target's, by target and source."""
    base = [cell for cell in cells if cell.method == run.about.reference and cell.kinds]
    return {(c.target, c.source): 100 * (c.kinds.get("source", 0.0) + c.kinds.get("other", 0.0)) for c in base}


def _distance(measure: str, source: str, target: str) -> float | None:
    """None also for what neither the package nor an installed lang2vec knows."""
    try:
        return Uriel(measure).between(source, target)
    except LingarithError:
        return None


def rank_correlation(points: Sequence[Point]) -> float | None:
    """Spearman's ρ of place and gain; None where one of the two is the same everywhere.

    >>> at = [Point("en", "pt", "add", x, y) for x, y in ((0.1, 1.0), (0.2, 5.0), (0.9, 6.0))]
    >>> round(rank_correlation(at), 6), rank_correlation(at[:1])
    (1.0, None)
    """
    found = spearman([point.x for point in points], [point.gain for point in points])
    return None if math.isnan(found) else found
