"""A part of a study, what a recipe asks there, and the rows that it yields.

A recipe asks for vectors by what they are (:class:`Place`) and yields a :class:`Method` for each row: compositions by
their weight, of which one is tested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..algebra import Combination
from ..languages.codes import language
from . import records as r
from .lab import Lab
from .neighbours import related_sources
from .records import Weight
from .study import ADAPT, Study


@dataclass(frozen=True)
class Method:
    """A row of a table for one target: compositions by their weight, of which one is tested.

    ``by`` says what chooses among several: the study's protocol where it is empty, else ``oracle`` (validation data of
    the target) or ``test``. ``source`` names the language of the task vector, where a table has a method once for each;
    ``asks`` the task under another prompt, if outputs are written for that. ``sums`` are keys of sums (space,
    rank_out, merging …) that differ from the study's.
    """

    name: str
    tried: Mapping[Weight, Combination]
    by: str = ""
    source: str = ""
    asks: str = ""
    sums: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """One of the parts that a study consists of: a task for a target, by vectors of one seed.

    A vector that a recipe asks for here will be trained.
    """

    lab: Lab = field(repr=False, compare=False)
    task: str
    target: str
    seed: int
    table: Table = field(repr=False, compare=False)

    def task_vector(
        self, *languages: str, rate: float | None = None, adapter: str = "", variant: str = "", over: str = ""
    ) -> Combination:
        """Of a language; of several, the one that is trained on all their labels together; ``over`` another vector."""
        return self.lab.task(self.task, self.seed, *languages, rate=rate, adapter=adapter, variant=variant, over=over)

    def language_vector(self, code: str, variant: str = "", over: str = "") -> Combination:
        """Of the target, or of another language; trained on top of the vector named ``over``, if given."""
        return self.lab.language(self.seed, code, variant, over)

    @property
    def study(self) -> Study:
        return self.lab.study

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources, or, where the table narrows them, those that the study's rule calls related to the target."""
        languages, lab = self.study.languages, self.lab
        if not (languages.related and self.study.table == ADAPT):
            return languages.sources
        judged = related_sources(self.study, self.target, languages.sources)
        near = tuple(source for source in languages.sources if language(source).code in judged.chosen)
        taken = judged.note or ", ".join(near)
        among = ", ".join(languages.sources)
        lab.notes[f"{self.target}: sources among {among} by the rule {judged.rule}: {taken}"] = None
        return near

    @property
    def methods(self) -> list[Method]:
        return list(self.table.methods(self, self.sources))

    @property
    def controls(self) -> tuple[str, ...]:
        """The controls of the study: those that it names, else those of its table."""
        named = self.study.choice.controls
        return self.table.controls if named is None else named


Recipe = Callable[[Place, Sequence[str]], Iterable[Method]]
"""The methods of a place, from these sources."""


@dataclass(frozen=True)
class Table:
    """A table that is made from outputs.

    ``reference`` is the method that all others are compared with, ``tried`` those that the verdict speaks of,
    ``baselines`` the others that need no arithmetic, ``controls`` those that stand in it unless the study names its
    own. ``own_labels`` says that sources may be targets, ``own_sums`` that rows say themselves how they are summed,
    ``tests`` that every target must have test labels. Where nothing is tested ``reference`` is empty.
    """

    title: str
    methods: Recipe
    reference: str
    tried: tuple[str, ...]
    baselines: tuple[str, ...] = ()
    controls: tuple[str, ...] = r.CONTROLS
    own_labels: bool = False
    own_sums: bool = False
    tests: bool = True
    measures: Callable[[Lab, Iterable[tuple[Place, Method]]], dict[str, dict[str, float]]] | None = None
    """What the run says beside its records, of its places and methods: measure → what is measured → value."""


def alone(name: str, composition: Combination) -> Method:
    """A method without a weight."""
    return Method(name, {1.0: composition})


def weighed(study: Study, name: str, at: Callable[[float], Combination]) -> Method:
    """A method with a weight."""
    return Method(name, {weight: at(weight) for weight in study.weights_of(name)})
