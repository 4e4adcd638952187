"""What the page shows of one run beside its results: charts, examples, costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..study.records import Run
from . import figures, similarity
from .comparison import kinds
from .examples import Shown, examples
from .pairs import Pair
from .results import Results
from .selection import first, of_task, protocol, targets


@dataclass(frozen=True)
class Charts:
    """The charts of one task: λ curves, kinds of output, and gain against similarity, as SVG by target or measure."""

    title: str
    curves: Mapping[str, str] = field(default_factory=dict)
    oracle: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    similarity: Mapping[str, str] = field(default_factory=dict)
    correlation: str = ""
    examples: Mapping[str, Sequence[Shown]] = field(default_factory=dict)


@dataclass(frozen=True)
class HeatMap:
    """Every source with every target."""

    targets: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Pair | None]]]
    largest: float

    def shade(self, pair: Pair) -> float:
        """How strong the colour is, 0 to 1."""
        return round(abs(pair.change or 0) / self.largest, 2)


@dataclass(frozen=True)
class Chapter:
    """One run: its results, and its charts task by task."""

    results: Results
    heat: HeatMap | None
    charts: Sequence[Charts]

    @property
    def run(self) -> Run:
        return self.results.run

    @property
    def curved(self) -> bool:
        """Whether there is any curve."""
        return any(chart.curves for chart in self.charts)


def chapter(of: Results, prefix: str = "") -> Chapter:
    """All about a run; ``prefix`` makes the identifiers in its charts unique on a page."""
    run = of.run
    if "grid" in run.about:
        return Chapter(of, None, [])
    if "tasks" not in run.about:
        return Chapter(of, None, [_adapted(of, prefix)])
    charts = []
    for task in run.about["tasks"]:
        own = [cell for cell in of.cells if cell.task == task]
        points = similarity.of_pairs(run, of.pairs) if of.pairs else similarity.of_cells(run, own)
        charts.append(_charts(run, task, points, f"{prefix}{task}-"))
    return Chapter(of, _heat(run, of.pairs), charts)


def _adapted(of: Results, prefix: str) -> Charts:
    run = of.run
    return Charts(
        "",
        figures.curves(run, prefix=prefix),
        figures.curves(run, "oracle", prefix) if protocol(run) != "oracle" else {},
        figures.kinds(figures.kinds_of(of.rows), prefix),
        examples={target: shown for target in targets(run) if (shown := examples(run, target))},
    )


def _charts(run: Run, task: str, points: Mapping[str, Sequence[similarity.Point]], prefix: str) -> Charts:
    own = of_task(run, task)
    one = first(own)
    said = [
        f"{measure}: ρ = {found:.2f} over {len(at)} points".replace("-", "−")
        for measure, at in points.items()
        if (found := similarity.rank_correlation(at)) is not None
    ]
    return Charts(
        task if len(run.about["tasks"]) > 1 else "",
        figures.curves(own, prefix=prefix),
        figures.curves(own, "oracle", prefix) if protocol(run) != "oracle" else {},
        figures.kinds(kinds(own, task), prefix),
        figures.scatters(points, prefix),
        f"Spearman's rank correlation: {'; '.join(said)}." if said else "",
        {target: shown for target in targets(own) if (shown := examples(one, target))},
    )


def _heat(run: Run, of: Sequence[Pair]) -> HeatMap | None:
    by_place = {(pair.source, pair.target): pair for pair in of}
    across = run.about["targets"]
    largest = max((abs(pair.change or 0) for pair in of), default=0) or 1
    lines = [(source, [by_place.get((source, target)) for target in across]) for source in run.about["sources"]]
    return HeatMap(across, lines, largest) if of else None


def vectors(run: Run) -> list[dict[str, Any]]:
    """Cost and origin of each vector, a line for each."""
    found = []
    for i in run.ingredients:
        data, options = i.origin.get("data", {}), i.origin.get("options", {})
        rate = options.get("learning_rate")
        found.append(
            {
                "name": i.name, "steps": i.steps, "examples": i.examples, "tokens": i.tokens, "seconds": i.seconds,
                "hash": i.hash[:16], "seed": i.origin.get("seed", ""), "rate": "" if rate is None else f"{rate:g}",
                "data": str(data.get("fingerprint", ""))[:16] if isinstance(data, Mapping) else "", "origin": i.origin,
            }
        )  # fmt: skip
    return found
