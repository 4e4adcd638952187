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
    """One output beside its reference: who made it, the text, its score, what kind it is, and its language."""

    label: str
    text: str
    score: float
    kind: str
    language: str


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
    about = run.about
    task = next(iter(about.tasks)) if task is None else task
    # Side by side stand the reference, and what was handed over or is tried.
    methods = [spoken_of(run, task, target)] if about.handed_over else about.tried
    source = about.sources[0] if about.by_source else ""
    by_place = outputs(run)
    places = [(task, target, method, source) for method in (about.reference, *filter(None, methods))]
    of_methods = [by_place[place].get(about.seeds[0], {}) for place in places if place in by_place]

    def loss(records: Sequence[Record]) -> float:
        """By how much the first output scores above the mean of the others."""
        return records[0].score - fmean(record.score for record in records[1:] or records)

    articles = {e.id: e for e in run.examples if (e.task, e.target, e.split) == (task, target, "test")}
    records = {id: [by_id[id] for by_id in of_methods if id in by_id] for id in articles}
    ids = sorted((id for id in records if records[id]), key=lambda id: (loss(records[id]), id))
    steps = dict.fromkeys(round(k * (len(ids) - 1) / max(1, count - 1)) for k in range(count)) if ids else ()
    return [Shown(articles[ids[k]], [_output(run, record) for record in records[ids[k]]]) for k in steps]


def _output(run: Run, record: Record) -> Output:
    label = named(record.method, () if record.weight is None else (record.weight,))
    return Output(label, record.output, record.score, record.kind, detected(run, record))


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
