"""One self-contained page about runs: no script, nothing loaded from elsewhere, everything escaped."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..languages.codes import language_name
from ..study.records import Choice, Fixed, Grid, Run, name_of
from . import figures, scatter, words
from .answer import Answer
from .cells import Cell, kinds
from .examples import Shown, direction, examples
from .findings import Findings
from .rates import right_shares
from .runs import targets_of
from .tables import by_target, caption, doses, few, has_oracle, oracle_text, tables_of, tested


@dataclass(frozen=True)
class Section:
    """One task of a run: its tables and cells, and its charts as SVG by target or axis."""

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
    gains: Mapping[str, str]
    correlation: str
    examples: Mapping[str, Sequence[Shown]]


@dataclass(frozen=True)
class Chapter:
    """One run: what it found, task by task."""

    results: Findings
    sections: Sequence[Section]
    legends: Mapping[str, str]
    answer: Mapping[str, str]
    """The figures of a study of an open question, as SVG by what they show."""


def page(*results: Findings) -> str:
    """The whole report as one HTML document; what a run lacks is left out or said in a sentence."""
    functions = (by_target, doses, facts, few, fingerprints, has_oracle, oracle_text, picks, shade, tested, vectors)
    return render(
        "report/page.html",
        **{function.__name__: function for function in (*functions, name_of, words.p_text)},
        title=results[0].run.about.title
        if len(results) == 1
        else f"{len(results)} runs of language and task arithmetic",
        chapters=[chapter(one, f"r{place}-") for place, one in enumerate(results, 1)],
        rates=[figures.rates(one, f"g{place}-") for place, one in enumerate(right_shares(results), 1)],
        no_test=words.NO_TEST,
        kinds=words.KIND_LABELS,
        protocols=words.PROTOCOLS,
        weights=lambda cell: words.weights_text(cell.method, cell.weights),
        as_json=lambda value: json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str),
    )


def render(template: str, **values: Any) -> str:
    """A template of the package as HTML, everything in it escaped; a value that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("lingarith", ".")
    options: dict[str, Any] = {"autoescape": True, "trim_blocks": True, "lstrip_blocks": True}
    environment = Environment(loader=loader, undefined=StrictUndefined, **options)
    numbers = (words.number, words.beside, words.two, words.signed, words.percent, words.grouped)
    functions = (*numbers, words.plain, language_name, direction)
    environment.filters |= {function.__name__: function for function in functions}
    return environment.get_template(template).render(values)


def chapter(results: Findings, prefix: str = "") -> Chapter:
    """All about a run; ``prefix`` makes the identifiers in its charts unique on a page."""
    run = results.run
    sections = [section(results, task, f"{prefix}{place}-") for place, task in enumerate(run.about.tasks)]
    several = run.about.by_source or len(run.about.seeds) > 1
    legends = figures.legends(figures.drawn(run), several=several, prefix=prefix)
    return Chapter(results, sections, legends, _answered(results.answer, prefix))


def _answered(answer: Answer | None, prefix: str) -> dict[str, str]:
    """The figures of a study's answer by their captions; none where it has no answer."""
    if answer is None:
        return {}
    drawn = figures.charts(lambda name: answer.charts[name](), answer.charts, prefix, "{}")
    return {answer.captions[name]: svg for name, svg in drawn.items()}


def section(results: Findings, task: str, prefix: str = "") -> Section:
    """All about one task of a run."""
    run, cells = results.run, [cell for cell in results.cells if cell.task == task]
    points = scatter.points(run, cells)
    correlations = [
        f"{label}: ρ = {correlation:.2f} over {len(at)} points".replace("-", "−")
        for label, at in points.items()
        if scatter.pairs(at) >= scatter.FEWEST and (correlation := scatter.rank_correlation(at)) is not None
    ]
    grids = tables_of(run, task, cells)
    return Section(
        task=task,
        metric=run.about.tasks[task],
        title=task if len(run.about.tasks) > 1 else "",
        # The page has a table or a heat map of its own in place of the first one.
        grids=[] if results.answer else grids[1:] if few(cells) or run.about.by_source else grids,
        cells=cells,
        caption=caption(run, task, cells),
        curves=figures.curves(run, task, prefix=prefix),
        oracle=figures.curves(run, task, "oracle", prefix) if run.about.protocol != "oracle" else {},
        kinds=figures.kinds(kinds(cells), prefix),
        gains=figures.scatters(points, prefix),
        correlation=f"Spearman's rank correlation: {'; '.join(correlations)}." if correlations else "",
        examples={t: shown for t in targets_of(run, task) if (shown := examples(run, t, task=task))},
    )


def shade(cell: Cell, cells: Sequence[Cell]) -> float:
    """How strong the colour of a cell is in the heat map of these, 0 to 1."""
    return round(abs(cell.change or 0) / (max(abs(one.change or 0) for one in cells) or 1), 2)


# ---------------------------------------------------------------- how it was made


def facts(run: Run) -> dict[str, str]:
    """How the run was made, in the order in which a reader asks."""
    about = run.about
    values: dict[str, object] = {
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
    return {label: text for label, value in values.items() if (text := words.plain(value))}


def picks(run: Run) -> list[dict[str, Any]]:
    """What every protocol chose, a line per target and method (and task, source and seed where there are
    several), the run's own protocol first and the oracle beside it; then what has no weight."""
    about = run.about
    present = [c.protocol for c in run.choices]
    order = [p for p in dict.fromkeys([about.protocol, "oracle", *about.protocols, *present]) if p in present]
    by_place: dict[tuple[object, ...], dict[str, Choice]] = {}
    for c in run.choices:
        by_place.setdefault((c.task, c.target, c.source, c.seed, c.method), {})[c.protocol] = c

    def line(one: Choice | Fixed, picked: Mapping[str, Choice]) -> dict[str, Any]:
        where = [one.task if len(about.tasks) > 1 else "", f"from {one.source}" if one.source else ""]
        where.append(f"seed {one.seed}" if len(about.seeds) > 1 else "")
        return {
            "target": one.target, "name": ", ".join(filter(None, [name_of(one.method).short, *where])),
            "by": {protocol: picked.get(protocol) for protocol in order},
            "said": {protocol: words.weights_text(pick.method, [pick.weight]) for protocol, pick in picked.items()},
            "expression": one.expression,
        }  # fmt: skip

    chosen = [line(picked.get(about.protocol) or next(iter(picked.values())), picked) for picked in by_place.values()]
    return [*chosen, *(line(fixed, {}) for fixed in about.fixed)]


def vectors(run: Run) -> list[dict[str, Any]]:
    """Cost and origin of each vector, a line for each."""
    lines = []
    for i in run.ingredients:
        data, rate = i.origin.get("data", {}), i.origin.get("options", {}).get("learning_rate")
        lines.append(
            {
                "name": i.name, "steps": i.steps, "examples": i.examples, "tokens": i.tokens, "seconds": i.seconds,
                "hash": i.hash[:16], "seed": i.origin.get("seed", ""), "rate": "" if rate is None else f"{rate:g}",
                "data": str(data.get("fingerprint", ""))[:16] if isinstance(data, Mapping) else "", "origin": i.origin,
            }
        )  # fmt: skip
    return lines


def fingerprints(run: Run) -> list[tuple[str, int, str, str]]:
    """Of each target's test data: task and target, examples, fingerprint, and how outputs were scored."""
    sizes = Counter(f"{e.task}/{e.target}" for e in run.examples if e.split == "test")
    score = {
        f"{task}/{target}": said for task, by_target in run.about.score.items() for target, said in by_target.items()
    }
    return [(place, sizes[place], data, score.get(place, "")) for place, data in run.about.data.items()]
