"""One self-contained page about runs: no script, nothing loaded from elsewhere, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..languages.codes import language_name
from ..study.records import Choice, Grid, Run
from . import figures, similarity
from .cells import Cell, kinds
from .examples import Shown, direction, examples
from .findings import Findings
from .runs import targets_of
from .tables import by_target, caption, few, has_oracle, oracle_text, tables_of
from .words import (
    KIND_LABELS,
    NO_TEST,
    PROTOCOLS,
    grouped,
    name_of,
    number,
    p_text,
    percent,
    plain,
    signed,
    weights_text,
)


@dataclass(frozen=True)
class Section:
    """One task of a run: its tables and cells, and its charts as SVG by target or measure."""

    task: str
    metric: str
    title: str
    """Nothing where the run has no other task."""
    grids: Sequence[Grid]
    cells: Sequence[Cell]
    caption: str
    curves: Mapping[str, str]
    oracle: Mapping[str, str]
    kinds: Mapping[str, str]
    similarity: Mapping[str, str]
    correlation: str
    examples: Mapping[str, Sequence[Shown]]


@dataclass(frozen=True)
class Chapter:
    """One run: what it found, task by task."""

    results: Findings
    sections: Sequence[Section]
    legends: Mapping[str, str]


def page(*results: Findings) -> str:
    """The whole report as one HTML document; what a run lacks is left out or said in a sentence."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "signed": signed, "percent": percent, "plain": plain, "grouped": grouped}
    environment.filters |= {"language": language_name, "direction": direction}
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    chapters = [chapter(of, f"r{place}-") for place, of in enumerate(results, 1)]
    functions = (by_target, facts, few, fingerprints, has_oracle, name_of, oracle_text, p_text, picks, shade, vectors)
    return template.render(
        {function.__name__: function for function in functions},
        title=results[0].title if len(results) == 1 else f"{len(results)} runs of language and task arithmetic",
        chapters=chapters,
        no_test=NO_TEST,
        kinds=KIND_LABELS,
        protocols=PROTOCOLS,
        weights=lambda cell: weights_text(cell.method, cell.weights),
        as_json=lambda value: json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str),
    )


def chapter(of: Findings, prefix: str = "") -> Chapter:
    """All about a run; ``prefix`` makes the identifiers in its charts unique on a page."""
    run = of.run
    sections = [
        section(run, task, [cell for cell in of.cells if cell.task == task], f"{prefix}{place}-")
        for place, task in enumerate(run.about.tasks)
    ]
    several = run.about.by_source or len(run.about.seeds) > 1
    return Chapter(of, sections, figures.legends(figures.drawn(run), several=several, prefix=prefix))


def section(run: Run, task: str, cells: Sequence[Cell], prefix: str = "") -> Section:
    """All about one task of a run, from its cells."""
    points = similarity.points(run, cells)
    said = [
        f"{measure}: ρ = {found:.2f} over {len(at)} points".replace("-", "−")
        for measure, at in points.items()
        if (found := similarity.rank_correlation(at)) is not None
    ]
    grids = tables_of(run, task, cells)
    return Section(
        task=task,
        metric=run.about.tasks[task],
        title=task if len(run.about.tasks) > 1 else "",
        grids=grids[1:] if few(cells) or run.about.by_source else grids,
        cells=cells,
        caption=caption(run, task, cells),
        curves=figures.curves(run, task, prefix=prefix),
        oracle=figures.curves(run, task, "oracle", prefix) if run.about.protocol != "oracle" else {},
        kinds=figures.kinds(kinds(cells), prefix),
        similarity=figures.scatters(points, prefix),
        correlation=f"Spearman's rank correlation: {'; '.join(said)}." if said else "",
        examples={t: shown for t in targets_of(run, task) if (shown := examples(run, t, task=task))},
    )


def shade(cell: Cell, cells: Sequence[Cell]) -> float:
    """How strong the colour of a cell is in the heat map of these, 0 to 1."""
    return round(abs(cell.change or 0) / (max(abs(one.change or 0) for one in cells) or 1), 2)


# ---------------------------------------------------------------- how it was made


def facts(run: Run) -> dict[str, str]:
    """How the run was made, in the order in which a reader asks."""
    about = run.about
    told: dict[str, object] = {
        "Tasks": [f"{task} ({metric})" for task, metric in about.tasks.items()],
        "Methods": list(about.methods.values()),
        "Labels": about.study.get("labels"),
        "Plain text": about.study.get("text"),
        "Source languages": about.sources,
        "Target languages": about.targets,
        "Prompt": about.study.get("prompt"),
        "Backbone": about.backbone,
        "Adapter": about.adapter,
        "Space of the arithmetic": about.space,
        "Seeds": about.seeds,
        "Made with": about.made,
    }
    return {label: text for label, value in told.items() if (text := plain(value))}


def picks(run: Run) -> list[dict[str, Any]]:
    """What every protocol chose, a line per target and method (and task, source and seed where there are
    several), the run's own protocol first and the oracle beside it; then what has no weight."""
    named = [run.about.protocol, "oracle", *run.about.protocols, *(c.protocol for c in run.choices)]
    order = [name for name in dict.fromkeys(named) if any(c.protocol == name for c in run.choices)]
    found: dict[tuple[object, ...], dict[str, Choice]] = {}
    for c in run.choices:
        found.setdefault((c.task, c.target, c.source, c.seed, c.method), {})[c.protocol] = c
    lines: list[dict[str, Any]] = []
    for by in found.values():
        c = by.get(run.about.protocol) or next(iter(by.values()))
        name = ", ".join([name_of(c.method).short, *_where(run, c.task, c.source, c.seed)])
        said = {protocol: weights_text(pick.method, [pick.weight]) for protocol, pick in by.items()}
        picked = {protocol: by.get(protocol) for protocol in order}
        lines.append({"target": c.target, "name": name, "by": picked, "said": said, "expression": c.expression})
    for fixed in run.about.fixed:
        name = ", ".join([name_of(fixed.method).short, *_where(run, fixed.task, fixed.source, fixed.seed)])
        own = {"target": fixed.target, "name": name, "expression": fixed.expression}
        lines.append(own | {"by": dict.fromkeys(order), "said": {}})
    return lines


def _where(run: Run, task: str, source: str, seed: int) -> Iterator[str]:
    """Task, source and seed, where there are several."""
    if len(run.about.tasks) > 1:
        yield task
    if source:
        yield f"from {source}"
    if len(run.about.seeds) > 1:
        yield f"seed {seed}"


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


def fingerprints(run: Run) -> list[tuple[str, int, str, str]]:
    """Of each target's test data: task and target, examples, fingerprint, and how outputs were scored."""
    found = []
    for place, fingerprint in run.about.data.items():
        task, _, target = place.partition("/")
        size = sum((e.task, e.target, e.split) == (task, target, "test") for e in run.examples)
        found.append((place, size, fingerprint, run.about.score.get(task, {}).get(target, "")))
    return found
