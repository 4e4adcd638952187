"""Sums of LoRA and Kronecker terms, against dense float64 arithmetic."""

from __future__ import annotations

from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import (
    Term,
    collected,
    exact_count,
    exact_rank,
    inner,
    mapped,
    norm,
    spectrum,
    to_kronecker,
    to_lora,
)

OUT, IN = 8, 12
KIND = st.sampled_from(["lora", "3x2", "3x2", "2x4", "6x8", "1x1"])
"""LoRA, or (m, n) of a Kronecker term."""


def a_term(kind: str, count: int, g: torch.Generator) -> Term:
    if kind == "lora":
        return LoraTerm(torch.randn(count, IN, generator=g), torch.randn(OUT, count, generator=g))
    m, n = map(int, kind.split("x"))
    a, b = torch.randn(count, n, m, generator=g), torch.randn(count, OUT // n, IN // m, generator=g)
    return KroneckerTerm(a, b)


@st.composite
def sums(draw: st.DrawFn, kinds: st.SearchStrategy[str] = KIND) -> list[Term]:
    """One to four terms of OUT × IN."""
    g = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    wanted = draw(st.lists(st.tuples(kinds, st.integers(1, 3)), min_size=1, max_size=4))
    return [a_term(kind, count, g) for kind, count in wanted]


def dense(terms: list[Term] | tuple[Term, ...]) -> Tensor:
    """ΔW in float64 by definition."""
    total = torch.zeros(OUT, IN, dtype=torch.float64)
    for term in terms:
        for r in range(len(term.a)):
            if isinstance(term, LoraTerm):
                total += torch.outer(term.b[:, r].double(), term.a[r].double())
            else:
                total += torch.kron(term.a[r].double(), term.b[r].double())
    return total


def rearranged(matrix: Tensor, m: int, n: int) -> Tensor:
    """Van Loan's R by definition: the blocks as rows, in the order of vec(a)."""
    p, q = OUT // n, IN // m
    blocks = [matrix[i * p : (i + 1) * p, j * q : (j + 1) * q] for i in range(n) for j in range(m)]
    return torch.stack([block.flatten() for block in blocks])


def test_inner_by_hand() -> None:
    lora = LoraTerm(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0]]))  # (3 6; 4 8)
    product = KroneckerTerm(torch.tensor([[[1.0, -1.0]]]), torch.tensor([[[5.0], [2.0]]]))  # (5 -5; 2 -2)
    assert inner(lora, product) == inner(product, lora) == 15 - 30 + 8 - 16
    assert inner(lora, lora) == 125
    assert inner(product, product) == 58
    assert norm([product, product]) == pytest.approx(2 * 58**0.5)


@settings(max_examples=80, deadline=None)
@given(sums(), sums())
def test_inner_and_norm(ours: list[Term], others: list[Term]) -> None:
    one, other = ours[0], others[0]
    right = (dense([one]) * dense([other])).sum().item()
    scale = dense([one]).norm().item() * dense([other]).norm().item()
    assert inner(one, other) == pytest.approx(right, abs=1e-12 * scale)
    assert inner(other, one) == pytest.approx(right, abs=1e-12 * scale)
    assert norm(ours) == pytest.approx(dense(ours).norm().item(), rel=1e-6)


def test_the_norm_of_what_cancels() -> None:
    g = torch.Generator().manual_seed(0)
    for kind in ("lora", "3x2"):
        term = a_term(kind, 2, g)
        assert norm([term, term.scaled(-1)]) < 1e-6 * norm([term])


@settings(max_examples=60, deadline=None)
@given(sums(), st.randoms(use_true_random=False))
def test_collected_is_the_same_sum_in_any_order(terms: list[Term], chance: Random) -> None:
    made = collected(terms)
    torch.testing.assert_close(dense(made), dense(terms))
    torch.testing.assert_close(sum(term.delta() for term in made), dense(terms).float(), rtol=1e-4, atol=1e-4)
    kinds = [term.kind for term in made]
    assert len(set(kinds)) == len(kinds)
    assert kinds == sorted(kinds, key=lambda kind: (kind != "lora", kind))  # sizes here are of one digit
    assert sum(len(term.a) for term in made) == sum(len(term.a) for term in terms)
    mixed = list(terms)
    chance.shuffle(mixed)
    again = collected(mixed)
    assert [[t.shape for t in term] for term in again] == [[t.shape for t in term] for term in made]
    torch.testing.assert_close(dense(again), dense(made))


def test_an_outline_is_collected_without_torch() -> None:
    """torch's ``cat`` of tensors without numbers loads its compiler: 800 modules, a second, a hundred megabytes."""
    g = torch.Generator().manual_seed(0)
    terms = [a_term(kind, count, g) for kind, count in (("lora", 2), ("3x2", 1), ("lora", 3), ("3x2", 2))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "cat", None)
        outline = collected([mapped(term, lambda t: t.to("meta")) for term in terms])
    assert [[t.shape for t in term] for term in outline] == [[t.shape for t in term] for term in collected(terms)]
    assert all(t.is_meta for term in outline for t in term)


@settings(max_examples=80, deadline=None)
@given(st.one_of(sums(), sums(st.just("lora")), sums(st.just("3x2"))), st.integers(1, 9))
def test_to_lora_is_the_best_of_its_rank(terms: list[Term], rank: int) -> None:
    matrix = dense(terms)
    made, lost, whole = to_lora(terms, rank)
    assert (made.a.dtype, made.size) == (torch.float32, (OUT, IN))
    assert len(made.a) <= rank
    values = torch.linalg.svdvals(matrix)
    assert whole == pytest.approx(matrix.square().sum().item())
    assert lost == pytest.approx(values[rank:].square().sum().item(), abs=1e-12 * whole)
    difference = (matrix - dense([made])).square().sum().item()
    assert difference == pytest.approx(lost, rel=1e-5, abs=1e-10 * whole)  # factors are rounded to float32


@settings(max_examples=80, deadline=None)
@given(
    st.one_of(sums(), sums(st.just("lora")), sums(st.just("3x2"))),
    st.sampled_from([(3, 2), (2, 4), (12, 8), (1, 1)]),
    st.integers(1, 9),
)
def test_to_kronecker_is_the_best_of_its_count(terms: list[Term], size: tuple[int, int], count: int) -> None:
    matrix = dense(terms)
    made, lost, whole = to_kronecker(terms, *size, count)
    assert (made.a.dtype, made.size, (made.m, made.n)) == (torch.float32, (OUT, IN), size)
    assert len(made.a) == len(made.b) <= count
    values = torch.linalg.svdvals(rearranged(matrix, *size))
    assert whole == pytest.approx(matrix.square().sum().item())
    assert lost == pytest.approx(values[count:].square().sum().item(), abs=1e-12 * whole)
    difference = (matrix - dense([made])).square().sum().item()
    assert difference == pytest.approx(lost, rel=1e-5, abs=1e-10 * whole)


@settings(max_examples=40, deadline=None)
@given(sums(), st.randoms(use_true_random=False))
def test_the_order_of_terms_changes_no_approximation(terms: list[Term], chance: Random) -> None:
    mixed = list(terms)
    chance.shuffle(mixed)
    for cut in (lambda given: to_lora(given, OUT), lambda given: to_kronecker(given, 3, 2, 6)):
        (one, *errors), (other, *its) = cut(terms), cut(mixed)
        torch.testing.assert_close(dense([one]), dense([other]), rtol=1e-4, atol=1e-4)
        assert errors == pytest.approx(its, abs=1e-9 * errors[1])


@settings(max_examples=60, deadline=None)
@given(st.one_of(sums(), sums(st.just("lora")), sums(st.just("3x2"))))
def test_spectrum_and_exact_rank(terms: list[Term]) -> None:
    values, right = spectrum(terms), torch.linalg.svdvals(dense(terms))
    rank = exact_rank(terms)
    assert values.dtype == torch.float64
    length = min(len(values), len(right))
    torch.testing.assert_close(values[:length], right[:length], rtol=1e-6, atol=1e-6)
    assert torch.linalg.matrix_rank(dense(terms), rtol=1e-9) == rank
    made, lost, whole = to_lora(terms, rank)
    assert lost <= 1e-20 * whole
    torch.testing.assert_close(dense([made]), dense(terms), rtol=1e-4, atol=1e-4)
    if all(isinstance(term, LoraTerm) for term in terms):
        assert len(values) == rank
        assert to_lora(terms, rank + 3)[0].a.shape[0] == rank


@settings(max_examples=60, deadline=None)
@given(st.one_of(sums(), sums(st.just("3x2"))), st.sampled_from([(3, 2), (6, 8)]))
def test_exact_count(terms: list[Term], size: tuple[int, int]) -> None:
    count = exact_count(terms, *size)
    needed = int(torch.linalg.matrix_rank(rearranged(dense(terms), *size), rtol=1e-9))
    assert needed <= count
    if all(term.kind == "kronecker-{}x{}".format(*size) for term in terms):
        assert needed == count
    made, lost, whole = to_kronecker(terms, *size, count)
    assert lost <= 1e-20 * whole
    torch.testing.assert_close(dense([made]), dense(terms), rtol=1e-4, atol=1e-4)


def test_what_is_known_by_its_factors_is_not_formed() -> None:
    """Neither ΔW here would fit into memory: 320 and 205 gigabytes in float64."""
    g = torch.Generator().manual_seed(0)
    wide = 200_000
    lora = [LoraTerm(torch.randn(2, wide, generator=g), torch.randn(wide, 2, generator=g)) for _ in range(2)]
    made, lost, whole = to_lora(lora, 3)
    assert made.size == (wide, wide)
    assert 0 < lost < whole
    assert spectrum(lora)[3].item() == pytest.approx(lost**0.5)
    assert norm(lora) == pytest.approx(whole**0.5)
    one = KroneckerTerm(torch.randn(1, 400, 400, generator=g), torch.randn(1, 400, 400, generator=g))
    as_lora, lost, whole = to_lora([one], 2)
    assert as_lora.size == one.size
    assert inner(as_lora, one) == pytest.approx(whole - lost, rel=1e-5)
    assert spectrum([one]).square().sum().item() == pytest.approx(whole)
    two = KroneckerTerm(torch.randn(1, 400, 400, generator=g), torch.randn(1, 400, 400, generator=g))
    _, lost, whole = to_kronecker([one, two], 400, 400, 1)
    assert 0 < lost < whole == pytest.approx(norm([one, two]) ** 2)


def test_a_mixture_is_of_no_higher_rank_than_its_terms() -> None:
    """What rounding leaves beyond the exact rank is no direction of the sum."""
    g = torch.Generator().manual_seed(0)
    terms = [
        LoraTerm(torch.randn(2, 4, generator=g), torch.randn(6, 2, generator=g)),
        KroneckerTerm(torch.randn(1, 1, 4, generator=g), torch.randn(1, 6, 1, generator=g)),
    ]
    assert exact_rank(terms) == 3
    assert len(to_lora(terms, 4)[0].a) == 3
