"""How sure is a mean, and a difference: bootstrap, approximate randomisation, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import LingarithError

Values = Sequence[float] | NDArray[np.floating]
Groups = Sequence[NDArray[np.float64]]
"""Scores of several groups that count alike, such as languages: each (seeds, examples), all with the same seeds."""

EXACT_UP_TO = 12  # examples: 2^12 sign patterns are fewer than the usual number of draws
LARGE = 4_000
"""Examples from which on sums of draws are taken from their normal limit, where :func:`_is_normal` allows it."""
NEAR = 0.05
_BLOCK = 2_000_000  # numbers drawn at once, which bounds the memory


def bootstrap_interval(values: Values, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """The percentile bootstrap interval of the mean of ``values`` (N,), in their unit: (low, high).

    Source: Efron and Tibshirani (1993), chapter 13. Raises LingarithError for no value, for NaN or
    infinity, for a level outside (0, 1) and for less than one draw.
    """
    numbers = _numbers(values)
    if not 0 < level < 1:
        raise LingarithError(f"the level of an interval is {level}; it must lie between 0 and 1, such as 0.95")
    rng = np.random.default_rng(seed)
    size = len(numbers)
    means = [numbers[rng.integers(0, size, (rows, size), dtype=np.int32)].mean(1) for rows in _blocks(draws, size)]
    tail = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return float(low), float(high)


def bootstrap_difference(
    a: Values, b: Values, level: float = 0.95, draws: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """The interval of mean(a) − mean(b), where ``a`` and ``b`` (N,) score the same examples in the same order.

    Raises LingarithError as ``bootstrap_interval`` does, and where the lengths differ.
    """
    return bootstrap_interval(_differences(a, b), level, draws, seed)


def paired_test(a: Values, b: Values, draws: int = 10_000, seed: int = 0) -> float:
    """The two-sided p-value, in (0, 1], of "``a`` and ``b`` score the same examples equally well".

    Under that hypothesis the two scores of an example may be swapped. Up to 12 examples all swaps
    are counted, beyond that random ones: (1 + as extreme) / (1 + draws). Of many (:data:`LARGE`) the
    sum of all signs is normal, and p no less than that.

    Source: Noreen (1989), approximate randomisation. Raises LingarithError for no value, for NaN
    or infinity, where the lengths differ and for less than one draw.

    >>> paired_test([3, 4, 5], [2, 2, 2])
    0.25
    """
    differences = _differences(a, b)
    size = len(differences)
    if _is_normal(differences):
        spread = math.sqrt(2 * np.sum(differences**2)) or 1.0
        return max(math.erfc(abs(differences.sum()) / spread), 1 / (1 + draws))
    extreme = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()  # ties count as extreme
    if size <= EXACT_UP_TO:
        swaps = np.arange(2**size)[:, None] >> np.arange(size) & 1
        return float(np.mean(np.abs((1 - 2 * swaps) @ differences) >= extreme))
    rng = np.random.default_rng(seed)
    count = 0
    for rows in _blocks(draws, size):
        swaps = rng.integers(0, 2, (rows, size), dtype=np.int8)
        count += int(np.sum(np.abs((1.0 - 2.0 * swaps) @ differences) >= extreme))
    return (1 + count) / (1 + draws)


class Difference(NamedTuple):
    """A mean difference, its interval, and the two-sided p-value of there being none."""

    mean: float
    low: float
    high: float
    p: float


def interval_of_groups(groups: Groups, level: float = 0.95, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """The interval of the mean of the groups' means, in their unit: (low, high), by the draws of :func:`_drawn`."""
    tail = (1 - level) / 2
    low, high = np.quantile(_drawn(groups, draws, seed), [tail, 1 - tail])
    return float(low), float(high)


def difference_of_groups(ours: Groups, theirs: Groups, level: float = 0.95, draws: int = 10_000) -> Difference:
    """What ``ours`` score above ``theirs`` on the same examples and with the same seeds, each group alike: the mean,
    :func:`interval_of_groups` of the differences and their :func:`group_test`."""
    between = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = fmean(float(group.mean()) for group in between)
    return Difference(mean, *interval_of_groups(between, level, draws), group_test(between, draws))


def group_test(differences: Groups, draws: int = 10_000) -> float:
    """The two-sided p-value of groups of differences having a mean of 0, each group alike.

    With one seed it is the :func:`paired_test`, for vectors that are what they are. With several it is of vectors that
    other seeds would make as well: twice the share of what :func:`interval_of_groups` draws on the other side of 0,
    and no less than the test of the examples, which is the stricter one where they are few. So what is below 0.05 has
    an interval of 95 % without 0.
    """
    total = sum(group.shape[1] for group in differences)
    # Weighing an example by 1/n of its group makes the plain mean the mean over groups.
    weighed = np.concatenate([group.mean(0) * total / group.shape[1] for group in differences])
    p = paired_test(weighed, np.zeros(total), draws=draws)
    if len(differences[0]) == 1:
        return p
    drawn = _drawn(differences, draws)
    beyond = min(int(np.sum(drawn <= 0)), int(np.sum(drawn >= 0)))
    return max(p, min(1.0, 2 * (1 + beyond) / (1 + draws)))


def _drawn(groups: Groups, draws: int, seed: int = 0) -> NDArray[np.float64]:
    """Means of the groups' means (draws,), as other examples and other seeds would have them.

    Seeds and examples are crossed, and both are drawn (Sellam et al., 2022, https://arxiv.org/abs/2106.16163): examples
    in each group by itself, their scores averaged over seeds (of many, :data:`LARGE`, from the normal limit); and for
    all groups together what seeds add, Student's t (1908) of S - 1 degrees of freedom times the standard error of the
    seeds' means. Seeds drawn with replacement would do for many: of two or three they differ too little, so that where
    seeds alone decide and nothing is there to find, half and a quarter of all tests would find it. What an example does
    with one seed alone counts in both draws, which errs towards no difference.
    """
    rng = np.random.default_rng(seed)
    means = np.zeros(draws)
    for group in (group.mean(0) for group in groups):
        if _is_normal(group - group.mean()):
            error = group.std() / math.sqrt(len(group))
            means += (group.mean() + error * rng.standard_normal(draws)) / len(groups)
            continue
        for start in range(0, draws, 500):  # in pieces: a long test split would fill the memory
            part = slice(start, min(start + 500, draws))
            picked = rng.integers(0, len(group), (part.stop - start, len(group)))
            means[part] += group[picked].mean(1) / len(groups)
    by_seed = np.mean([group.mean(1) for group in groups], axis=0)  # (seeds,)
    if len(by_seed) > 1:
        means += by_seed.std(ddof=1) / math.sqrt(len(by_seed)) * rng.standard_t(len(by_seed) - 1, draws)
    return means


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """The p-values adjusted for being several, under the same keys in the same order.

    Rejecting what is below 0.05 then has at most a 5 % chance of any false rejection.
    Source: Holm (1979). Raises LingarithError for a p-value outside [0, 1] and for none at all.

    >>> holm({"pt": 0.01, "uk": 0.04, "zh": 0.03})
    {'pt': 0.03, 'uk': 0.06, 'zh': 0.06}
    """
    if not p_values:
        raise LingarithError("there is no p-value to adjust; give at least one")
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        if not 0 <= p_values[name] <= 1:
            raise LingarithError(f"the p-value of {name} is {p_values[name]}; it must lie in [0, 1]")
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _is_normal(values: NDArray[np.float64]) -> bool:
    """Whether sums of many numbers (… × N) with random signs, or drawn of these about 0, are as good as normal.

    By Berry and Esseen they are as near as Σ|v|³/(Σv²)^1.5, which is large where a few numbers count for all.
    """
    squares, cubes = np.sum(values**2, -1), np.sum(np.abs(values) ** 3, -1)
    return values.shape[-1] > LARGE and bool(np.all(cubes <= NEAR * squares**1.5))


def _numbers(values: Values) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or not len(numbers):
        raise LingarithError(f"scores are a list of at least one number, but their shape is {numbers.shape}")
    if not np.isfinite(numbers).all():
        first = int(np.argmin(np.isfinite(numbers)))
        raise LingarithError(f"score {first} is {numbers[first]}; scores must be finite numbers")
    return numbers


def _differences(a: Values, b: Values) -> NDArray[np.float64]:
    first, second = _numbers(a), _numbers(b)
    if len(first) != len(second):
        raise LingarithError(f"{len(first)} and {len(second)} scores cannot be paired; score the same examples twice")
    return first - second


def _blocks(draws: int, size: int) -> Iterator[int]:
    """The draws in blocks of few enough rows of ``size`` numbers."""
    if draws < 1:
        raise LingarithError(f"the number of draws is {draws}; it must be at least 1")
    rows = max(1, _BLOCK // size)
    for start in range(0, draws, rows):
        yield min(rows, draws - start)
