"""The cores hold the updates exactly, for LoRA and, rearranged, for Kronecker products."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.adapters.cores import ROWS, Cores, nearest_orthogonal
from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 99))
def test_a_core_is_its_update(out: int, inner: int, ranks: list[int], seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    terms = [LoraTerm(torch.randn(r, inner, generator=g), torch.randn(out, r, generator=g)) for r in ranks]
    weights = torch.randn(len(ranks), generator=g).tolist()
    cores = Cores(terms, weights)
    assert cores.cores.shape == (len(ranks), min(out, sum(ranks)), min(inner, sum(ranks)))
    for core, weight, term in zip(cores.cores, weights, terms, strict=True):
        made = cores.term(core)
        torch.testing.assert_close(made.delta(), weight * term.delta(), rtol=1e-4, atol=1e-4)
    whole = torch.cat([entries for _, entries in cores.rows()], 1)
    torch.testing.assert_close(whole.float()[0], weights[0] * terms[0].delta(), rtol=1e-4, atol=1e-4)


def test_rows_come_in_blocks() -> None:
    cores = Cores([LoraTerm(torch.ones(1, 2), torch.ones(ROWS + 3, 1))], [2.0])
    assert [entries.shape for _, entries in cores.rows()] == [(1, ROWS, 2), (1, 3, 2)]


def test_kronecker_products_keep_their_size() -> None:
    terms = [KroneckerTerm(torch.randn(2, 3, 2), torch.randn(2, 2, 4)) for _ in range(2)]
    cores = Cores(terms, [1.0, -0.5])
    made = cores.term(cores.cores.sum(0))
    assert isinstance(made, KroneckerTerm)
    assert (made.m, made.n, made.size) == (2, 3, (6, 8))
    torch.testing.assert_close(made.delta(), terms[0].delta() - 0.5 * terms[1].delta(), rtol=1e-4, atol=1e-4)


def test_what_is_not_spanned_stays_out() -> None:
    same = torch.tensor([[1.0, 1.0], [0.0, 0.0]]).double()
    torch.testing.assert_close(nearest_orthogonal(same), same / 2**0.5)


def test_a_seed_is_the_numbers_own() -> None:
    one, other = (LoraTerm(torch.full((1, 2), x), torch.ones(2, 1)) for x in (1.0, 2.0))
    assert Cores([one, other], [1, 1]).seed(1, 0) == Cores([other], [0.5]).seed(0, 0)
    assert len({Cores([one, other], [1, 1]).seed(term, number) for term in (0, 1) for number in (0, 1)}) == 4
