"""Successive halving over weights, from coarse to fine: evenly spaced weights on a few examples, then the best two
and their neighbours in the grid on twice as many, then the better half on twice as many again, and so on.

All weights of a round see the same examples. Source: Jamieson and Talwalkar (2016), https://arxiv.org/abs/1502.07943;
that the first round is coarse, since neighbours score alike, and the paired test that may end a race sooner are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..scores.resample import paired_test

PARTS = 10
"""The first round takes this part of the examples, but not less than :data:`LEAST`."""
LEAST = 4
APART = 0.2
"""How far the weights of the first round lie apart, at least."""
SURE = 0.05
"""The p-value below which a weight is taken to be worse than the best, and dropped."""
Scores = Callable[[Sequence[float], int], Sequence[Sequence[float]]]
"""The scores of several weights, each on the first n examples."""


@dataclass(frozen=True)
class Race:
    """What came of it: (weight, mean score, examples seen) of all that were tried, and the weights that were left."""

    points: Sequence[tuple[float, float, int]]
    finalists: Sequence[float]


def race(weights: Sequence[float], neutral: float, examples: int, scores: Scores) -> Race:
    """The race over ``weights`` (rising), until all ``examples`` have been seen, or one weight is left, or two of
    which one is surely worse.

    The ``neutral`` weight (the task vector alone) takes part in all rounds, so that the winner can be held
    against it on the same examples.

    >>> found = race([k / 10 for k in range(11)], 1.0, 64, lambda some, n: [[10 * w * (1 - w)] * n for w in some])
    >>> found.finalists, [(weight, seen) for weight, _, seen in found.points]
    ([0.5, 1.0], [(0.0, 6), (0.2, 6), (0.3, 12), (0.4, 12), (0.5, 12), (0.6, 12), (0.7, 12), (0.8, 6), (1.0, 12)])
    """
    size = min(examples, max(LEAST, examples // PARTS))
    left = _coarse(weights, neutral) if size < examples else list(weights)
    seen = dict(zip(left, scores(left, size), strict=True))
    if size < examples:
        left = _neighbours(_ranked(left, neutral, seen)[:2], weights, neutral)
    while size < examples and len(left) > 1:
        size = min(examples, 2 * size)
        seen |= zip(left, scores(left, size), strict=True)
        left = _better_half(left, neutral, seen) if len(left) > 2 else left
        if len(left) == 2 and _decided(*(seen[weight] for weight in left)):
            break
    points = [(weight, sum(seen[weight]) / len(seen[weight]), len(seen[weight])) for weight in sorted(seen)]
    return Race(points, left)


def _coarse(weights: Sequence[float], neutral: float) -> list[float]:
    """Weights that lie apart, the lowest and the neutral one among them."""
    chosen = [weights[0]]
    for weight in weights:
        if weight - chosen[-1] > APART - 1e-9:
            chosen.append(weight)
    return sorted({*chosen, neutral})


def _ranked(left: Sequence[float], neutral: float, seen: dict[float, Sequence[float]]) -> list[float]:
    """From the best to the worst; of equals the one nearest the neutral weight comes first."""
    return sorted(left, key=lambda weight: (-sum(seen[weight]), abs(weight - neutral)))


def _neighbours(best: Sequence[float], weights: Sequence[float], neutral: float) -> list[float]:
    """The best weights with those next to them in the grid, and the neutral one."""
    places = [weights.index(weight) for weight in best]
    return sorted({neutral, *(w for place in places for w in weights[max(0, place - 1) : place + 2])})


def _better_half(left: Sequence[float], neutral: float, seen: dict[float, Sequence[float]]) -> list[float]:
    """The better half but for those that are surely worse than the best, and the neutral weight; in their order."""
    best, *others = _ranked(left, neutral, seen)[: (len(left) + 1) // 2]
    kept = {best, neutral} | {weight for weight in others if not _decided(seen[best], seen[weight])}
    return [weight for weight in left if weight in kept]


def _decided(one: Sequence[float], other: Sequence[float]) -> bool:
    return paired_test(one, other) < SURE
