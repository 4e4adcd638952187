"""An answer: tables and figures. And the statistics that several answers use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..study.records import Grid
from .words import signed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]
DRAWS = 2_000


@dataclass(frozen=True)
class Answer:
    """Tables, and figures by their names with the sentence that stands below each; a figure is drawn when asked for."""

    grids: Sequence[Grid]
    charts: Mapping[str, Callable[[], Figure]]
    captions: Mapping[str, str]


def interval(values: Numbers, draws: int = DRAWS) -> tuple[float, float, float]:
    """The mean of a table of numbers (rows × columns, NaN where there is none) and its 95 % bootstrap interval.

    Rows are drawn, and columns by themselves: of pairs, sources and targets. (Owen, 2007: the pigeonhole bootstrap.)

    >>> interval(np.array([[1.0, 1.0], [1.0, np.nan]]))
    (1.0, 1.0, 1.0)
    """
    rng = np.random.default_rng(0)
    rows, columns = values.shape
    there = np.where(np.isnan(values), 0.0, 1.0)
    filled = np.nan_to_num(values)
    row = rng.multinomial(rows, np.full(rows, 1 / rows), draws)
    column = rng.multinomial(columns, np.full(columns, 1 / columns), draws)
    count = np.einsum("dr,rc,dc->d", row, there, column)
    means = np.einsum("dr,rc,dc->d", row, filled, column)[count > 0] / count[count > 0]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(np.nanmean(values)), float(low), float(high)


def said(values: Numbers) -> list[str]:
    """The mean and its interval as two cells of a table."""
    mean, low, high = interval(values)
    return [signed(mean), f"{signed(low)} to {signed(high)}"]


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's ρ; NaN where one of the two is the same everywhere.

    >>> spearman([1, 2, 4], [1, 3, 9])
    1.0
    """
    a, b = ranks(x), ranks(y)
    return float("nan") if len(a) < 2 or not np.ptp(a) or not np.ptp(b) else round(float(np.corrcoef(a, b)[0, 1]), 12)


def ranks(values: Sequence[float]) -> Numbers:
    """Ranks from 0, equal values sharing their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    shared: Numbers = (np.cumsum(counts) - (counts + 1) / 2)[place]
    return shared
