"""What studies of open questions answer: tables and figures of their own, from the records of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..study.records import Run
from . import addition, interference, mixtures, transfer
from .answer import Answer

ANSWERS: Mapping[str, Callable[[Run], Answer | None]] = {
    "sources": transfer.sources,
    "tasks": transfer.tasks,
    "subtraction": transfer.subtraction,
    "similarity": transfer.similarity,
    "interference": interference.interference,
    "mixed": mixtures.mixed,
    "cost": mixtures.cost,
    "addition": addition.addition,
    "linearity": mixtures.linearity,
}
"""By the table of a run; None where its records are too few to say anything."""


def answer_of(run: Run) -> Answer | None:
    """The answer of a run; None for tables of the paper and adaptations."""
    make = ANSWERS.get(run.about.table)
    return make(run) if make else None
