"""The paper's tables and figures as recipes: which methods stand in each, and what they are held against.

A recipe asks for vectors by what they are (:class:`Place`) and yields a :class:`Method` for each row: compositions by
their weight, of which one is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..algebra import Combination, add, add_subtract, add_subtract_related, average, uncoupled
from ..languages.codes import language
from . import baselines, options
from . import records as r
from .lab import Lab
from .neighbours import far, related_sources
from .records import Weight
from .study import ADAPT, NAMED_TASK, Study


@dataclass(frozen=True)
class Method:
    """A row of a table for one target: compositions by their weight, of which one is tested.

    ``by`` says what chooses among several: the study's protocol where it is empty, else ``oracle`` (validation data of
    the target) or ``test``. ``source`` names the language of the task vector, where a table has a method once for each;
    ``asks`` the task under another prompt, if outputs are written for that. ``merging`` is how its compositions are
    merged, if not as the study says.
    """

    name: str
    tried: Mapping[Weight, Combination]
    by: str = ""
    source: str = ""
    asks: str = ""
    merging: str = ""


@dataclass(frozen=True)
class Place:
    """One of the parts that a study consists of: a task for a target, by vectors of one seed.

    A vector that a recipe asks for here will be trained.
    """

    lab: Lab = field(repr=False, compare=False)
    task: str
    target: str
    seed: int

    def task_vector(self, *languages: str, rate: float | None = None, adapter: str = "") -> Combination:
        """Of a language; of several, the one that is trained on all their labels together."""
        return self.lab.task(self.task, self.seed, *languages, rate=rate, adapter=adapter)

    def language_vector(self, code: str) -> Combination:
        """Of the target, or of another language."""
        return self.lab.language(self.seed, code)

    @property
    def study(self) -> Study:
        return self.lab.study

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, or, where the table narrows them, those that the study's rule calls related to the target."""
        languages, lab = self.study.languages, self.lab
        if not (languages.related and TABLES[self.study.table].narrows):
            return languages.sources
        judged = related_sources(self.study, self.target, languages.sources)
        near = tuple(source for source in languages.sources if language(source).code in judged.chosen)
        taken = judged.note or ", ".join(near)
        among = ", ".join(languages.sources)
        lab.notes[f"{self.target}: sources among {among} by the rule {judged.rule}: {taken}"] = None
        return near

    @property
    def methods(self) -> list[Method]:
        return list(TABLES[self.study.table].methods(self, self.sources))


def places(lab: Lab) -> list[Place]:
    """The parts of a study, in the order of its records."""
    return [
        Place(lab, task, target, seed)
        for task, labels in lab.study.tasks.items()
        for target in labels.targets
        for seed in lab.study.vectors.seeds
    ]


def rows(lab: Lab) -> Iterator[tuple[Place, Method]]:
    """Every method of every part of a study, in the order of its records."""
    for place in places(lab):
        for method in place.methods:
            yield place, method


Recipe = Callable[[Place, Sequence[str]], Iterable[Method]]
"""The methods of a place, from these sources."""


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
    controls: tuple[str, ...] = r.CONTROLS
    own_labels: bool = False
    tests: bool = True
    narrows: bool = False
    """Whether a study's rule for related languages holds for all methods, and not for those alone that are about it."""


def alone(name: str, composition: Combination) -> Method:
    """A method without a weight."""
    return Method(name, {1.0: composition})


def weighed(study: Study, name: str, at: Callable[[float], Combination]) -> Method:
    """A method with a weight."""
    return Method(name, {weight: at(weight) for weight in study.weights_of(name)})


def controls(
    v: Place, sources: Sequence[str], task: Combination, away: Combination, swept: Callable[[float], Combination]
) -> Iterator[Method]:
    """The controls of the study, and the baselines that it names among them (:mod:`.baselines`).

    ``task`` and ``away`` are what the arithmetic adds and subtracts, in whose place comes nothing (``scaled``), and
    for the target's language vector that of another language (``wrong``) or a random one (``random``). ``swept`` gives
    the task vector without arithmetic at a learning rate.
    """

    def instead(language: Combination) -> Callable[[float], Combination]:
        return lambda lam: add_subtract(task, language, away, lam)

    for name in controls_of(v.study):
        if name == r.RATES:
            yield Method(r.RATES, {rate: swept(rate) for rate in v.study.rates}, "oracle")
        elif name == r.SCALED:
            yield weighed(v.study, r.SCALED, lambda lam: lam * task)
        elif name == r.RANDOM:
            yield weighed(v.study, r.RANDOM, instead(v.lab.random(v.seed, v.target)))
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
            yield weighed(v.study, r.WRONG, instead(v.language_vector(wrong)))


def wrong_language(v: Place) -> str | None:
    """The language whose vector is the wrong one for the target: another target, the farthest."""
    others = [other for other in v.study.tasks[v.task].targets if other != v.target]
    if not others:
        v.lab.notes[f"{v.target} is the only target, so there is no vector of a wrong language."] = None
    return max(others, key=lambda other: far(v.target, other), default=None)


def controls_of(study: Study) -> tuple[str, ...]:
    """The controls of a study: those that it names, else those of its table."""
    return TABLES[study.table].controls if study.choice.controls is None else study.choice.controls


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
            yield from (replace(method, name=name, merging=name) for name in r.MERGED)


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
    if r.RATES in controls_of(v.study):
        yield Method(
            r.RATES,
            {rate: v.task_vector(v.target, rate=rate, adapter=options.LORA) for rate in v.study.rates},
            by="oracle",
        )


def vectors_alone(v: Place, sources: Sequence[str]) -> Iterator[Method]:
    """No method: the vector of the language is asked for, and nothing is tested."""
    v.language_vector(v.target)
    yield from ()


ONE_SOURCE = (r.ADD, r.ADD_SUBTRACT, r.UNCOUPLED)
MANY_SOURCES = (r.ADD_ALL, r.ADD_RELATED, r.ADD_SUBTRACT_RELATED)
TABLES: Mapping[str, Table] = {
    ADAPT: Table("Adaptation", adaptation, r.BASELINE, ONE_SOURCE, controls=(), tests=False, narrows=True),
    "table1": Table("Labels in one language", one_source, r.BASELINE, ONE_SOURCE),
    "table2": Table("Labels in many languages", many_sources, r.BEST, MANY_SOURCES, (r.MULTILINGUAL,)),
    "table3": Table(
        "Labels in many languages, Kronecker adapters", many_sources, r.BEST, MANY_SOURCES, (r.MULTILINGUAL,)
    ),
    "table4": Table("Answers and summaries", one_source, r.BASELINE, ONE_SOURCE),
    "table6": Table(
        "Adapters on labels of the language itself",
        in_domain,
        r.LORA,
        (r.MULTI_LORA, r.KRONECKER, r.MULTI_KRONECKER, r.FULL),
        own_labels=True,
    ),
    "figure2": Table("Every source with every target", each_source, r.BASELINE, (r.ADD_SUBTRACT,)),
    "methods": Table(
        "Ways to merge beside the sum",
        merged,
        r.BASELINE,
        (r.ADD_SUBTRACT, *r.MERGED),
        controls=(r.SCALED, r.WRONG, r.RANDOM),
    ),
    "vectors": Table("Language vectors", vectors_alone, "", (), own_labels=True),
}
