"""What the page shows of one run, whether `adapt` made it or a study: plain values for the template."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from ..study.records import Grid, Run
from . import figures, similarity
from .comparison import Cell, cells, judged, kinds, scores
from .examples import Shown, examples
from .pairs import Pair, pairs, pairs_verdict
from .selection import first, metric, of_task, protocol, targets
from .study_table import grids, listed, pairs_grid
from .table import CAPTION, ORACLE_CAPTION, Row, has_oracle, rows
from .verdict import OPEN, Finding, findings
from .wording import short, weight_text


@dataclass(frozen=True)
class Line:
    """A method on a target, with all that is known of it."""

    of: Row | Cell
    name: str
    weight: str
    mark: str
    right: float | None
    oracle: str


@dataclass(frozen=True)
class Lines:
    """A table of lines, by target."""

    metric: str
    caption: str
    groups: Mapping[str, Sequence[Line]]

    @property
    def with_oracle(self) -> bool:
        return any(line.oracle for members in self.groups.values() for line in members)


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
    """One run: what it found, its tables, and its charts task by task."""

    run: Run
    title: str
    findings: Sequence[Finding]
    grids: Sequence[Grid] = ()
    lines: Sequence[Lines] = ()
    heat: HeatMap | None = None
    charts: Sequence[Charts] = ()

    @property
    def curved(self) -> bool:
        return any(chart.curves for chart in self.charts)


def chapter(run: Run, prefix: str = "") -> Chapter:
    """All about a run; ``prefix`` makes the identifiers in its charts unique on a page."""
    title = str(run.about.get("title", "Language and task arithmetic"))
    if "grid" in run.about:
        return Chapter(run, title, [], [listed(run)])
    if "tasks" in run.about:
        return _study(run, title, prefix)
    of = rows(run)
    charts = Charts(
        "",
        figures.curves(run, prefix=prefix),
        figures.curves(run, "oracle", prefix) if protocol(run) != "oracle" else {},
        figures.kinds(figures.kinds_of(of), prefix),
        examples={target: shown for target in targets(run) if (shown := examples(run, target))},
    )
    return Chapter(run, title, findings(run, of), lines=[_of_rows(of)] if of else [], charts=[charts])


def _study(run: Run, title: str, prefix: str) -> Chapter:
    if run.about["by_source"]:
        found = pairs(run)
        said = [Finding("", OPEN, sentence) for sentence in pairs_verdict(run, found).splitlines()]
        (task,) = run.about["tasks"]
        charts = [_charts(run, task, similarity.of_pairs(run, found), prefix)]
        return Chapter(
            run, title, said, [pairs_grid(run, found)] if found else [], heat=_heat(run, found), charts=charts
        )
    of = cells(run)
    tasks = list(run.about["tasks"])
    lines = [_of_cells(run, task, [cell for cell in of if cell.task == task]) for task in tasks]
    charts = [
        _charts(run, task, similarity.of_cells(run, [cell for cell in of if cell.task == task]), f"{prefix}{task}-")
        for task in tasks
    ]
    return Chapter(run, title, judged(run, of), list(grids(run, of)), lines, charts=charts)


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


def _of_rows(of: Sequence[Row]) -> Lines:
    found: dict[str, list[Line]] = {}
    for r in of:
        weight = "" if r.oracle_weight is None else weight_text(r.equation, r.oracle_weight)
        score = "" if r.oracle_score is None else f"{r.oracle_score:.1f}"
        beside = ": ".join(filter(None, [weight, score]))
        line = Line(
            r, short(r.equation), weight_text(r.equation, r.weight), "*" * r.significant, r.kinds["target"], beside
        )
        found.setdefault(r.target, []).append(line)
    return Lines("ROUGE-2", CAPTION.removeprefix("R-2: ") + (ORACLE_CAPTION if has_oracle(of) else ""), found)


def _of_cells(run: Run, task: str, of: Sequence[Cell]) -> Lines:
    own = of_task(run, task)
    right, oracle = kinds(run, task), _by_oracle(own) if protocol(run) != "oracle" else {}
    found: dict[str, list[Line]] = {}
    for c in of:
        shares = right.get(c.target, {}).get(c.method)
        name, beside = short(run.about["methods"][c.method]), oracle.get((c.target, c.method), "")
        line = Line(c, name, _weights(run, c), c.mark, shares["target"] if shares else None, beside)
        found.setdefault(c.target, []).append(line)
    seeds = len(run.about["seeds"])
    drawn = "on the test split, with 95 % bootstrap interval"
    if seeds > 1:
        drawn = f"the mean of {seeds} seeds, with 95 % bootstrap interval over seeds and examples"
    reference = short(run.about["methods"][run.about["reference"]])
    marks = "* better, † worse, p < 0.05 after Holm."
    caption = f"{metric(own)}: {drawn}. Gain: over {reference} on the same examples; {marks}"
    return Lines(metric(own), caption + (ORACLE_CAPTION if any(oracle.values()) else ""), found)


def _weights(run: Run, cell: Cell) -> str:
    """The chosen weights of a cell: λ, β, a learning rate or a source."""
    given = list(dict.fromkeys(cell.weights))
    if cell.method.startswith("best"):
        return ", ".join(run.about["sources"][int(weight)] for weight in given)
    if cell.method == "rates":
        return ", ".join(f"{weight:g}" for weight in given)
    return ", ".join(weight_text(cell.method, weight) for weight in given)


def _by_oracle(run: Run) -> dict[tuple[str, str], str]:
    """The oracle's weights and mean score, by target and method."""
    by = {(c.target, c.equation) for c in run.choices if c.protocol == "oracle"}
    own = {(c.target, c.equation) for c in run.choices if c.protocol == protocol(run)}
    found = {}
    for (_, target, method, _), got in scores(replace(run, about=run.about | {"protocol": "oracle"})).items():
        if (target, method) in by & own:
            weights = dict.fromkeys(
                c.weight for c in run.choices if (c.target, c.equation, c.protocol) == (target, method, "oracle")
            )
            said = ", ".join(weight_text(method, weight) for weight in weights)
            found[target, method] = f"{said}: {fmean(float(row.mean()) for row in got):.1f}"
    return found


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
