"""Choosing the weight of an equation, λ or β, on stated grounds and never on a test split.

============== ============================================================================
``oracle``     the target's own labelled validation set: target labels are used, so the result
               is not zero-shot (most likely what the paper's "held-out validation data" means)
``sources``    each labelled source in turn plays the unseen target; the best on average
``unlabelled`` no label: how often the output is in the target language, and how well the
               composition predicts plain text of the target
============== ============================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..algebra import Combination, add, add_subtract_related, average, uncoupled
from ..errors import LingarithError, did_you_mean
from ..model.batches import PrefixItems
from ..model.train import TrainOptions, mean_loss
from ..scores.output import shares
from ..text.tasks.labelled import Labelled
from ..vectors.realise import Space
from .evaluate import Bench, Outcome, mean
from .ingredients import Progress
from .records import ADD, ADD_SUBTRACT, BASELINE, BEST, BEST_ON_TEST, EQUATIONS, RATES, UNCOUPLED, Choice

PROTOCOLS = ("oracle", "sources", "unlabelled")
ALONE = 1.0
NEUTRAL = {ADD: ALONE, ADD_SUBTRACT: ALONE, UNCOUPLED: 0.0, RATES: 0.0, BEST: 0.0, BEST_ON_TEST: 0.0}
"""The weight at which an equation is the task vector alone; λ = 1 for others that have a λ.

Where the weight is a learning rate or the place of a source, the lowest is taken among equals.
"""
TENTHS = tuple(k / 10 for k in range(11))
NEAR_ONE = (0.92, 0.94, 0.96, 0.98)
"""In ``factors`` a coefficient c scales a vector's update by c²: most happens near λ = 1."""


def grid(equation: str, space: str) -> tuple[float, ...]:
    """The weights that are tried: λ or β, both ends of [0, 1] included.

    >>> grid("add", "delta")[-3:], grid("add", "factors")[-3:]
    ((0.8, 0.9, 1.0), (0.96, 0.98, 1.0))
    """
    fine = space == "factors" and equation != UNCOUPLED
    return tuple(sorted({*TENTHS, *(NEAR_ONE if fine else ())}))


@dataclass(frozen=True)
class Terms:
    """The names that the equations are about: task vectors and language vectors of the sources, in
    the same order, and the language vector of the target."""

    tasks: tuple[str, ...]
    sources: tuple[str, ...]
    target: str

    def at(self, equation: str, weight: float | None) -> Combination:
        """The composition of an equation at a weight. With several sources Eq. 1 and 2 take averages (Eq. 4).

        >>> str(Terms(("xlsum[en]",), ("mc4[en]",), "mc4[pt]").at("add_subtract", 0.6))
        '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])'
        """
        task, source = average(self.tasks), average(self.sources)
        if equation == BASELINE or weight is None:
            return task
        if equation == ADD:
            return add(task, self.target, weight)
        if equation == ADD_SUBTRACT:
            return add_subtract_related(self.tasks, self.target, self.sources, weight)
        if equation == UNCOUPLED:
            return uncoupled(task, self.target, source, weight)
        raise LingarithError(f"no equation named {equation!r}{did_you_mean(equation, EQUATIONS)}")


Curve = list[tuple[float, float]]


def best(equation: str, curve: Curve) -> tuple[float, float]:
    """The (weight, value) with the highest value; among equals, the one nearest the task vector alone.

    >>> best("add", [(0.0, 1.0), (0.5, 3.0), (1.0, 3.0)])
    (1.0, 3.0)
    """
    return max(curve, key=lambda point: (point[1], -abs(point[0] - NEUTRAL.get(equation, ALONE))))


def oracle(
    bench: Bench,
    terms: Terms,
    equation: str,
    data: Labelled,
    progress: Progress | None = None,
    keep: Callable[[float, list[Outcome]], None] | None = None,
) -> Curve:
    """Mean ROUGE-2 (0..100) on labelled validation examples at each weight of the grid.

    ``keep`` hears of each weight's outcomes as they come. Raises :class:`LingarithError` for a test split.
    """
    if data.split == "test":
        raise LingarithError("a weight is never chosen on a test split; give validation data")
    curve = []
    for weight, outcomes in _tried(bench, terms, equation, data, f"choosing λ on {data.language}", progress):
        if keep:
            keep(weight, outcomes)
        curve.append((weight, round(mean(outcomes), 4)))
    return curve


def sources(
    bench: Bench,
    terms: Terms,
    languages: Sequence[str],
    equation: str,
    data: Sequence[Labelled],
    progress: Progress | None = None,
) -> Curve:
    """The mean of :func:`oracle` over the source languages, each played as target by the others' vectors.

    ``data`` holds the sources' validation examples in the order of ``languages`` and of ``terms``.
    Raises :class:`LingarithError` with fewer than two sources.
    """
    if len(languages) < 2:
        raise LingarithError(
            "protocol 'sources' lets each labelled source play the target, so it needs two or more; "
            "add a source or choose 'oracle' or 'unlabelled'"
        )
    curves = []
    for k, held_out in enumerate(data):
        others = [j for j in range(len(languages)) if j != k]
        played = Terms(tuple(terms.tasks[j] for j in others), tuple(terms.sources[j] for j in others), terms.sources[k])
        curves.append(oracle(bench, played, equation, held_out, progress))
    return [(points[0][0], round(sum(v for _, v in points) / len(points), 4)) for points in zip(*curves, strict=True)]


def unlabelled(
    bench: Bench,
    terms: Terms,
    equation: str,
    articles: Labelled,
    text: PrefixItems,
    options: TrainOptions,
    progress: Progress | None = None,
) -> Curve:
    """Evidence at each weight without any label, 0..100.

    It is the share of outputs for ``articles`` (of the target, without references) that are in the
    target language, times the geometric mean probability of a token of plain ``text``.
    """
    label = f"choosing λ without labels on {articles.language}"
    return [
        (weight, evidence(bench, terms.at(equation, weight), outcomes, text, options))
        for weight, outcomes in _tried(bench, terms, equation, articles, label, progress)
    ]


def evidence(
    bench: Bench, expression: Combination, outcomes: Sequence[Outcome], text: PrefixItems, options: TrainOptions
) -> float:
    """The evidence of :func:`unlabelled` for one composition, whose ``outcomes`` are given."""
    share = shares([outcome.kind for outcome in outcomes])["target"]
    with bench.backbone.using(bench.update(expression)):
        loss = mean_loss(bench.backbone, text, options, limit=64)
    return round(100 * share * math.exp(-loss), 4)


def _tried(
    bench: Bench, terms: Terms, equation: str, data: Labelled, label: str, progress: Progress | None
) -> Iterator[tuple[float, list[Outcome]]]:
    """Each weight of the grid with what its composition writes."""
    weights, size = grid(equation, Space.of(bench.space).name), len(data.examples)
    for place, weight in enumerate(weights):

        def watch(done: int, before: int = place * size) -> None:
            if progress:
                progress(f"{label}, {equation}", before + done, len(weights) * size)

        yield weight, bench.outcomes(terms.at(equation, weight), data, watch)


def choice(target: str, terms: Terms, protocol: str, equation: str, curve: Curve) -> Choice:
    """The choice that a protocol's curve of an equation amounts to."""
    weight, value = best(equation, curve)
    return Choice(target, equation, protocol, weight, value, str(terms.at(equation, weight)), curve)


def hand_over(made: Sequence[Choice]) -> str:
    """The equation whose choice has the highest value; the task vector alone if none is above it.

    All curves contain the task vector alone (λ = 1, β = 0), so this never looks at a test split.
    """
    first = made[0]
    alone = dict(first.curve)[NEUTRAL[first.equation]]
    top = max(made, key=lambda choice: choice.value)
    return top.equation if top.value > alone and top.weight != NEUTRAL[top.equation] else BASELINE
