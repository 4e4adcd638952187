"""Dense terms beside the others: the same algebra, with plain matrices in float64 as the oracle."""

from __future__ import annotations

import math

import pytest
import torch

from lingarith.adapters.dense import DenseTerm, Full
from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.terms import (
    Term,
    collected,
    exact_count,
    exact_rank,
    inner,
    norm,
    spectrum,
    to_kronecker,
    to_lora,
)

G = torch.Generator().manual_seed(0)
TERMS: dict[str, Term] = {
    "dense": DenseTerm(torch.randn(6, 8, generator=G)),
    "other": DenseTerm(torch.randn(6, 8, generator=G)),
    "lora": LoraTerm(torch.randn(2, 8, generator=G), torch.randn(6, 2, generator=G)),
    "kronecker": KroneckerTerm(torch.randn(2, 3, 4, generator=G), torch.randn(2, 2, 2, generator=G)),
}


def whole(terms: list[Term]) -> torch.Tensor:
    return torch.stack([term.delta().double() for term in terms]).sum(0)


def test_what_a_dense_term_is() -> None:
    term = TERMS["dense"]
    assert (term.kind, term.size, term.fits, term.described()) == ("dense", (6, 8), True, "full")
    assert not DenseTerm(torch.zeros(3)).fits
    x = torch.randn(2, 5, 8, generator=G)
    torch.testing.assert_close(term.apply(x), x @ term.delta().T)
    assert torch.equal(term.scaled(-2.0).delta(), -2 * term.delta())
    assert (Full().scale, Full().facts) == (1.0, {"kind": "full"})


def test_a_delta_can_be_added_to_and_the_term_stays() -> None:
    term = DenseTerm(torch.ones(2, 2))
    term.delta().add_(1)
    assert torch.equal(term.change, torch.ones(2, 2))
    spectrum([term, TERMS["dense"].scaled(0)][:1] * 2)
    assert torch.equal(term.change, torch.ones(2, 2))


@pytest.mark.parametrize("one", TERMS)
@pytest.mark.parametrize("other", TERMS)
def test_inner_products(one: str, other: str) -> None:
    right = (TERMS[one].delta().double() * TERMS[other].delta().double()).sum().item()
    assert inner(TERMS[one], TERMS[other]) == pytest.approx(right, rel=1e-5, abs=1e-5)


def test_a_sum_of_all_kinds() -> None:
    terms = [TERMS["dense"], TERMS["kronecker"], TERMS["other"], TERMS["lora"]]
    made = collected(terms)
    assert [term.kind for term in made] == ["lora", "kronecker-4x3", "dense"]
    torch.testing.assert_close(whole(list(made)).float(), whole(terms).float())
    assert norm(terms) == pytest.approx(float(whole(terms).norm()), rel=1e-6)
    assert (exact_rank(terms), exact_count(terms, 4, 3)) == (6, 4)
    torch.testing.assert_close(spectrum(terms), torch.linalg.svdvals(whole(terms)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_the_best_rank_is_that_of_the_singular_values(rank: int) -> None:
    terms = [TERMS["dense"], TERMS["lora"]]
    cut, lost, total = to_lora(terms, rank)
    values = torch.linalg.svdvals(whole(terms))
    assert len(cut.a) == rank
    assert math.isclose(lost, values[rank:].square().sum().item(), rel_tol=1e-5, abs_tol=1e-9)
    assert math.isclose(total, values.square().sum().item(), rel_tol=1e-6)
    left = (whole(terms) - cut.delta().double()).square().sum().item()
    assert left == pytest.approx(lost, rel=1e-4, abs=1e-6)


def test_as_kronecker_products() -> None:
    terms = [TERMS["dense"], TERMS["kronecker"]]
    cut, lost, _ = to_kronecker(terms, 4, 3, 4)  # all that there can be
    assert lost == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(cut.delta(), whole(terms).float(), rtol=1e-5, atol=1e-5)
