"""Vectors that are asked for: what each is called, and how it is had."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model.options import TrainOptions
from ..store.store import Store
from .jobs import Job
from .study import Study


@dataclass(frozen=True)
class Order:
    """A vector that is asked for: what the store calls it, the languages of its labels, and how it is had.

    ``job`` makes the training (which reads data); without one the vector is ``like`` another, and random by ``seed``,
    or one that is in the store already, of the content hash ``content``; ``known`` makes the training that gives such a
    one here. One that goes on from another is trained ``after`` that.
    """

    stored: str
    labels: tuple[str, ...] = ()
    job: Callable[[], Job] | None = None
    like: str = ""
    after: str = ""
    seed: int = 0
    content: str = ""
    known: Callable[[], Job] | None = None


def taught(store: Store, content: str) -> tuple[str, ...]:
    """The languages of the labels that a vector of a store, or what it was composed from, has seen."""
    origin = store.objects.open(content).origin
    its = [origin["language"]] if origin.get("kind") == "task" and "language" in origin else []
    parents = [parent for parent in origin.get("parents", {}).values() if store.objects.has(parent)]
    return tuple(dict.fromkeys([*its, *(code for parent in parents for code in taught(store, parent))]))


def over_mark(over: str) -> str:
    """What tells the name of a vector that is trained on top of another.

    >>> over_mark("headlines.seed1[en]"), over_mark("")
    ('.on_headlines_seed1_en', '')
    """
    return "_".join([".on", *re.findall(r"\w+", over)]) if over else ""


def marks_of(study: Study, options: TrainOptions, labels: Sequence[str], variant: str) -> str:
    """What tells the name of a vector in a study from that of the study's usual one: a mark for each difference."""
    marks = "".join("." + re.sub(r"\W", "", part) for part in variant.split())
    if len(study.vectors.seeds) > 1 or options.seed not in study.vectors.seeds:
        marks += f".seed{options.seed}"
    if options.adapter != study.vectors.of(study.vectors.kind):
        marks += f".{options.adapter.facts['kind']}"
    usual = study.training(options.seed, labels=bool(labels), kind=str(options.adapter.facts["kind"]))
    if options.learning_rate != usual.learning_rate:
        marks += f".rate{options.learning_rate:g}".replace("-", "m")
    if options.init_seed != usual.init_seed:
        marks += f".start{options.init_seed}"
    if options.projections != usual.projections:
        marks += f".{options.projections}"
    some = [code for code in labels if code in study.languages.sources]
    if len(some) not in (0, 1, len(study.languages.sources)):
        marks += "." + "_".join(code.replace("-", "") for code in some)
    return marks
