"""LoRA as functions over tensors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.adapters import lora
from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.errors import LingarithError

SIZES = st.integers(1, 7)


def test_init_is_kaimings_and_adds_nothing() -> None:
    start = Lora(50).init({"q": (60, 400)}, seed=0)["q"]
    assert start.a.shape == (50, 400)
    assert start.a.abs().max() <= 1 / 20  # ±1/√in
    assert start.a.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)
    assert start.b.shape == (60, 50)
    assert not start.b.any()


def test_init_depends_on_seed_path_and_shape_alone() -> None:
    alone, among = Lora(2).init({"q": (4, 4)}, 0), Lora(2).init({"k": (4, 4), "q": (4, 4)}, 0)
    assert torch.equal(alone["q"].a, among["q"].a)
    assert not torch.equal(among["q"].a, among["k"].a)
    assert not torch.equal(alone["q"].a, Lora(2).init({"q": (4, 4)}, 1)["q"].a)


def test_a_rank_that_no_update_can_have_is_refused() -> None:
    sizes = {"q": (6, 4), "k": (3, 4), "v": (8, 8)}
    assert len(Lora(3).init(sizes, 0)["v"].a) == 3
    with pytest.raises(LingarithError, match=r"^rank=4 is too high: k is 3 × 4; the largest rank is 3$"):
        Lora(4).init(sizes, 0)


def test_apply_by_hand() -> None:
    a, b = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0], [4.0]]])
    x = torch.tensor([[10.0, 100.0]])
    # a·x = 210; b·210 = (630, 840); half of it
    assert lora.apply(a, b, 0.5, x).tolist() == [[315.0, 420.0]]


@settings(max_examples=40, deadline=None)
@given(SIZES, SIZES, SIZES, SIZES, st.sampled_from([1.0, 0.5, -2.0]), st.integers(0, 2**32))
def test_apply_is_the_dense_update(rows: int, inner: int, out: int, rank: int, scale: float, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(1, rank, inner, generator=g, dtype=torch.float64)
    b = torch.randn(1, out, rank, generator=g, dtype=torch.float64)
    x = torch.randn(rows, 3, inner, generator=g, dtype=torch.float64)
    dense = scale * b[0] @ a[0]
    torch.testing.assert_close(lora.apply(a, b, scale, x), x @ dense.T, rtol=1e-10, atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), SIZES, st.booleans(), st.integers(0, 2**32))
def test_k_groups_are_k_applications(k: int, rows: int, sequences: bool, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(k, 2, 5, generator=g), torch.randn(k, 4, 2, generator=g)
    x = torch.randn(k * rows, *([3] if sequences else []), 5, generator=g)
    together = lora.apply(a, b, 0.7, x)
    apart = [lora.apply(a[j : j + 1], b[j : j + 1], 0.7, x[j * rows : (j + 1) * rows]) for j in range(k)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_half_precision_input_is_computed_in_the_type_of_the_factors() -> None:
    a, b = torch.randn(1, 2, 8), torch.randn(1, 4, 2)
    x = torch.randn(3, 8).to(torch.bfloat16)
    added = lora.apply(a, b, 1.0, x)
    assert added.dtype == torch.float32
    torch.testing.assert_close(added, lora.apply(a, b, 1.0, x.float()))


def test_gradients_are_those_of_the_dense_product() -> None:
    a, b = (torch.randn(1, 2, 5, dtype=torch.float64), torch.randn(1, 4, 2, dtype=torch.float64))
    x = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    for tensor in (a, b):
        tensor.requires_grad_()
    ours = torch.autograd.grad(lora.apply(a, b, 3.0, x).square().sum(), (a, b, x))
    dense = torch.autograd.grad((x @ (3.0 * b[0] @ a[0]).T).square().sum(), (a, b, x))
    for mine, right in zip(ours, dense, strict=True):
        torch.testing.assert_close(mine, right)


def test_alpha_and_scale() -> None:
    assert Lora(8).scale == 1
    assert Lora(8, 16).scale == 2
    assert Lora(8).facts == {"kind": "lora", "rank": 8, "alpha": 8}
    for wrong, message in ((lambda: Lora(0), "rank=0 must be at least 1"), (lambda: Lora(4, 0.0), "alpha=0.0 must be")):
        with pytest.raises(LingarithError, match=message):
            wrong()


def test_a_term() -> None:
    term = LoraTerm(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0], [4.0], [5.0]]))
    assert term.size == (3, 2)
    assert term.delta().tolist() == [[3, 6], [4, 8], [5, 10]]
    assert term.scaled(-2.0).delta().tolist() == [[-6, -12], [-8, -16], [-10, -20]]
    assert term.apply(torch.tensor([[10.0, 1.0]])).tolist() == [[36, 48, 60]]
    assert [list(factor.shape) for factor in term.padded(3)] == [[3, 2], [3, 3]]
    assert torch.equal(term.padded(3).delta(), term.delta())
    assert not LoraTerm(torch.zeros(2, 3), torch.zeros(3, 4)).fits


def test_padding_fills_up_and_never_cuts() -> None:
    term = LoraTerm(torch.randn(2, 5), torch.randn(4, 2))
    assert term.padded(2) is term.padded(1) is term
