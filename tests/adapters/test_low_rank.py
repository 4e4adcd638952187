"""Best rank-k approximation from the factors, against an SVD of the dense product."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingarith.adapters.low_rank import truncate


def pair(inner: int, out: int, total: int, seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(total, inner, generator=g, dtype=torch.float64),
        torch.randn(out, total, generator=g, dtype=torch.float64),
    )


def test_by_hand() -> None:
    # diag(3, 2) as a sum of two outer products: the best rank 1 keeps 3 and loses 2
    a, b, tail, total = truncate(torch.eye(2), torch.diag(torch.tensor([3.0, 2.0])), 1)
    torch.testing.assert_close(b @ a, torch.tensor([[3.0, 0.0], [0.0, 0.0]]))
    assert (tail, total) == (pytest.approx(4), pytest.approx(13))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 12), st.integers(1, 9), st.integers(0, 2**32))
def test_optimal_with_its_exact_error(inner: int, out: int, total: int, rank: int, seed: int) -> None:
    """Also where the ranks of the terms add up beyond the sizes of the matrix."""
    a, b = pair(inner, out, total, seed)
    small_a, small_b, tail, whole = truncate(a, b, rank)
    assert small_a.shape[0] == small_b.shape[1] <= rank
    u, values, v = torch.linalg.svd(b @ a, full_matrices=False)
    best = (u[:, :rank] * values[:rank]) @ v[:rank]
    torch.testing.assert_close(small_b @ small_a, best, rtol=1e-8, atol=1e-8)
    assert tail == pytest.approx(values[rank:].square().sum().item(), abs=1e-9 * whole)
    assert tail == pytest.approx((b @ a - small_b @ small_a).square().sum().item(), abs=1e-9 * whole)
    assert whole == pytest.approx((b @ a).square().sum().item())


def test_a_rank_above_the_exact_one_loses_nothing() -> None:
    a, b = pair(9, 8, 3, seed=0)
    small_a, small_b, tail, total = truncate(a, b, 20)
    torch.testing.assert_close(small_b @ small_a, b @ a)
    assert tail <= 1e-20 * total


def test_terms_that_cancel() -> None:
    a, b = pair(5, 4, 2, seed=1)
    small_a, small_b, tail, total = truncate(torch.cat([a, a]), torch.cat([b, -b], dim=1), 2)
    assert (small_b @ small_a).abs().max() < 1e-12
    assert tail <= total < 1e-24


def test_the_factors_share_the_singular_values_evenly() -> None:
    a, b = pair(9, 8, 5, seed=2)
    small_a, small_b, _, _ = truncate(a, 100 * b, 3)
    torch.testing.assert_close(small_a @ small_a.T, small_b.T @ small_b)


def test_keeps_the_type() -> None:
    a, b = pair(5, 4, 2, seed=3)
    small_a, small_b, _, _ = truncate(a.float(), b.float(), 1)
    assert small_a.dtype == small_b.dtype == torch.float32
