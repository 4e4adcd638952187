"""Successive halving over weights: all are tried on a few examples, the better half on twice as many, and so on.

All weights see the same examples. Source: Jamieson and Talwalkar (2016), https://arxiv.org/abs/1502.07943;
the paired test that may end a race sooner is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..scores.resample import paired_test

PARTS = 16
"""The first round takes this part of the examples, but not less than :data:`LEAST`."""
LEAST = 4
SURE = 0.05
"""The p-value below which a weight is taken to be worse than the best, and dropped."""


Scores = Callable[[Sequence[float], int], Sequence[Sequence[float]]]
"""The scores of several weights, each on the first n examples."""


@dataclass(frozen=True)
class Race:
    """What came of it: (weight, mean score, examples seen) in the order of the weights, and those that were left."""

    points: Sequence[tuple[float, float, int]]
    finalists: Sequence[float]


def race(weights: Sequence[float], neutral: float, examples: int, scores: Scores) -> Race:
    """Halve ``weights`` until all ``examples`` have been seen, or one is left or surely better than the neutral one.

    The ``neutral`` weight (the task vector
    alone) is never dropped, so that the winner can be held against it on the same examples.

    >>> found = race([0.0, 0.5, 1.0], 1.0, 64, lambda weights, n: [[10 * w * (1 - w)] * n for w in weights])
    >>> found.finalists, found.points[0]
    ([0.5, 1.0], (0.0, 0.0, 4))
    """
    left, size = list(weights), min(examples, max(LEAST, examples // PARTS))
    seen: dict[float, Sequence[float]] = {}
    while True:
        seen |= zip(left, scores(left, size), strict=True)
        left = _better_half(left, neutral, seen) if len(left) > 2 else left
        if size == examples or len(left) == 1 or (len(left) == 2 and _decided(*(seen[weight] for weight in left))):
            break
        size = min(examples, 2 * size)
    points = [(weight, sum(seen[weight]) / len(seen[weight]), len(seen[weight])) for weight in weights]
    return Race(points, left)


def _better_half(left: Sequence[float], neutral: float, seen: dict[float, Sequence[float]]) -> list[float]:
    """The better half but for those that are surely worse than the best, and the neutral weight; in their order."""
    order = sorted(left, key=lambda weight: (-sum(seen[weight]), abs(weight - neutral)))
    best, *others = order[: (len(order) + 1) // 2]
    kept = {best, neutral} | {weight for weight in others if not _decided(seen[best], seen[weight])}
    return [weight for weight in left if weight in kept]


def _decided(one: Sequence[float], other: Sequence[float]) -> bool:
    return paired_test(one, other) < SURE
