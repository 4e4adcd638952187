"""One self-contained page about a run: no script, nothing loaded from elsewhere, everything escaped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ..languages.codes import right_to_left
from ..study.records import BASELINE, EQUATIONS, Example, Record, Run
from . import figures
from .selection import choice, equations, on_test, protocol, targets
from .table import AVERAGE, CAPTION, NO_TEST, ORACLE_CAPTION, groups, has_oracle, rows
from .verdict import composition, findings
from .wording import KIND_LABELS, number, p_text, percent, short, signed, symbol, weight_text

PROTOCOLS = {
    "oracle": "the target's own labelled validation set (uses target labels: not zero-shot)",
    "sources": "each labelled source language in turn plays the unseen target (no target label is touched)",
    "unlabelled": "no labels at all: plain text of the target and the language of the output",
}
EXAMPLES = 4


@dataclass(frozen=True)
class Output:
    """One output beside its reference: who made it, the text, its score, and what kind it is."""

    label: str
    text: str
    score: float
    kind: str
    language: str
    direction: str


@dataclass(frozen=True)
class Shown:
    """An example as the page shows it: the baseline's and the composition's outputs side by side."""

    example: Example
    outputs: list[Output]


def page(run: Run) -> str:
    """The whole report as one HTML document; what a run lacks is left out or said in a sentence."""
    from jinja2 import Environment, StrictUndefined

    of = rows(run)
    about = run.about
    own = protocol(run)
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "signed": signed, "percent": percent, "short": short}
    environment.filters |= {"plain": plain, "grouped": grouped}
    template = environment.from_string(files(__package__).joinpath("page.html").read_text(encoding="utf-8"))
    drawn = figures.curves(run)
    bars = figures.kinds(of)
    return template.render(
        title=about.get("title", "Language and task arithmetic"),
        subtitle=[plain(about[key]) for key in ("task", "text") if about.get(key)],
        findings=findings(run, of),
        notes=about.get("notes", []),
        groups=groups(of),
        average=AVERAGE,
        baseline=BASELINE,
        caption=CAPTION.removeprefix("R-2: ") + (ORACLE_CAPTION if has_oracle(of) else ""),
        no_test=NO_TEST,
        with_oracle=has_oracle(of),
        weight_text=weight_text,
        p_text=p_text,
        equations=EQUATIONS,
        curves=drawn,
        oracle_curves=figures.curves(run, "oracle") if own != "oracle" else {},
        bars=bars,
        legends=figures.legends() if drawn or bars else {},
        examples={target: found for target in targets(run) if (found := examples(run, target))},
        kinds=KIND_LABELS,
        direction=direction,
        protocol=own,
        protocol_text=PROTOCOLS.get(own, ""),
        chosen=chosen(run),
        facts=facts(run),
        score=about.get("score", {}),
        expressions=about.get("expressions", {}),
        ingredients=[
            (i, json.dumps(i.origin, ensure_ascii=False, indent=2, sort_keys=True, default=str))
            for i in run.ingredients
        ],
        command=about.get("command", ""),
    )


def examples(run: Run, target: str, count: int = EXAMPLES) -> list[Shown]:
    """Test examples from the one where the composition gains most over the baseline to the one
    where it loses most, at even steps between: neither the best nor the worst alone."""
    baseline = on_test(run, target, BASELINE, None)
    equation = composition(run, target)
    picked = choice(run, target, equation, protocol(run)) if equation else None
    composed = on_test(run, target, equation, picked.weight if picked else None) if equation else {}
    articles = {e.id: e for e in run.examples if (e.target, e.split) == (target, "test")}
    made = {i: [r[i] for r in (baseline, composed) if i in r] for i in articles}
    ids = sorted((i for i in made if made[i]), key=lambda i: (made[i][0].score - made[i][-1].score, i))
    last = len(ids) - 1
    steps = dict.fromkeys(round(k * last / max(1, count - 1)) for k in range(count)) if ids else {}
    return [Shown(articles[ids[k]], [_output(run, record) for record in made[ids[k]]]) for k in steps]


def _output(run: Run, record: Record) -> Output:
    sources = run.about.get("sources", [])
    language = {"target": record.target, "copied": record.target}.get(record.kind, "")
    if record.kind == "source" and len(sources) == 1:
        language = str(sources[0])
    label = ", ".join(filter(None, [short(record.equation), weight_text(record.equation, record.weight)]))
    return Output(label, record.output, record.score, record.kind, language, direction(language))


def direction(language: str) -> str:
    """``rtl`` or ``ltr`` of a language, and ``auto`` where the language is not known.

    >>> direction("fa"), direction("pt-BR"), direction("")
    ('rtl', 'ltr', 'auto')
    """
    if not language:
        return "auto"
    return "rtl" if right_to_left(language) else "ltr"


def chosen(run: Run) -> list[dict[str, Any]]:
    """What every protocol chose, a line per target and equation; the run's own protocol first and
    the oracle beside it."""
    named = [protocol(run), "oracle", *run.about.get("protocols", []), *(c.protocol for c in run.choices)]
    order = [name for name in dict.fromkeys(named) if any(c.protocol == name for c in run.choices)]
    lines = []
    for target in targets(run):
        for equation in equations(run):
            by = {name: choice(run, target, equation, name) for name in order}
            if any(by.values()):
                first = next(c for c in by.values() if c)
                lines.append(
                    {
                        "target": target,
                        "name": short(equation),
                        "symbol": symbol(equation),
                        "by": by,
                        "expression": (by.get(protocol(run)) or first).expression,
                    }
                )
    return lines


def facts(run: Run) -> dict[str, str]:
    """How the run was made, in the order in which a reader asks."""
    about = run.about
    named = {
        "Task": "task",
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
