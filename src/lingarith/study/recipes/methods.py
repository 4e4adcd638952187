"""What the tables are made of: methods, each a row, and the controls that stand in every table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ...algebra import Combination, add_subtract
from ...languages.related import Related
from ..records import RANDOM, RATES, SCALED, WRONG
from ..studies import Study


@dataclass(frozen=True)
class Method:
    """A row of a table for one target: compositions by their weight, of which one is tested.

    ``by`` says what chooses among several: the study's protocol where it is empty, else ``oracle``
    (validation data of the target) or ``test``. ``source`` names the language of the task vector,
    where a table has a method once for each.
    """

    name: str
    tried: Mapping[float, Combination]
    by: str = ""
    source: str = ""


class Vectors(Protocol):
    """The vectors that a recipe can ask for; one that is asked for will be trained."""

    @property
    def study(self) -> Study:
        """The study that the vectors are for."""

    def task(self, *languages: str, rate: float | None = None, adapter: str = "") -> Combination:
        """The task vector of a language; of several, the one that is trained on all their labels together."""

    def language(self, language: str) -> Combination:
        """The language vector."""

    def random(self, language: str) -> Combination:
        """A random vector as large as the language vector."""

    def wrong(self, target: str) -> str | None:
        """The language whose vector is the wrong one for the target: another target, the farthest."""

    def related(self, target: str, sources: Sequence[str]) -> Related:
        """The sources that are related to the target, by the study's rule."""


Recipe = Callable[[Vectors, str, Sequence[str]], Iterable[Method]]
"""The methods for a target, from these sources."""


def alone(name: str, composition: Combination, source: str = "") -> Method:
    """A method without a weight."""
    return Method(name, {1.0: composition}, source=source)


def weighed(study: Study, name: str, at: Callable[[float], Combination], source: str = "") -> Method:
    """A method with a weight."""
    return Method(name, {weight: at(weight) for weight in study.weights_of(name)}, source=source)


def controls(
    v: Vectors,
    target: str,
    task: Combination,
    away: Combination,
    swept: Callable[[float], Combination],
    source: str = "",
) -> Iterator[Method]:
    """The controls that the study names.

    ``task`` and ``away`` are what the arithmetic adds and subtracts, in whose place comes nothing
    (``scaled``), and for the target's language vector that of another language (``wrong``) or a
    random one (``random``). ``swept`` gives the task vector without arithmetic at a learning rate.
    """
    wrong = v.wrong(target)

    def instead(language: Combination) -> Callable[[float], Combination]:
        return lambda lam: add_subtract(task, language, away, lam)

    for name in v.study.controls:
        if name == RATES:
            yield Method(RATES, {rate: swept(rate) for rate in v.study.rates()}, "oracle", source)
        elif name == SCALED:
            yield weighed(v.study, SCALED, lambda lam: lam * task, source)
        elif name == RANDOM:
            yield weighed(v.study, RANDOM, instead(v.random(target)), source)
        elif wrong:
            yield weighed(v.study, WRONG, instead(v.language(wrong)), source)
