"""Kronecker adapters as functions over tensors, against ``torch.kron`` and PEFT's LoKr."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from lingarith.adapters import kronecker
from lingarith.adapters.kronecker import Kronecker, KroneckerTerm
from lingarith.errors import LingarithError

SIZES, SEEDS = st.integers(1, 5), st.integers(0, 2**32)
EITHER_ORDER = pytest.mark.parametrize(("m", "n"), [(6, 2), (2, 6)], ids=["a first", "b first"])


def factors(k: int, m: int, n: int, inner: int, out: int, seed: int = 0, dtype: Any = torch.float64) -> list[Tensor]:
    """``a``, ``b`` and an input of 2 rows a group and 3 positions a row, all with gradients."""
    g = torch.Generator().manual_seed(seed)
    sizes = (k, n, m), (k, out // n, inner // m), (2 * k, 3, inner)
    return [torch.randn(*size, generator=g, dtype=dtype).requires_grad_() for size in sizes]


def test_by_hand() -> None:
    # (1 2) ⊗ (3 4) = (3 4 6 8); half of 3 + 40 + 600 + 8000
    a, b = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0]]])
    assert KroneckerTerm(a, b).delta().tolist() == [[3, 4, 6, 8]]
    assert kronecker.apply(a, b, 0.5, torch.tensor([[1.0, 10.0, 100.0, 1000.0]])).tolist() == [[4321.5]]


def test_orientation() -> None:
    """The paper's y = xW with W = A ⊗ B (in × out) is PyTorch's y = x·weightᵀ with weight = Aᵀ ⊗ Bᵀ."""
    g = torch.Generator().manual_seed(0)
    m, n, inner, out = 4, 2, 12, 10
    paper_a, paper_b = torch.randn(m, n, generator=g), torch.randn(inner // m, out // n, generator=g)
    x = torch.randn(5, inner, generator=g)
    term = KroneckerTerm(paper_a.T[None], paper_b.T[None])
    assert (term.m, term.n, term.size) == (m, n, (out, inner))
    assert torch.equal(term.delta(), torch.kron(paper_a.T, paper_b.T))
    assert torch.equal(term.delta().T, torch.kron(paper_a, paper_b))
    torch.testing.assert_close(term.apply(x), x @ torch.kron(paper_a, paper_b))
    start = Kronecker(m, n).init({"q": (out, inner)}, 0)["q"]
    assert [t.shape for t in start] == [t.shape for t in term]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), SIZES, SIZES, SIZES, SIZES, st.sampled_from([1.0, -0.5]), SEEDS)
def test_apply_is_the_dense_update(k: int, m: int, n: int, p: int, q: int, scale: float, seed: int) -> None:
    a, b, x = factors(k, m, n, m * q, n * p, seed)
    groups = zip(a, b, x.split(2), strict=True)
    dense = torch.cat([part @ (scale * torch.kron(one, other)).T for one, other, part in groups])
    torch.testing.assert_close(kronecker.apply(a, b, scale, x), dense, rtol=1e-10, atol=1e-10)


@EITHER_ORDER
def test_gradients(m: int, n: int) -> None:
    a, b, x = factors(2, m, n, 12, 12)
    assert kronecker._left_first(a, b) is (m == 6)
    assert torch.autograd.gradcheck(lambda *given: kronecker.apply(*given[:2], 0.7, given[2]), (a, b, x))


@EITHER_ORDER
@pytest.mark.parametrize("dy", ["dense", "one number"])
def test_many_rows_are_taken_in_pieces(m: int, n: int, dy: str) -> None:
    a, b, _ = factors(2, m, n, 48, 24)
    x = torch.randn(6000, 48, dtype=torch.float64).requires_grad_()
    assert 1 < len(kronecker._pieces(x.view(2, 3000, 48))) < 10
    ours = kronecker.apply(a, b, 1.0, x)
    dense = torch.cat([part @ torch.kron(*pair).T for *pair, part in zip(a, b, x.split(3000), strict=True)])
    torch.testing.assert_close(ours, dense)
    wanted = torch.randn_like(dense) if dy == "dense" else torch.ones(()).double().expand(dense.shape)
    mine, right = (torch.autograd.grad(y, (a, b, x), wanted) for y in (ours, dense))
    torch.testing.assert_close(mine, right)


@EITHER_ORDER
def test_keeps_nothing_but_its_arguments(m: int, n: int) -> None:
    a, b, x = factors(1, m, n, 12, 12)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        kronecker.apply(a, b, 1.0, x)
    assert set(kept) == {a.data_ptr(), b.data_ptr(), x.data_ptr()}


class Largest(TorchDispatchMode):
    """The most elements that a result of any operation had."""

    elements = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@EITHER_ORDER
def test_never_forms_the_product(m: int, n: int) -> None:
    a, b, x = factors(1, m, n, 120, 120)
    with Largest() as seen:
        torch.autograd.grad(kronecker.apply(a, b, 1.0, x).sum(), (a, b, x))
    assert x.numel() <= seen.elements < 120 * 120 / 4
    with seen:
        KroneckerTerm(a, b).delta()
    assert seen.elements == 120 * 120


def test_half_precision_input_is_computed_in_the_type_of_the_factors() -> None:
    a, b, x = factors(1, 4, 2, 8, 8, dtype=torch.float32)
    half = x.detach().bfloat16().requires_grad_()
    added = kronecker.apply(a, b, 1.0, half)
    assert added.dtype == torch.float32
    assert torch.equal(added, kronecker.apply(a, b, 1.0, half.float()))
    da, dx = torch.autograd.grad(added.sum(), (a, half))
    assert (da.dtype, dx.dtype) == (torch.float32, torch.bfloat16)


def test_autocast() -> None:
    a, b, x = factors(2, 4, 2, 16, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        added = kronecker.apply(a, b, 1.0, x)
    assert added.dtype == torch.bfloat16
    exact = kronecker.apply(a, b, 1.0, x)
    torch.testing.assert_close(added.float(), exact, rtol=0.05, atol=0.2)
    dy = torch.randn_like(exact)
    halves, wholes = (torch.autograd.grad(y, (a, b, x), dy.to(y.dtype)) for y in (added, exact))
    for half, whole in zip(halves, wholes, strict=True):
        assert half.dtype == torch.float32
        assert (half - whole).norm() < 0.02 * whole.norm()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_activation_checkpointing_changes_nothing(precision: str) -> None:
    a, b, x = factors(1, 4, 2, 8, 8, dtype=torch.float32)

    def layer(x: Tensor) -> Tensor:
        return torch.tanh(x + kronecker.apply(a, b, 1.0, x))

    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        plain, again = layer(x).square().sum(), checkpoint(layer, x, use_reentrant=False).square().sum()
    mine, right = (torch.autograd.grad(loss, (a, b, x)) for loss in (again, plain))
    assert all(map(torch.equal, mine, right))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by an old name
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize(("inner", "out"), [(16, 16), (24, 16)])
def test_peft_lokr(factor: int, inner: int, out: int) -> None:
    """LoKr with both factors whole is a Kronecker adapter of m = n."""
    from peft import LoKrConfig, get_peft_model

    torch.manual_seed(0)
    config = LoKrConfig(r=10_000, alpha=10_000, decompose_factor=factor, target_modules=["0"], init_weights=False)
    layer: Any = get_peft_model(nn.Sequential(nn.Linear(inner, out, bias=False)), config).base_model.model[0]
    w1, w2 = layer.lokr_w1["default"], layer.lokr_w2["default"]
    term = KroneckerTerm(w1[None], w2[None])
    assert (term.m, term.n, term.size) == (factor, factor, (out, inner))
    torch.testing.assert_close(term.delta(), layer.get_delta_weight("default"))
    x = torch.randn(3, inner)
    theirs = layer(x) - layer.base_layer(x)
    ours = kronecker.apply(w1[None], w2[None], layer.scaling["default"], x)
    torch.testing.assert_close(ours, theirs)
    mine, right = (torch.autograd.grad(y.square().sum(), (w1, w2)) for y in (ours, theirs))
    torch.testing.assert_close(mine, right)


def test_init_is_lokrs_and_adds_nothing() -> None:
    start = Kronecker(4, 2).init({"q": (100, 1600)}, seed=0)["q"]
    assert start.a.shape == (1, 2, 4)
    assert not start.a.any()
    assert start.b.shape == (1, 50, 400)
    assert start.b.abs().max() <= 1 / 20  # ±1/√(in/m)
    assert start.b.std().item() == pytest.approx(1 / 20 / 3**0.5, rel=0.02)


def test_init_depends_on_seed_path_and_sizes_alone() -> None:
    adapter, shape = Kronecker(2, 2), (4, 8)
    alone, among = adapter.init({"q": shape}, 0), adapter.init({"k": shape, "q": shape}, 0)
    assert torch.equal(alone["q"].b, among["q"].b)
    assert not torch.equal(among["q"].b, among["k"].b)
    assert not torch.equal(alone["q"].b, adapter.init({"q": shape}, 1)["q"].b)
    fewer = Kronecker(2, 4).init({"q": shape}, 0)["q"].b
    assert not torch.equal(alone["q"].b[:, :1], fewer)


@pytest.mark.parametrize(
    ("m", "n", "said"),
    [
        (32, 16, "m=32 does not divide the 48 inputs of q; near sizes that divide all projections: 6, 8, 12, 24"),
        (8, 16, "n=16 does not divide the 24 outputs of k; near sizes that divide all projections: 6, 8, 12, 24"),
        (0, 16, "m=0 must be at least 1"),
        (8, -1, "n=-1 must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit(m: int, n: int, said: str) -> None:
    with pytest.raises(LingarithError) as raised:
        Kronecker(m, n).init({"q": (48, 48), "k": (24, 72)}, 0)
    assert str(raised.value) == said


def test_a_term_of_several_products() -> None:
    a, b, x = factors(3, 4, 2, 8, 6)
    term = KroneckerTerm(a, b)
    dense = sum(torch.kron(one, other) for one, other in zip(a, b, strict=True))
    assert isinstance(dense, Tensor)
    torch.testing.assert_close(term.delta(), dense)
    torch.testing.assert_close(term.apply(x), x @ dense.T)
    torch.testing.assert_close(term.apply(x[0, 0]), dense @ x[0, 0])
    torch.testing.assert_close(term.scaled(-2).delta(), -2 * dense)
    assert term.kind == "kronecker-4x2"
    assert (term.described(), KroneckerTerm(a[:1], b[:1]).described()) == ("3 × Kronecker 4 × 2", "Kronecker 4 × 2")
    assert term.fits
    assert not KroneckerTerm(a, b[:2]).fits
    assert not KroneckerTerm(a[0], b[0]).fits


def test_facts() -> None:
    adapter = Kronecker()
    assert (adapter.facts, adapter.scale) == ({"kind": "kronecker", "m": 32, "n": 16}, 1.0)
