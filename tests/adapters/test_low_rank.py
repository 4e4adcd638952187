"""Best rank-k approximation from the factors, against an SVD of the dense matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingarith.adapters import low_rank

SIZES, SEEDS = st.integers(1, 7), st.integers(0, 2**32)


def pair(inner: int, out: int, total: int, seed: int) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return (
        torch.randn(total, inner, generator=g, dtype=torch.float64),
        torch.randn(out, total, generator=g, dtype=torch.float64),
    )


def check(cut: low_rank.Cut, matrix: Tensor, rank: int) -> None:
    """That the cut is the best of its rank, as numpy's LAPACK finds it, and states its error."""
    small_a, small_b, lost, whole = cut
    assert small_a.shape[0] == small_b.shape[1] <= rank
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)
    best = (u[:, :rank] * values[:rank]) @ v[:rank]
    torch.testing.assert_close(small_b @ small_a, best, rtol=1e-7, atol=1e-7)
    assert lost == pytest.approx(values[rank:].square().sum().item(), abs=1e-9 * whole)
    assert lost == pytest.approx((matrix - small_b @ small_a).square().sum().item(), abs=1e-9 * whole)
    assert whole == pytest.approx(matrix.square().sum().item())
    torch.testing.assert_close(small_a @ small_a.T, small_b.T @ small_b, rtol=1e-7, atol=1e-7)


def test_by_hand() -> None:
    # diag(3, 2) as a sum of two outer products: the best rank 1 keeps 3 and loses 2
    a, b, lost, whole = low_rank.product(torch.eye(2), torch.diag(torch.tensor([3.0, 2.0])), 1)
    torch.testing.assert_close(b @ a, torch.tensor([[3.0, 0.0], [0.0, 0.0]]).double())
    assert (lost, whole) == (pytest.approx(4), pytest.approx(13))


def test_kronecker_by_hand() -> None:
    # diag(3, 2) ⊗ diag(5, 1) = diag(15, 3, 10, 2): the best rank 2 keeps 15 and 10
    a, b = (torch.diag(torch.tensor(values)) for values in ([3.0, 2.0], [5.0, 1.0]))
    small_a, small_b, lost, whole = low_rank.kronecker(a, b, 2)
    torch.testing.assert_close(small_b @ small_a, torch.diag(torch.tensor([15.0, 0.0, 10.0, 0.0])).double())
    assert (lost, whole) == (pytest.approx(13), pytest.approx(338))


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, st.integers(1, 12), st.integers(1, 9), SEEDS)
def test_optimal_with_its_exact_error(inner: int, out: int, total: int, rank: int, seed: int) -> None:
    """Also where the ranks of the terms add up beyond the sizes of the matrix."""
    a, b = pair(inner, out, total, seed)
    check(low_rank.product(a, b, rank), b @ a, rank)
    check(low_rank.dense(b @ a, rank), b @ a, rank)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 12), SEEDS)
def test_kronecker_is_optimal(n: int, m: int, p: int, q: int, rank: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(*size, generator=g, dtype=torch.float64) for size in ((n, m), (p, q)))
    check(low_rank.kronecker(a, b, rank), torch.kron(a, b), rank)


def test_a_rank_above_the_exact_one_loses_nothing() -> None:
    a, b = pair(9, 8, 3, seed=0)
    small_a, small_b, lost, _ = low_rank.product(a, b, 20)
    torch.testing.assert_close(small_b @ small_a, b @ a)
    assert lost == 0
    assert len(small_a) == 3


def test_terms_that_cancel() -> None:
    a, b = pair(5, 4, 2, seed=1)
    small_a, small_b, lost, whole = low_rank.product(torch.cat([a, a]), torch.cat([b, -b], dim=1), 2)
    assert (small_b @ small_a).abs().max() < 1e-12
    assert lost <= whole < 1e-24


def test_computes_in_double_precision() -> None:
    a, b = pair(5, 4, 2, seed=3)
    cut = low_rank.product(a.float(), b.float(), 1)
    check(cut, b.float().double() @ a.float().double(), 1)
