"""The weights of the equations, λ and β: what protocols and searches there are, which weights are tried, which is best.

============== ============================================================================
``oracle``     the target's own labelled validation set: target labels are used, so the result
               is not zero-shot (most likely what the paper's "held-out validation data" means)
``sources``    each labelled source in turn plays the unseen target; the best on average
``unlabelled`` no label: how well the composition predicts plain text of the target, where it
               finds what the task vector alone writes about as likely as that does
============== ============================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from .records import ADD, ADD_SUBTRACT, RATES, UNCOUPLED, Choice, Weight

PROTOCOLS = ORACLE, SOURCES, UNLABELLED = ("oracle", "sources", "unlabelled")
NOT_CHOSEN = ""
"""The protocol where there are no grounds: no weight is chosen."""
ON_TEST = "test"
"""The protocol of what is chosen on the test split, and marked so."""
SEARCHES = GRID, HALVING, LOSS = ("grid", "halving", "loss")
"""Every weight by what it writes for all validation examples, a race in which the worse half drops out
(:mod:`.halving`), or every weight by how likely it finds the references, for which nothing is written."""
ALONE = 1.0
NEUTRAL = {ADD: ALONE, ADD_SUBTRACT: ALONE, UNCOUPLED: 0.0}
"""The weight at which a method is the task vector alone; λ = 1 for others that have a λ."""
TENTHS = tuple(k / 10 for k in range(11))
NEAR_ONE = (0.92, 0.94, 0.96, 0.98)
"""In ``factors`` a coefficient c scales a vector's update by c²: most happens near λ = 1."""

Curve = list[tuple[Weight, float]]


def neutral(method: str) -> float:
    """The weight at which a method is the task vector alone."""
    return NEUTRAL.get(method, ALONE)


def grid(method: str, space: str) -> tuple[float, ...]:
    """The weights that are tried: λ or β, both ends of [0, 1] included.

    >>> grid("add", "delta")[-3:], grid("add", "factors")[-3:]
    ((0.8, 0.9, 1.0), (0.96, 0.98, 1.0))
    """
    fine = space == "factors" and method != UNCOUPLED
    return tuple(sorted({*TENTHS, *(NEAR_ONE if fine else ())}))


def best(method: str, curve: Sequence[tuple[Weight, float]]) -> tuple[Weight, float]:
    """The (weight, value) with the highest value; among equals, the one nearest the task vector alone.

    Among equal learning rates it is the lowest, among equal sources the first.

    >>> best("add", [(0.0, 1.0), (0.5, 3.0), (1.0, 3.0)])
    (1.0, 3.0)
    >>> best("best", [("en", 1.0), ("ru", 3.0), ("sw", 3.0)])
    ('ru', 3.0)
    """
    start = 0.0 if method == RATES else neutral(method)

    def rank(point: tuple[Weight, float]) -> tuple[float, float]:
        weight, value = point
        return value, 0.0 if isinstance(weight, str) else -abs(weight - start)

    return max(curve, key=rank)


def hand_over(choices: Sequence[Choice]) -> Choice | None:
    """The choice whose method gains most over the task vector alone; None, for the latter, if none gains.

    All curves contain it (λ = 1, β = 0), so this never looks at a test split.
    """

    def gain(choice: Choice) -> float:
        return choice.value - dict(choice.curve)[neutral(choice.method)]

    top = max(choices, key=gain, default=None)
    return top if top and gain(top) > 0 and top.weight != neutral(top.method) else None
