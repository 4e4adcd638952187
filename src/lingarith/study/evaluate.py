"""Expressions of vectors that the store holds: what they score on labelled examples, and what they write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..algebra import Combination
from ..errors import LingarithError
from ..model.generate import generate
from ..scores.output import shares
from ..scores.resample import bootstrap_difference, bootstrap_interval, paired_test
from ..text.labelled import Asked
from ..text.rows import place, read_rows, text_of
from ..unicode import blank
from ..vectors.composition import Composition, compose
from .lab import Lab
from .outputs import Stored, Wanted, mean
from .scoring import Outcome


@dataclass(frozen=True)
class Against:
    """What an expression gains over another one on the same examples: 95 % bootstrap interval, and the paired test."""

    expression: str
    score: float
    gain: float
    interval: tuple[float, float]
    p: float


@dataclass(frozen=True)
class Evaluation:
    """The mean score of an expression, 0..100, with its 95 % bootstrap interval.

    ``beside`` are the figures that stand beside the metric (0..100), ``kinds`` the shares of the kinds of output
    (0..1), of which there are none where the task writes labels. ``scoring`` says in words how outputs are scored.
    """

    expression: str
    space: str
    task: str
    language: str
    split: str
    examples: int
    metric: str
    score: float
    interval: tuple[float, float]
    scoring: str
    beside: Mapping[str, float] = field(default_factory=dict)
    kinds: Mapping[str, float] = field(default_factory=dict)
    against: Against | None = None
    outcomes: Sequence[Outcome] = ()


def evaluate(
    lab: Lab, expression: Combination, language: str, split: str, baseline: Combination | None = None
) -> Evaluation:
    """What an expression scores, and what it gains over ``baseline``; outputs are kept in the store.

    Raises :class:`LingarithError` for data and vectors that are not there, the train split, and a cut that is none.
    """
    task = lab.study.only_task
    if split == "train":
        raise LingarithError(
            "vectors are trained on the split 'train', so it says nothing of them; take validation or test"
        )
    data = lab.labels(task, language, split)
    scoring = lab.scoring(task)
    _composed(lab, expression)
    compositions = [expression, *([] if baseline is None else [baseline])]
    for name in dict.fromkeys(name for composition in compositions for name in composition.names):
        lab.stored(name)
    outcomes, *others = Stored(lab, "evaluating").written(Wanted(task, data, compositions))
    scores, references = [o.score for o in outcomes], [example.references for example in data.examples]
    beside = {name: of([o.output for o in outcomes], references) for name, of in scoring.metric.beside.items()}
    kinds = [o.kind for o in outcomes if o.kind]
    against = None
    if baseline is not None:
        before = [o.score for o in others[0]]
        interval, p = bootstrap_difference(scores, before), paired_test(scores, before)
        against = Against(str(baseline), mean(others[0]), mean(outcomes) - mean(others[0]), interval, p)
    return Evaluation(
        str(expression), str(lab.study.sums.value), task, language, split, len(data.examples),
        scoring.metric.name, mean(outcomes), bootstrap_interval(scores), scoring.said_of(data),
        beside, shares(kinds) if kinds else {}, against, outcomes,
    )  # fmt: skip


def write(lab: Lab, expression: Combination, inputs: Sequence[str | Asked]) -> list[str]:
    """What the backbone writes for each input with the expression on it."""

    def watch(done: int) -> None:
        lab.progress("writing", done, len(inputs))

    with lab.backbone.using(_composed(lab, expression).update()):
        return generate(lab.backbone, inputs, lab.study.writing, watch=watch)


def asked(lab: Lab, language: str, texts: Sequence[str], file: Path | None = None) -> list[tuple[str, Asked]]:
    """Each article with what the model reads of it: of these texts, or the rows of a file.

    Raises :class:`LingarithError` for a task that reads more than one text, unless the file has its fields, and for a
    prompt that names the language where none is given.
    """
    study = lab.study
    task = lab.asked(study.only_task).task
    if "{language" in task.prompt and not language:
        raise LingarithError(f"the prompt {task.prompt!r} names the language; say by --lang which it is")
    if file:
        columns = study.data.columns
        rows = [
            {slot: text_of(row, columns.get(name, name), place(file, number)) for slot, name in task.fields.items()}
            for number, row in read_rows(file, [columns.get(name, name) for name in task.fields.values()])
        ]
    elif set(task.fields) != {task.article}:
        fields = " and ".join(task.fields.values())
        raise LingarithError(f"the task '{task.name}' reads {fields}; give a --file whose rows have these fields")
    else:
        rows = [{task.article: text} for text in texts]
    if all(blank(row[task.article]) for row in rows):
        raise LingarithError("there is no article; give texts, --file, or lines on standard input")
    return [(row[task.article], task.asked(language or "en", row)) for row in rows]


def _composed(lab: Lab, expression: Combination) -> Composition:
    """The expression over vectors of the store."""
    for name in expression.names:
        lab.stored(name)
    return compose(expression, lab.vectors(expression.names), lab.study.sums.value)
