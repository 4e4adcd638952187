"""Examples side by side: what each method wrote, and in which language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ..languages.codes import right_to_left
from ..scores.output import language_of
from ..study.records import BASELINE, BEST, BEST_ON_TEST, RATES, Example, Record, Run
from .selection import choice, on_test, protocol
from .verdict import composition
from .wording import short, weight_text

EXAMPLES = 4
UNWEIGHED = (BEST, BEST_ON_TEST, RATES)
"""What is chosen by something else than λ or β."""


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


def examples(run: Run, target: str, count: int = EXAMPLES) -> list[Shown]:
    """Test examples from the one where the composition gains most over the baseline to the one
    where it loses most, at even steps between: neither the best nor the worst alone."""
    made_by = [_tested(run, target, name) for name in compared(run, target)]
    articles = {e.id: e for e in run.examples if (e.target, e.split) == (target, "test")}
    made = {i: [r[i] for r in made_by if i in r] for i in articles}
    ids = sorted((i for i in made if made[i]), key=lambda i: (_lost(made[i]), i))
    last = len(ids) - 1
    steps = dict.fromkeys(round(k * last / max(1, count - 1)) for k in range(count)) if ids else {}
    return [Shown(articles[ids[k]], [_output(run, record) for record in made[ids[k]]]) for k in steps]


def compared(run: Run, target: str) -> list[str]:
    """The equations whose outputs stand side by side: in a study the reference and what it tries."""
    if "reference" in run.about:
        return [run.about["reference"], *run.about["tried"]]
    return [BASELINE, *filter(None, [composition(run, target)])]


def _tested(run: Run, target: str, equation: str) -> dict[str, Record]:
    picked = choice(run, target, equation, protocol(run)) or choice(run, target, equation, "oracle")
    return on_test(run, target, equation, picked.weight if picked else None)


def _lost(made: Sequence[Record]) -> float:
    """By how much the first output scores above the mean of the others."""
    return made[0].score - fmean(record.score for record in made[1:] or made)


def _output(run: Run, record: Record) -> Output:
    language = detected(run, record)
    weight = None if record.equation in UNWEIGHED else record.weight
    label = ", ".join(filter(None, [short(record.equation), weight_text(record.equation, weight)]))
    return Output(label, record.output, record.score, record.kind, language, direction(language))


def detected(run: Run, record: Record) -> str:
    """The language that an output is in, as its kind says it, or else by py3langid; empty where nothing tells."""
    sources = run.about.get("sources", [])
    if record.kind in ("target", "copied"):
        return record.target
    if record.kind == "source" and len(sources) == 1:
        return str(sources[0])
    return language_of(record.output) or "" if record.output.strip() else ""


def direction(language: str) -> str:
    """``rtl`` or ``ltr`` of a language, and ``auto`` where the language is not known.

    >>> direction("fa"), direction("pt-BR"), direction("")
    ('rtl', 'ltr', 'auto')
    """
    if not language:
        return "auto"
    return "rtl" if right_to_left(language) else "ltr"
