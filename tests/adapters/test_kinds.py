"""The table of adapters: each row is what its name says, and an adapter comes back from its facts and its terms."""

from __future__ import annotations

import pytest
import torch

from lingarith.adapters.dense import DenseTerm, Full
from lingarith.adapters.kinds import ADAPTERS, Adapter, Factored, from_facts, of_term
from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.errors import LingarithError

SHAPES = {"q": (8, 12), "v": (4, 12)}
SOME = (Lora(2), Lora(3, 6.0), Kronecker(3, 4), Kronecker(12, 1), Full())
FACTORED = [adapter for adapter in SOME if isinstance(adapter, Factored)]


@pytest.mark.parametrize("adapter", SOME, ids=str)
def test_facts_say_all(adapter: Adapter) -> None:
    assert type(adapter) is ADAPTERS[adapter.facts["kind"]].adapter
    again = from_facts(adapter.facts)
    assert (again.facts, again.scale) == (adapter.facts, adapter.scale)


def test_all_but_full_fine_tuning_have_factors() -> None:
    assert [kind for kind in ADAPTERS if not isinstance(ADAPTERS[kind].adapter(), Factored)] == ["full"]


@pytest.mark.parametrize("adapter", FACTORED, ids=str)
def test_a_term_and_its_factors(adapter: Factored) -> None:
    start = adapter.init(SHAPES, 0)
    for path, term in start.items():
        assert isinstance(term, ADAPTERS[adapter.facts["kind"]].term)
        found = of_term(term)
        assert isinstance(found, Factored)
        assert all(map(torch.equal, found.init({path: term.size}, 0)[path], term))
        assert all(map(torch.equal, adapter.term(*adapter.factors(term)), term))


@pytest.mark.parametrize("adapter", FACTORED, ids=str)
def test_k_adapters_add_what_their_terms_add(adapter: Factored) -> None:
    g = torch.Generator().manual_seed(0)
    terms = []
    for term in (adapter.init({"q": (8, 12)}, seed)["q"] for seed in range(3)):
        terms.append(type(term)(*(torch.randn(factor.shape, generator=g) for factor in term)))
    a, b = (torch.stack(factors) for factors in zip(*map(adapter.factors, terms), strict=True))
    x = torch.randn(6, 5, 12, generator=g)  # K·2 × 5 × in
    apart = [adapter.scale * term.apply(rows) for term, rows in zip(terms, x.split(2), strict=True)]
    torch.testing.assert_close(adapter.apply(a, b, x), torch.cat(apart), rtol=1e-5, atol=1e-5)


def test_full_fine_tuning_has_terms_too() -> None:
    assert of_term(DenseTerm(torch.ones(8, 12))) == Full() == from_facts({"kind": "full"})


def test_an_adapter_that_there_is_not() -> None:
    with pytest.raises(LingarithError, match=r"^no adapter is named 'kroneker'; did you mean kronecker\?$"):
        from_facts({"kind": "kroneker"})


def test_sizes_are_checked_before_anything_is_made() -> None:
    for adapter, sentence in ((Lora(5), "the largest rank is 4"), (Kronecker(5, 4), "m=5 does not divide")):
        with pytest.raises(LingarithError, match=sentence):
            adapter.check(SHAPES)
