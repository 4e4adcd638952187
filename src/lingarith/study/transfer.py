"""Recipes of studies about transfer, which the paper leaves open (docs/open-questions.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from random import Random

from ..algebra import Combination, add, add_subtract, add_subtract_related, average
from ..errors import LingarithError
from ..languages.distances import Distances, Uriel
from ..languages.related import FROM_DATA, related
from ..languages.uriel import MEASURES
from . import records as r
from . import relatedness
from .lab import Lab
from .neighbours import far
from .paper import controls
from .place import Method, Place, alone, weighed
from .records import Weight

COUNTS = (1, 2, 4, 8)
"""Of how many sources sums are made, beside all of them."""
DRAWS = 3
"""How often so many are drawn."""


def some_sources(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Eq. 3 and 4 over the nearest L sources and over L random ones, for each L; then all, and their controls.

    Nearest is what URIEL's syntactic distance says, then the geographic one. Draws differ by target and seed; each
    holds the sources of the smaller ones before it.
    """
    near = [candidate.language for candidate in related(v.target, sources).candidates]
    every = {r.NEAREST: near}
    for draw in range(1, DRAWS + 1):
        every[f"{r.DRAWN}{draw}"] = Random(f"{v.seed}/{v.target}/{draw}").sample(list(sources), len(sources))
    there = v.language_vector(v.target)
    for name, order in every.items():
        for count in [count for count in COUNTS if count < len(sources)] + ([len(sources)] if order is near else []):
            tasks = [v.task_vector(source) for source in order[:count]]
            away = [v.language_vector(source) for source in order[:count]]
            yield alone(f"{name}:{count}", average(tasks))
            yield weighed(v.study, f"{name}+:{count}", partial(add_subtract_related, tasks, there, away))
            if order is near and r.SCALED in v.controls:
                yield weighed(v.study, f"{r.SCALED}:{count}", _scaled(average(tasks)))
    tasks, away = [v.task_vector(s) for s in sources], [v.language_vector(s) for s in sources]
    for method in controls(v, sources, average(tasks), average(away), lambda rate: v.task_vector(*sources, rate=rate)):
        if method.name != r.SCALED:
            yield method


def _scaled(task: Combination) -> Callable[[float], Combination]:
    return lambda lam: lam * task


def parts(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """From each source by itself: the task vector with +T alone, −S alone, both, neither, and −S of another source.

    The other source is the farthest from this one, and not the target's nearest.
    """
    for source in sources:
        task, there, away = v.task_vector(source), v.language_vector(v.target), v.language_vector(source)
        others = [other for other in sources if other != source]
        made = [
            alone(r.BASELINE, task),
            weighed(v.study, r.ADD, partial(add, task, there)),
            weighed(v.study, r.SUBTRACT, partial(add_subtract, task, Combination(), away)),
            weighed(v.study, r.ADD_SUBTRACT, partial(add_subtract, task, there, away)),
            weighed(v.study, r.SCALED, _scaled(task)),
        ]
        if others:
            other = v.language_vector(max(others, key=lambda code: far(source, code)))
            made.append(weighed(v.study, r.SUBTRACT_OTHER, partial(add_subtract, task, there, other)))
        yield from (replace(method, source=source) for method in made)


def by_task(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """From the first source: baseline, Eq. 1, Eq. 2, the language term without any task vector, and the controls."""
    task, there, away = v.task_vector(sources[0]), v.language_vector(v.target), v.language_vector(sources[0])
    yield alone(r.BASELINE, task)
    yield weighed(v.study, r.ADD, lambda lam: add(task, there, lam))
    yield weighed(v.study, r.ADD_SUBTRACT, lambda lam: add_subtract(task, there, away, lam))
    yield alone(r.LANGUAGE, there - away)
    yield from controls(v, sources[:1], task, away, lambda rate: v.task_vector(sources[0], rate=rate))


def every_set(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Each source by itself and each two averaged (Eq. 3): chosen on validation data and, so marked, on the test split.

    Which of these a measure of similarity chooses is looked up in the curves of the latter. One of the measures needs
    language vectors. Raises :class:`LingarithError` where there is nothing to choose from.
    """
    if len(sources) < 2:
        raise LingarithError(
            f"a measure of similarity chooses among sources, and for {v.target} there is one, {', '.join(sources)}; "
            "name two or more in 'sources'"
        )
    for code in (v.target, *sources):
        v.language_vector(code)
    single: dict[Weight, Combination] = {source: v.task_vector(source) for source in sources}
    pairs: dict[Weight, Combination] = {
        f"{one}+{other}": average([v.task_vector(one), v.task_vector(other)]) for one, other in combinations(sources, 2)
    }
    yield Method(r.BEST, single, by="oracle")
    yield Method(r.BEST_ON_TEST, single, by="test")
    yield Method(r.BEST_PAIR, pairs, by="test")


def distances(lab: Lab, _: object) -> dict[str, dict[str, float]]:
    """How far each source is from each target by every measure of ``related``, where known, by "source/target"."""
    study = lab.study
    sources, targets = study.languages.sources, [t for labels in study.tasks.values() for t in labels.targets]
    codes = tuple(dict.fromkeys((*sources, *targets)))
    names = {code: lab.language(study.vectors.seeds[0], code).names[0] for code in codes}
    measures: list[Distances] = [Uriel(name) for name in MEASURES]
    measures.append(relatedness.vectors({code: lab.vectors([name])[name] for code, name in names.items()}))
    measures += [relatedness.measured(lab, name, codes) for name in FROM_DATA if name != "vectors"]
    far = {m.name: {f"{s}/{t}": m.between(s, t) for s in sources for t in targets if s != t} for m in measures}
    return {name: {pair: value for pair, value in of.items() if value is not None} for name, of in far.items()}
