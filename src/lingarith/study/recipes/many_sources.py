"""Task in many languages (section 2.2): Table 2, and Table 3 with Kronecker adapters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...algebra import add_subtract_related, average
from ..records import ADD_ALL, ADD_RELATED, ADD_SUBTRACT_RELATED, BEST, BEST_ON_TEST, MULTILINGUAL
from .methods import Method, Vectors, alone, controls, weighed


def many_sources(v: Vectors, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Best single source, multilingual, Eq. 3 over all and over the related sources, Eq. 4, and the controls.

    The best source is chosen on the target's validation data; and, marked as such, on its test data,
    as the paper may have done. The control of learning rates is the multilingual vector's.
    """
    single = {float(place): v.task(source) for place, source in enumerate(sources)}
    related = v.related(target, sources).chosen
    tasks, away = [v.task(source) for source in related], [v.language(source) for source in related]
    yield Method(BEST, single, by="oracle")
    yield Method(BEST_ON_TEST, single, by="test")
    yield alone(MULTILINGUAL, v.task(*sources))
    yield alone(ADD_ALL, average(list(single.values())))
    yield alone(ADD_RELATED, average(tasks))
    there = v.language(target)
    yield weighed(v.study, ADD_SUBTRACT_RELATED, lambda lam: add_subtract_related(tasks, there, away, lam))
    yield from controls(v, target, average(tasks), average(away), lambda rate: v.task(*sources, rate=rate))
