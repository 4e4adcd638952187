"""One self-contained page about runs: no script, nothing loaded from elsewhere, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

from ..languages.codes import language_name
from ..study.records import BEST, BEST_ON_TEST, EQUATIONS, Choice, Run
from . import figures
from .chapter import chapter, vectors
from .examples import UNWEIGHED, direction
from .results import Results
from .selection import protocol
from .table import NO_TEST
from .wording import KIND_LABELS, number, p_text, percent, short, signed, weight_text

PROTOCOLS = {
    "oracle": "the target's own labelled validation set (uses target labels: not zero-shot)",
    "sources": "each labelled source language in turn plays the unseen target (no target label is touched)",
    "unlabelled": "no labels at all: plain text of the target and the language of the output",
}


def page(*results: Results) -> str:
    """The whole report as one HTML document; what a run lacks is left out or said in a sentence."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "signed": signed, "percent": percent, "plain": plain, "grouped": grouped}
    environment.filters["language"] = language_name
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    chapters = [chapter(of, f"r{place}-") for place, of in enumerate(results, 1)]
    title = results[0].title if len(chapters) == 1 else f"{len(chapters)} runs of language and task arithmetic"
    return template.render(
        title=title,
        chapters=chapters,
        legends=lambda place: figures.legends(figures.drawn(results[place - 1].run), f"r{place}-"),
        no_test=NO_TEST,
        p_text=p_text,
        equations=EQUATIONS,
        kinds=KIND_LABELS,
        direction=direction,
        protocols=PROTOCOLS,
        protocol=protocol,
        chosen=chosen,
        facts=facts,
        fingerprints=fingerprints,
        vectors=vectors,
        as_json=lambda value: json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str),
    )


def fingerprints(run: Run) -> list[tuple[str, int, str, str]]:
    """Of each target's test data: task and target, examples, fingerprint, and how outputs were scored."""
    found = []
    for place, fingerprint in run.about.get("data", {}).items():
        task, _, target = place.partition("/")
        size = sum((e.task, e.target, e.split) == (task, target, "test") for e in run.examples)
        found.append((place, size, str(fingerprint), str(run.about.get("score", {}).get(task, {}).get(target, ""))))
    return found


def chosen(run: Run) -> list[dict[str, Any]]:
    """What every protocol chose, a line per target and equation (and task, source and seed where there
    are several), the run's own protocol first and the oracle beside it; then what has no weight."""
    named = [protocol(run), "oracle", *run.about.get("protocols", []), *(c.protocol for c in run.choices)]
    order = [name for name in dict.fromkeys(named) if any(c.protocol == name for c in run.choices)]
    found: dict[tuple[object, ...], dict[str, Choice]] = {}
    for c in run.choices:
        found.setdefault((c.task, c.target, c.source, c.seed, c.equation), {})[c.protocol] = c
    lines = []
    for picked in found.values():
        c = picked.get(protocol(run)) or next(iter(picked.values()))
        name = ", ".join([short(c.equation), *_where(run, c.task, c.source, c.seed)])
        said = {by: weight_said(run, pick) for by, pick in picked.items()}
        by = {name: picked.get(name) for name in order}
        lines.append({"target": c.target, "name": name, "by": by, "said": said, "expression": c.expression})
    for fixed in run.about.get("fixed", []):
        name = ", ".join([short(fixed["method"]), *_where(run, fixed["task"], fixed["source"], fixed["seed"])])
        own = {"target": fixed["target"], "name": name, "expression": fixed["expression"]}
        lines.append(own | {"by": dict.fromkeys(order), "said": {}})
    return lines


def _where(run: Run, task: str, source: str, seed: int) -> Iterator[str]:
    """Task, source and seed, where there are several."""
    if len(run.about.get("tasks", ())) > 1:
        yield task
    if source:
        yield f"from {source}"
    if len(run.about.get("seeds", ())) > 1:
        yield f"seed {seed}"


def weight_said(run: Run, c: Choice) -> str:
    """A choice in words: λ, β, a learning rate, or a source."""
    if c.equation in (BEST, BEST_ON_TEST):
        return str(run.about["sources"][int(c.weight)])
    return f"{c.weight:g}" if c.equation in UNWEIGHED else weight_text(c.equation, c.weight)


def facts(run: Run) -> dict[str, str]:
    """How the run was made, in the order in which a reader asks."""
    about = run.about
    named = {
        "Task": "task",
        "Tasks": "tasks",
        "Source languages": "sources",
        "Target languages": "targets",
        "Plain text": "text",
        "Prompt": "prompt",
        "Prompts": "prompts",
        "Backbone": "backbone",
        "Adapter": "adapter",
        "Space of the arithmetic": "space",
        "Generation": "generation",
        "Seed": "seed",
        "Seeds": "seeds",
        "Made with": "made",
    }
    return {label: plain(about[key]) for label, key in named.items() if about.get(key) not in (None, "", [], {})}


def plain(value: object) -> str:
    """A value from ``run.json`` as text: lists with commas, mappings as ``key value``.

    >>> plain({"name": "newsroom", "rank": 4}), plain(["pt", "fa"])
    ('name newsroom · rank 4', 'pt, fa')
    """
    if isinstance(value, Mapping):
        said = {key: grouped(item) if key == "parameters" else plain(item) for key, item in value.items()}
        return " · ".join(f"{key} {text}" for key, text in said.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(plain, value))
    return str(value)


def grouped(value: object) -> str:
    """A count with its thousands apart (narrow no-break spaces, so that no line breaks in it).

    >>> grouped(3300000).split()
    ['3', '300', '000']
    """
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)
