"""What a run found: findings, tables and every number, whether `adapt` made it or a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from ..study.records import Grid, Run
from .comparison import Cell, cells, judged, kinds, scores
from .pairs import Pair, pairs, pairs_verdict
from .selection import metric, of_task, protocol
from .study_table import grids, listed, pairs_grid
from .table import CAPTION, ORACLE_CAPTION, Row, as_grid, has_oracle, rows
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
class Results:
    """What one run found. ``grids`` are its tables as they are printed, ``lines`` the same with all that is
    known of each number; ``rows``, ``cells`` or ``pairs`` hold the numbers, by the kind of the run."""

    run: Run
    findings: Sequence[Finding]
    grids: Sequence[Grid]
    lines: Sequence[Lines] = ()
    rows: Sequence[Row] = ()
    cells: Sequence[Cell] = ()
    pairs: Sequence[Pair] = ()

    @property
    def title(self) -> str:
        return str(self.run.about.get("title", "Language and task arithmetic"))

    @property
    def said(self) -> str:
        """The verdict, a line for each finding."""
        return "\n".join(finding.text for finding in self.findings)

    @property
    def by_method(self) -> bool:
        """Whether the tables have a column for each method, as a study's do; or are none of methods."""
        return "tasks" in self.run.about or "grid" in self.run.about


def results(run: Run) -> Results:
    """What a run found, from its records."""
    about = run.about
    if "grid" in about:
        return Results(run, [], [listed(run)])
    if "tasks" not in about:
        of = rows(run)
        tables = [as_grid(of, str(about.get("title", "")))] if of else []
        return Results(run, findings(run, of), tables, [_of_rows(of)] if of else [], rows=of)
    if about["by_source"]:
        found = pairs(run)
        said = [Finding("", OPEN, sentence) for sentence in pairs_verdict(run, found).splitlines()]
        return Results(run, said, [pairs_grid(run, found)] if found else [], pairs=found)
    compared = cells(run)
    lines = [_of_cells(run, task, [cell for cell in compared if cell.task == task]) for task in about["tasks"]]
    return Results(run, judged(run, compared), list(grids(run, compared)), lines, cells=compared)


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
