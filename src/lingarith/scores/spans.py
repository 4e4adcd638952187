"""F1 over named entities that a model writes as one line: ``PER: Ana Silva; LOC: Lisboa``.

As in CoNLL-2003 and seqeval an entity is right if its kind and its text are, exactly: letter by
letter after Unicode's NFC, with single spaces. Where it stands in the sentence is not in the line,
so an entity that stands twice counts twice. What stands in the line without a kind is a wrong entity.

Source: Tjong Kim Sang and De Meulder (2003), https://aclanthology.org/W03-0419.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..text.entities import read
from .answers import best_of


def span_f1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """F1 of the entities of each output and the best of its references: (N,), 0 to 100; 100 where both have none.

    Raises LingarithError when nothing is given, the lengths differ or an output has no reference.

    >>> span_f1(["PER: Ana; LOC: Rio", "none"], [["PER: Ana; ORG: Rio"], ["none"]])
    array([ 50., 100.])
    """
    return best_of(outputs, references, lambda output, reference: _f1(*_counts(output, reference)))


def micro_f1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """F1 over the entities of all outputs together, each with the best of its references; 0 to 100.

    Raises LingarithError as :func:`span_f1` does.

    >>> micro_f1(["PER: Ana; LOC: Rio", "none"], [["PER: Ana; ORG: Rio"], ["PER: Eva"]])
    40.0
    """
    span_f1(outputs, references)  # that there are some, for each
    best = [
        max((_counts(output, one) for one in some), key=lambda counts: _f1(*counts))
        for output, some in zip(outputs, references, strict=True)
    ]
    shared, found, there = (sum(column) for column in zip(*best, strict=True))
    return 100 * _f1(shared, found, there)


def _counts(output: str, reference: str) -> tuple[int, int, int]:
    """How many entities both have, the output and the reference."""
    ours, theirs = Counter(read(output)), Counter(read(reference))
    return (ours & theirs).total(), ours.total(), theirs.total()


def _f1(shared: int, found: int, there: int) -> float:
    return 2 * shared / (found + there) if found + there else 1.0
