"""What a composition does as one self-contained page, with a heat map of every figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby

from ..inspection.measure import Inspection
from .inspected import FLIPPED, grid, signs, steps, warnings
from .page import render
from .words import two


@dataclass(frozen=True)
class Cell:
    """A projection in a heat map: its figure as text, and how strong its shade is, 0 to 1."""

    text: str
    shade: float
    flipped: bool = False


@dataclass(frozen=True)
class Map:
    """A heat map: groups of columns (attention → its projections), and for each layer a cell in every column."""

    title: str
    groups: Sequence[tuple[str, Sequence[str]]]
    rows: Sequence[tuple[int | None, Sequence[Cell | None]]]

    @property
    def starts(self) -> list[int]:
        """The columns with which a group begins, but for the first one."""
        return list(accumulate(len(names) for _, names in self.groups))[:-1]


def page(inspection: Inspection) -> str:
    """The page: no script, nothing loaded from elsewhere, everything escaped, readable in black and white."""
    figures = inspection.figures()
    return render(
        "report/heat_maps.html",
        expression=str(inspection.combination),
        weights=inspection.combination.weights,
        count=len(inspection.paths),
        figures=figures,
        refused=inspection.refused,
        warnings=warnings(inspection),
        signs=list(signs(figures)),
        lost={cut: steps(lost) for cut, lost in figures.lost.items()},
        sections=sections(inspection),
    )


def sections(inspection: Inspection) -> dict[str, list[Map]]:
    """The heat maps: of the exact sum, then of what each other space makes of it."""
    names, places = inspection.combination.names, grid(inspection.paths)
    groups = [(group, [name for _, name in kinds]) for group, kinds in groupby(places, key=lambda kind: kind[0])]
    layers = sorted({layer for paths in places.values() for layer in paths}, key=lambda n: -1 if n is None else n)
    parts = [inspection.figures([path]) for path in inspection.paths]
    largest = max(figures.norm for figures in parts) or 1.0

    def drawn(title: str, values: Sequence[float | None], cell: Callable[[float], Cell]) -> Map:
        """A map of values, one for each projection."""
        shown = (Cell("–", 0) if value is None else cell(value) for value in values)
        by_path: dict[str | None, Cell] = dict(zip(inspection.paths, shown, strict=True))
        return Map(title, groups, [(n, [by_path.get(paths.get(n)) for paths in places.values()]) for n in layers])

    exact = [drawn("Norm |ΔW|", [f.norm for f in parts], lambda v: Cell(f"{v:.2g}", round(v / largest, 2)))]
    if len(names) > 1:
        exact.append(drawn("Magnitude that cancels", [f.cancelled for f in parts], _part))
    for name, known in inspection.figures().drift.items():
        if known:
            drifts = [f.drift[name] for f in parts]
            exact.append(drawn(f"Drift of {name}", [drift.drift if drift else None for drift in drifts], _part))
    maps = {"The vectors and their exact sum": exact}
    for space in inspection.figures().results:
        if space != "delta":
            results = [f.results[space] for f in parts]
            maps[space] = [
                drawn("Cosine to the exact sum", [result.cosine for result in results], _away_from_one),
                drawn("Norm against the exact sum", [result.ratio for result in results], _ratio),
                *(drawn(f"Share of {name}", [r.shares[name] for r in results], _away_from_one) for name in names),
            ]
    return maps


def _part(value: float) -> Cell:
    return Cell(two(value), round(min(1.0, value), 2))


def _away_from_one(value: float) -> Cell:
    """Faint at 1, strongest from 0 down and from 2 up."""
    return Cell(two(value), round(min(1.0, abs(1 - value)), 2), value < FLIPPED)


def _ratio(value: float) -> Cell:
    """Faint at 1, strongest at a quarter and at four times."""
    return Cell(two(value), round(min(1.0, abs(math.log2(max(value, 1e-9))) / 2), 2))
