"""Task in one language (section 2.1): Table 1, both tasks of Table 4, and Figure 2 source by source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...algebra import add, add_subtract, uncoupled
from ..records import ADD, ADD_SUBTRACT, BASELINE, UNCOUPLED
from .methods import Method, Vectors, alone, controls, weighed


def one_source(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Baseline, Eq. 1, Eq. 2, the uncoupled form, and the controls, from the first source."""
    source = sources[0]
    task, there, away = v.task(source), v.language(target), v.language(source)
    yield alone(BASELINE, task)
    yield weighed(v.study, ADD, lambda lam: add(task, there, lam))
    yield weighed(v.study, ADD_SUBTRACT, lambda lam: add_subtract(task, there, away, lam))
    yield weighed(v.study, UNCOUPLED, lambda beta: uncoupled(task, there, away, beta))
    yield from controls(v, target, task, away, lambda rate: v.task(source, rate=rate))


def each_source(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Baseline, Eq. 2 and the controls from each source by itself."""
    for source in sources:
        yield from _from(v, target, source)


def _from(v: Vectors, target: str, source: str) -> Iterator[Method]:
    task, there, away = v.task(source), v.language(target), v.language(source)
    yield alone(BASELINE, task, source)
    yield weighed(v.study, ADD_SUBTRACT, lambda lam: add_subtract(task, there, away, lam), source)
    yield from controls(v, target, task, away, lambda rate: v.task(source, rate=rate), source)
