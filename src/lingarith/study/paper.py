"""The recipes of the paper's tables, the controls, and what ``adapt`` tries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from ..adapters.merging import MERGINGS
from ..algebra import Combination, add, add_subtract, add_subtract_related, average, uncoupled
from . import baselines, options
from . import records as r
from .neighbours import far, related_sources
from .place import Method, Place, alone, weighed
from .records import Weight
from .study import NAMED_TASK


def controls(
    v: Place,
    sources: Sequence[str],
    task: Combination,
    away: Combination,
    swept: Callable[[float], Combination],
    variant: str = "",
) -> Iterator[Method]:
    """The controls of the study, and the baselines that it names among them (:mod:`.baselines`).

    ``task`` and ``away`` are what the arithmetic adds and subtracts, in whose place comes nothing (``scaled``), and
    for the target's language vector that of another language (``wrong``) or a random one (``random``). ``swept`` gives
    the task vector without arithmetic at a learning rate. ``variant`` says other keys of the other language vector.
    """

    def instead(language: Combination) -> Callable[[float], Combination]:
        return lambda lam: add_subtract(task, language, away, lam)

    for name in v.controls:
        if name == r.RATES:
            yield Method(r.RATES, {rate: swept(rate) for rate in v.study.rates}, "oracle")
        elif name == r.SCALED:
            yield weighed(v.study, r.SCALED, lambda lam: lam * task)
        elif name == r.RANDOM:
            yield weighed(v.study, r.RANDOM, instead(v.lab.random(v.seed, v.target, variant)))
        elif name == r.JOINT:
            yield alone(name, baselines.joint(v.lab, v.task, v.seed, sources, v.target))
        elif name == r.NAMED:
            one = baselines.named(v.lab, v.task, v.seed, sources)
            yield Method(name, {1.0: one}, asks=f"{v.task}{NAMED_TASK}")
        elif name == r.AVERAGED:
            yield alone(name, baselines.averaged(v.lab, v.task, v.seed, sources))
        elif name == r.LINEAR:
            yield alone(name, baselines.linear(v.lab, v.task, v.seed, sources))
        elif count := r.shots(name):
            yield alone(name, baselines.few(v.lab, v.task, v.seed, sources, v.target, count))
        elif wrong := wrong_language(v):
            yield weighed(v.study, r.WRONG, instead(v.language_vector(wrong, variant)))


def wrong_language(v: Place) -> str | None:
    """The language whose vector is the wrong one for the target: another target, the farthest."""
    others = [other for other in v.study.tasks[v.task].targets if other != v.target]
    if not others:
        v.lab.notes[f"{v.target} is the only target, so there is no vector of a wrong language."] = None
    return max(others, key=lambda other: far(v.target, other), default=None)


# ---------------------------------------------------------------- the recipes


def adaptation(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """What ``adapt`` tries: Eq. 1, Eq. 2 (Eq. 4 with several sources) and the uncoupled form, over all sources."""
    tasks, away = [v.task_vector(s) for s in sources], [v.language_vector(s) for s in sources]
    task, there = average(tasks), v.language_vector(v.target)
    yield alone(r.BASELINE, task)
    yield weighed(v.study, r.ADD, lambda lam: add(task, there, lam))
    yield weighed(v.study, r.ADD_SUBTRACT, lambda lam: add_subtract_related(tasks, there, away, lam))
    yield weighed(v.study, r.UNCOUPLED, lambda beta: uncoupled(task, there, average(away), beta))
    yield from controls(
        v, sources, task, average(away), lambda rate: average([v.task_vector(s, rate=rate) for s in sources])
    )


def one_source(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Task in one language (section 2.1), Tables 1 and 4: baseline, Eq. 1, Eq. 2, the uncoupled form, the controls."""
    return adaptation(v, sources[:1])


def each_source(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Figure 2: baseline, Eq. 2 and the controls from each source by itself."""
    for source in sources:
        for method in adaptation(v, [source]):
            if method.name not in (r.ADD, r.UNCOUPLED):
                yield replace(method, source=source)


def merged(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Ways to merge beside the sum: what ``adapt`` tries, and Eq. 2 (4) by each of them; not in the paper."""
    for method in adaptation(v, sources):
        yield method
        if method.name == r.ADD_SUBTRACT:
            lora = v.study.vectors.kind == options.LORA
            for name in (name for name in r.MERGED if lora or not MERGINGS[name].grams):
                yield replace(method, name=name, sums={"merging": name})


def many_sources(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Task in many languages (section 2.2), Tables 2 and 3: best single source, multilingual, Eq. 3 over all and over
    the related sources, Eq. 4, and the controls.

    The best source is chosen on the target's validation data; and, marked as such, on its test data, as the paper may
    have done. The control of learning rates is the multilingual vector's.
    """
    single: dict[Weight, Combination] = {source: v.task_vector(source) for source in sources}
    judged = related_sources(v.study, v.target, sources)
    if judged.note:
        v.lab.notes[f"{v.target}: {judged.note}."] = None
    tasks, away = [v.task_vector(s) for s in judged.chosen], [v.language_vector(s) for s in judged.chosen]
    yield Method(r.BEST, single, by="oracle")
    yield Method(r.BEST_ON_TEST, single, by="test")
    yield alone(r.MULTILINGUAL, v.task_vector(*sources))
    yield alone(r.ADD_ALL, average(list(single.values())))
    yield alone(r.ADD_RELATED, average(tasks))
    there = v.language_vector(v.target)
    yield weighed(v.study, r.ADD_SUBTRACT_RELATED, lambda lam: add_subtract_related(tasks, there, away, lam))
    yield from controls(
        v, judged.chosen, average(tasks), average(away), lambda rate: v.task_vector(*sources, rate=rate)
    )


def in_domain(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """Adapters and full fine-tuning compared where labels exist (appendix A.1): Table 6.

    LoRA and Kronecker, trained on the target's own labels or on those of all sources; full fine-tuning on its own,
    unless the study has no learning rate for it; and LoRA's learning rates.
    """
    yield alone(r.LORA, v.task_vector(v.target, adapter=options.LORA))
    yield alone(r.MULTI_LORA, v.task_vector(*sources, adapter=options.LORA))
    yield alone(r.KRONECKER, v.task_vector(v.target, adapter=options.KRONECKER))
    yield alone(r.MULTI_KRONECKER, v.task_vector(*sources, adapter=options.KRONECKER))
    if v.study.full_rate:
        yield alone(r.FULL, v.task_vector(v.target, adapter=options.FULL))
    if r.RATES in v.controls:
        yield Method(
            r.RATES,
            {rate: v.task_vector(v.target, rate=rate, adapter=options.LORA) for rate in v.study.rates},
            by="oracle",
        )


def vectors_alone(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """No method: the vector of the language is asked for, and nothing is tested."""
    v.language_vector(v.target)
    yield from ()
