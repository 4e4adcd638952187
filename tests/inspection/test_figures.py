"""Figures from sums that are written down: two summands of norm 3 and 4, at right angles in one projection of two."""

from __future__ import annotations

from math import nan, sqrt

import pytest
import torch
from torch import Tensor

from lingarith.inspection.figures import Drift, Sums


def tensor(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


SUMS = Sums(
    gram=tensor([[9, 0], [0, 16]], [[1, 1], [1, 1]]),
    results={"same": tensor([9, 16, 25], [2, 2, 4]), "opposite": tensor([-9, -16, 25], [-2, -2, 4])},
    signs=tensor([5, 10, 5, 7], [0, 10, 3, 3]),
    tails={"rank": tensor([9, 0], [1, 0])},
    moves=tensor([[1, 4, 9], [nan, nan, nan]], [[3, 12, 7], [nan, nan, nan]]),
)


def test_one_projection() -> None:
    figures = SUMS.figures("xy", [0])
    assert (figures.norm, figures.summands) == (5, {"x": 3, "y": 4})
    assert figures.cosines == {"x": {"x": 1, "y": 0}, "y": {"x": 0, "y": 1}}
    assert figures.results["same"].shares == pytest.approx({"x": 1, "y": 1})
    assert (figures.results["opposite"].cosine, figures.results["opposite"].ratio) == (-1, 1)
    assert figures.results["opposite"].shares == pytest.approx({"x": -1, "y": -1})
    assert (figures.conflicts, figures.cancelled) == pytest.approx((1 / 2, 2 / 7))
    assert figures.lost["rank"] == pytest.approx([3 / 5, 0])
    assert figures.drift == {"x": Drift(1 / 2, 2, 3), "y": None}


def test_collinear_summands_share_alike() -> None:
    alone = SUMS.figures("xy", [1])
    assert alone.results["same"].shares == pytest.approx({"x": 1, "y": 1})
    assert alone.results["same"].residual == pytest.approx(0, abs=1e-6)


def test_projections_are_one_long_vector() -> None:
    figures = SUMS.figures("xy", [0, 1])
    assert figures.norm == pytest.approx(sqrt(29))
    assert figures.cosines["x"]["y"] == pytest.approx(1 / sqrt(10 * 17))
    assert figures.results["same"].cosine == pytest.approx(1)
    assert (figures.conflicts, figures.cancelled) == pytest.approx((5 / 20, 2 / 10))
    assert figures.lost["rank"] == pytest.approx([sqrt(10 / 29), 0])
    assert figures.drift["x"] == Drift(1 / 2, 4, 4)
