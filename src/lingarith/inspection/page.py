"""What a composition does as one self-contained page, with a heat map of every figure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import accumulate, groupby

from ..report.words import percent
from .figures import Figures
from .measure import Inspection
from .words import FLIPPED, Grid, grid, signs, steps, two, warnings


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
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"two": two, "percent": percent}
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    figures = inspection.figures()
    return template.render(
        style=_style(),
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


def _style() -> str:
    """The style sheet of all reports."""
    report = files("lingarith.report").joinpath("page.html").read_text(encoding="utf-8")
    style = re.search(r"<style>\n(.*?)</style>", report, re.DOTALL)
    assert style
    return style[1]


def sections(inspection: Inspection) -> dict[str, list[Map]]:
    """The heat maps: of the exact sum, then of what each other space makes of it."""
    places = grid(inspection.paths)
    by_path = {path: inspection.figures([path]) for path in inspection.paths}
    largest = max(figures.norm for figures in by_path.values()) or 1.0

    def drawn(title: str, figure: Callable[[Figures], float | None], cell: Callable[[float], Cell]) -> Map:
        values = {path: figure(figures) for path, figures in by_path.items()}
        return _map(title, places, {path: Cell("–", 0) if v is None else cell(v) for path, v in values.items()})

    def share(space: str, name: str) -> Map:
        return drawn(f"Share of {name}", lambda figures: figures.results[space].shares[name], _away_from_one)

    def drifted(name: str) -> Map:
        return drawn(f"Drift of {name}", lambda figures: drift.drift if (drift := figures.drift[name]) else None, _part)

    def of(space: str) -> list[Map]:
        return [
            drawn("Cosine to the exact sum", lambda figures: figures.results[space].cosine, _away_from_one),
            drawn("Norm against the exact sum", lambda figures: figures.results[space].ratio, _ratio),
            *(share(space, name) for name in inspection.combination.names),
        ]

    exact = [drawn("Norm |ΔW|", lambda figures: figures.norm, lambda v: Cell(f"{v:.2g}", round(v / largest, 2)))]
    if len(inspection.combination.names) > 1:
        exact.append(drawn("Magnitude that cancels", lambda figures: figures.cancelled, _part))
    exact += [drifted(name) for name, drift in inspection.figures().drift.items() if drift]
    return {"The vectors and their exact sum": exact} | {
        space: of(space) for space in inspection.figures().results if space != "delta"
    }


def _part(value: float) -> Cell:
    return Cell(two(value), round(min(1.0, value), 2))


def _away_from_one(value: float) -> Cell:
    """Faint at 1, strongest from 0 down and from 2 up."""
    return Cell(two(value), round(min(1.0, abs(1 - value)), 2), value < FLIPPED)


def _ratio(value: float) -> Cell:
    """Faint at 1, strongest at a quarter and at four times."""
    return Cell(two(value), round(min(1.0, abs(math.log2(max(value, 1e-9))) / 2), 2))


def _map(title: str, places: Grid, cells: Mapping[str, Cell]) -> Map:
    groups = [(group, [name for _, name in members]) for group, members in groupby(places, key=lambda kind: kind[0])]
    layers = sorted({layer for held in places.values() for layer in held}, key=lambda n: -1 if n is None else n)
    rows = [(n, [cells[held[n]] if n in held else None for held in places.values()]) for n in layers]
    return Map(title, groups, rows)
