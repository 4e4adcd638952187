"""The paper's tables and figures as recipes: which methods stand in each, and what they are held against.

A recipe asks for vectors by what they are (:class:`Ask`) and yields a :class:`Method` for each row: compositions by
their weight, of which one is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..algebra import Combination, add, add_subtract, add_subtract_related, average, uncoupled
from ..languages.codes import language
from ..languages.related import Related
from .lab import Lab, far
from .options import FULL as FULL_ADAPTER
from .options import KRONECKER as KRONECKER_ADAPTER
from .options import LORA as LORA_ADAPTER
from .records import (
    ADD,
    ADD_ALL,
    ADD_RELATED,
    ADD_SUBTRACT,
    ADD_SUBTRACT_RELATED,
    BASELINE,
    BEST,
    BEST_ON_TEST,
    CONTROLS,
    FULL,
    KRONECKER,
    LORA,
    MULTI_KRONECKER,
    MULTI_LORA,
    MULTILINGUAL,
    RANDOM,
    RATES,
    SCALED,
    UNCOUPLED,
    WRONG,
    Weight,
)
from .study import ADAPT, Study


@dataclass(frozen=True)
class Method:
    """A row of a table for one target: compositions by their weight, of which one is tested.

    ``by`` says what chooses among several: the study's protocol where it is empty, else ``oracle`` (validation data of
    the target) or ``test``. ``source`` names the language of the task vector, where a table has a method once for each.
    """

    name: str
    tried: Mapping[Weight, Combination]
    by: str = ""
    source: str = ""


@dataclass(frozen=True)
class Ask:
    """The vectors of a task and a seed, for recipes; one that is asked for will be trained."""

    lab: Lab
    kind: str
    seed: int

    @property
    def study(self) -> Study:
        """The study that the vectors are for."""
        return self.lab.study

    def task(self, *languages: str, rate: float | None = None, adapter: str = "") -> Combination:
        """The task vector of a language; of several, the one that is trained on all their labels together."""
        return self.lab.task(self.kind, self.seed, *languages, rate=rate, adapter=adapter)

    def language(self, code: str) -> Combination:
        """The language vector."""
        return self.lab.language(self.seed, code)

    def random(self, code: str) -> Combination:
        """A random vector as large as the language vector."""
        return self.lab.random(self.seed, code)

    def wrong(self, target: str) -> str | None:
        """The language whose vector is the wrong one for the target: another target, the farthest."""
        others = [other for other in self.study.tasks[self.kind].targets if other != target]
        if not others:
            self.lab.notes[f"{target} is the only target, so there is no vector of a wrong language."] = None
        return max(others, key=lambda other: far(target, other), default=None)

    def related(self, target: str, sources: Sequence[str]) -> Related:
        """The sources that are related to the target, by the study's rule."""
        judged = self.lab.related(target, sources)
        if judged.note:
            self.lab.notes[f"{target}: {judged.note}."] = None
        return judged


Recipe = Callable[[Ask, str, Sequence[str]], Iterable[Method]]
"""The methods for a target, from these sources."""


@dataclass(frozen=True)
class Table:
    """A table that is made from outputs.

    ``reference`` is the method that all others are compared with, ``tried`` those that the verdict speaks of,
    ``baselines`` the others that need no arithmetic, ``controls`` those that stand in it unless the study names its
    own. ``own_labels`` says that sources may be targets, ``tests`` that every target must have test labels. Where
    nothing is tested ``reference`` is empty.
    """

    title: str
    methods: Recipe
    reference: str
    tried: tuple[str, ...]
    baselines: tuple[str, ...] = ()
    controls: tuple[str, ...] = CONTROLS
    own_labels: bool = False
    tests: bool = True
    narrows: bool = False
    """Whether a study's rule for related languages holds for all methods, and not for those alone that are about it."""


def alone(name: str, composition: Combination, source: str = "") -> Method:
    """A method without a weight."""
    return Method(name, {1.0: composition}, source=source)


def weighed(study: Study, name: str, at: Callable[[float], Combination], source: str = "") -> Method:
    """A method with a weight."""
    return Method(name, {weight: at(weight) for weight in study.weights_of(name)}, source=source)


def controls(
    v: Ask,
    target: str,
    task: Combination,
    away: Combination,
    swept: Callable[[float], Combination],
    source: str = "",
) -> Iterator[Method]:
    """The controls of the study.

    ``task`` and ``away`` are what the arithmetic adds and subtracts, in whose place comes nothing (``scaled``), and
    for the target's language vector that of another language (``wrong``) or a random one (``random``). ``swept`` gives
    the task vector without arithmetic at a learning rate.
    """

    def instead(language: Combination) -> Callable[[float], Combination]:
        return lambda lam: add_subtract(task, language, away, lam)

    for name in controls_of(v.study):
        if name == RATES:
            yield Method(RATES, {rate: swept(rate) for rate in v.study.rates}, "oracle", source)
        elif name == SCALED:
            yield weighed(v.study, SCALED, lambda lam: lam * task, source)
        elif name == RANDOM:
            yield weighed(v.study, RANDOM, instead(v.random(target)), source)
        elif wrong := v.wrong(target):
            yield weighed(v.study, WRONG, instead(v.language(wrong)), source)


def controls_of(study: Study) -> tuple[str, ...]:
    """The controls of a study: those that it names, else those of its table."""
    return TABLES[study.table].controls if study.choice.controls is None else study.choice.controls


# ---------------------------------------------------------------- the recipes


def adaptation(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """What ``adapt`` tries: Eq. 1, Eq. 2 (Eq. 4 with several sources) and the uncoupled form, over all sources."""
    tasks, away, there = [v.task(s) for s in sources], [v.language(s) for s in sources], v.language(target)
    task = average(tasks)
    yield alone(BASELINE, task)
    yield weighed(v.study, ADD, lambda lam: add(task, there, lam))
    yield weighed(v.study, ADD_SUBTRACT, lambda lam: add_subtract_related(tasks, there, away, lam))
    yield weighed(v.study, UNCOUPLED, lambda beta: uncoupled(task, there, average(away), beta))
    yield from controls(v, target, task, average(away), lambda rate: average([v.task(s, rate=rate) for s in sources]))


def one_source(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Task in one language (section 2.1), Tables 1 and 4: baseline, Eq. 1, Eq. 2, the uncoupled form, the controls."""
    return adaptation(v, target, sources[:1])


def each_source(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Figure 2: baseline, Eq. 2 and the controls from each source by itself."""
    for source in sources:
        yield from _from(v, target, source)


def _from(v: Ask, target: str, source: str) -> Iterator[Method]:
    task, there, away = v.task(source), v.language(target), v.language(source)
    yield alone(BASELINE, task, source)
    yield weighed(v.study, ADD_SUBTRACT, lambda lam: add_subtract(task, there, away, lam), source)
    yield from controls(v, target, task, away, lambda rate: v.task(source, rate=rate), source)


def many_sources(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Task in many languages (section 2.2), Tables 2 and 3: best single source, multilingual, Eq. 3 over all and over
    the related sources, Eq. 4, and the controls.

    The best source is chosen on the target's validation data; and, marked as such, on its test data, as the paper may
    have done. The control of learning rates is the multilingual vector's.
    """
    single: dict[Weight, Combination] = {source: v.task(source) for source in sources}
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


FORMS = {
    LORA: (LORA_ADAPTER, False),
    MULTI_LORA: (LORA_ADAPTER, True),
    KRONECKER: (KRONECKER_ADAPTER, False),
    MULTI_KRONECKER: (KRONECKER_ADAPTER, True),
}
"""The adapter of each row of Table 6, and whether it is trained on all sources together."""


def in_domain(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """Adapters and full fine-tuning compared where labels exist (appendix A.1): Table 6.

    LoRA and Kronecker, trained on the target's own labels or on those of all sources; full fine-tuning on its own,
    unless the study has no learning rate for it; and LoRA's learning rates.
    """
    for name, (adapter, together) in FORMS.items():
        yield alone(name, v.task(*(sources if together else [target]), adapter=adapter))
    if v.study.full_rate:
        yield alone(FULL, v.task(target, adapter=FULL_ADAPTER))
    if RATES in controls_of(v.study):
        swept: dict[Weight, Combination] = {
            rate: v.task(target, rate=rate, adapter=LORA_ADAPTER) for rate in v.study.rates
        }
        yield Method(RATES, swept, by="oracle")


def vectors_alone(v: Ask, target: str, sources: Sequence[str]) -> Iterator[Method]:
    """No method: the vector of the language is asked for, and nothing is tested."""
    v.language(target)
    yield from ()


ONE_SOURCE = (ADD, ADD_SUBTRACT, UNCOUPLED)
MANY_SOURCES = (ADD_ALL, ADD_RELATED, ADD_SUBTRACT_RELATED)
TABLES: Mapping[str, Table] = {
    ADAPT: Table("Adaptation", adaptation, BASELINE, ONE_SOURCE, controls=(), tests=False, narrows=True),
    "table1": Table("Labels in one language", one_source, BASELINE, ONE_SOURCE),
    "table2": Table("Labels in many languages", many_sources, BEST, MANY_SOURCES, (MULTILINGUAL,)),
    "table3": Table("Labels in many languages, Kronecker adapters", many_sources, BEST, MANY_SOURCES, (MULTILINGUAL,)),
    "table4": Table("Answers and summaries", one_source, BASELINE, ONE_SOURCE),
    "table6": Table(
        "Adapters on labels of the language itself",
        in_domain,
        LORA,
        (MULTI_LORA, KRONECKER, MULTI_KRONECKER, FULL),
        own_labels=True,
    ),
    "figure2": Table("Every source with every target", each_source, BASELINE, (ADD_SUBTRACT,)),
    "vectors": Table("Language vectors", vectors_alone, "", (), own_labels=True),
}


def sources_of(lab: Lab, target: str) -> tuple[str, ...]:
    """The sources of a target: all, or, where the table narrows them, those that the study's rule calls related."""
    sources = lab.study.languages.sources
    if not (lab.study.languages.related and TABLES[lab.study.table].narrows):
        return sources
    judged = lab.related(target, sources)
    near = tuple(source for source in sources if language(source).code in judged.chosen)
    taken = judged.note or ", ".join(near)
    lab.notes[f"{target}: sources among {', '.join(sources)} by the rule {judged.rule}: {taken}"] = None
    return near
