"""Examples side by side: what each method wrote, and in which language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..languages.codes import right_to_left
from ..scores.output import language_of
from ..study.records import Example, Record, Run
from .findings import spoken_of
from .runs import outputs
from .words import named

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
    """An example as the page shows it: the reference method's and the others' outputs side by side."""

    example: Example
    outputs: list[Output]


def examples(run: Run, target: str, count: int = EXAMPLES, task: str | None = None) -> list[Shown]:
    """Test examples from the one where the composition gains most over the reference to the one where it
    loses most, at even steps between: neither the best nor the worst alone.

    They are of the first task unless ``task`` names another, of the first seed, and where each source has
    results of its own, of the first source.
    """
    task = next(iter(run.about.tasks)) if task is None else task
    source = run.about.sources[0] if run.about.by_source else ""
    by_place = outputs(run)
    places = [(task, target, method, source) for method in _compared(run, task, target)]
    of_methods = [by_place[place].get(run.about.seeds[0], {}) for place in places if place in by_place]
    articles = {e.id: e for e in run.examples if (e.task, e.target, e.split) == (task, target, "test")}
    records = {i: [by_id[i] for by_id in of_methods if i in by_id] for i in articles}
    ids = sorted((i for i in records if records[i]), key=lambda i: (_lost(records[i]), i))
    last = len(ids) - 1
    steps = dict.fromkeys(round(k * last / max(1, count - 1)) for k in range(count)) if ids else {}
    return [Shown(articles[ids[k]], [_output(run, record) for record in records[ids[k]]]) for k in steps]


def _compared(run: Run, task: str, target: str) -> list[str]:
    """The methods whose outputs stand side by side: the reference, and what was handed over or is tried."""
    if run.about.handed_over:
        return [run.about.reference, *filter(None, [spoken_of(run, task, target)])]
    return [run.about.reference, *run.about.tried]


def _lost(records: Sequence[Record]) -> float:
    """By how much the first output scores above the mean of the others."""
    return records[0].score - fmean(record.score for record in records[1:] or records)


def _output(run: Run, record: Record) -> Output:
    language = detected(run, record)
    label = named(record.method, () if record.weight is None else (record.weight,))
    return Output(label, record.output, record.score, record.kind, language, direction(language))


def detected(run: Run, record: Record) -> str:
    """The language that an output is in, as its kind says it, or else by py3langid; empty where nothing tells,
    and of a label."""
    if record.kind == "target":
        return run.about.writes.get(record.task, record.target)
    if record.kind == "copied":
        return record.target
    if record.kind == "source" and len(run.about.sources) == 1:
        return run.about.sources[0]
    return language_of(record.output) or "" if record.kind and record.output.strip() else ""


def direction(language: str) -> str:
    """``rtl`` or ``ltr`` of a language, and ``auto`` where the language is not known.

    >>> direction("fa"), direction("pt-BR"), direction("")
    ('rtl', 'ltr', 'auto')
    """
    if not language:
        return "auto"
    return "rtl" if right_to_left(language) else "ltr"
