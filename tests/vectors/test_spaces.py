"""Laws of the spaces, for LoRA, Kronecker, and sums of both; the oracle is dense float64, and PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lingarith.adapters.kronecker import Kronecker
from lingarith.adapters.lora import Lora
from lingarith.algebra import Combination, add, add_subtract, average, parse, vector
from lingarith.errors import LingarithError
from lingarith.store.store import Store
from lingarith.vectors.composition import SPACES, Composition, Space, realise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Update, Vector, content_hash

SHAPES = {"0.q": (12, 8), "0.v": (4, 8), "1.q": (12, 16)}
TASK, TARGET, SOURCE = "xlsum[en]", "mc4[pt]", "mc4[en]"
ADAPTERS = (Lora(2), Lora(3, 1.5), Kronecker(2, 4), Kronecker(4, 2), Kronecker(8, 1))
Adapter = Lora | Kronecker

some = settings(max_examples=20, deadline=None)
adapters, seeds = st.sampled_from(ADAPTERS), st.integers(0, 9)
weights = st.floats(-2, 2).filter(lambda c: abs(c) > 1e-2)


def trained(name: str, adapter: Adapter, *, init_seed: int = 0, seed: int = 0) -> Vector:
    """A vector that moved away from its start at random, both factors."""
    start = {path: (term,) for path, term in adapter.init(SHAPES, init_seed).items()}
    g = torch.Generator().manual_seed(sum(name.encode()) + seed)
    moved = {
        path: (type(term)(*(factor + 0.3 * torch.randn(factor.shape, generator=g) for factor in term)),)
        for path, (term,) in start.items()
    }
    origin = {"backbone": {"name": "tiny", "fingerprint": "f" * 64}, "init_seed": init_seed}
    return Vector(name, moved, adapter.scale, origin | {"init_hash": content_hash(FlatTensors(start))})


def family(*kinds: Adapter) -> dict[str, Vector]:
    return {name: trained(name, kind) for name, kind in zip((TASK, TARGET, SOURCE), kinds, strict=True)}


def dense(combination: Combination, vectors: Mapping[str, Vector], path: str) -> Tensor:
    """Σ cᵢ·ΔWᵢ in float64, products by torch.kron."""
    total = torch.zeros(SHAPES[path], dtype=torch.float64)
    for name, c in combination.weights.items():
        for a, b in vectors[name].terms[path]:
            a, b = a.double(), b.double()
            products = [torch.kron(x, y) for x, y in zip(a, b, strict=True)] if a.ndim == 3 else [b @ a]
            total += c * vectors[name].scale * sum(products)
    return total


def close(update: Update, other: Update | Mapping[str, Tensor], within: float = 1e-6) -> None:
    for path in SHAPES:
        right = other.delta(path) if isinstance(other, Update) else other[path]
        torch.testing.assert_close(update.delta(path).double(), right.double(), rtol=within, atol=within)


@some
@given(st.tuples(adapters, adapters, adapters), st.tuples(weights, weights, weights))
def test_delta_is_dense_arithmetic_for_any_mixture(kinds: Any, coefficients: Any) -> None:
    vectors = family(*kinds)
    combination = sum((c * vector(n) for n, c in zip(vectors, coefficients, strict=True)), Combination())
    update = realise(combination, vectors, "delta")
    close(update, {path: dense(combination, vectors, path) for path in SHAPES})
    assert update.error == 0
    for terms in update.terms.values():
        assert len({term.kind for term in terms}) == len(terms)


@some
@given(adapters, st.sampled_from(SPACES))
def test_lambda_one_is_the_task_vector(kind: Adapter, space: str) -> None:
    vectors = family(kind, kind, kind)
    close(realise(add(TASK, TARGET, 1.0), vectors, space), {p: dense(vector(TASK), vectors, p) for p in SHAPES})
    close(realise(add_subtract(TASK, TARGET, SOURCE, 1.0), vectors, space), realise(vector(TASK), vectors, space))


@some
@given(adapters, st.sampled_from(SPACES), st.floats(0.1, 1))
def test_a_target_that_is_the_source_leaves_the_scaled_task(kind: Adapter, space: str, lam: float) -> None:
    vectors = family(kind, kind, kind)
    close(realise(add_subtract(TASK, SOURCE, SOURCE, lam), vectors, space), realise(lam * vector(TASK), vectors, space))


@some
@given(st.tuples(adapters, adapters, adapters), st.permutations([0, 1, 2]))
def test_sums_commute_and_associate(kinds: Any, order: list[int]) -> None:
    vectors = family(*kinds)
    parts = [0.5 * vector(TASK), 0.3 * vector(TARGET), -0.7 * vector(SOURCE)]
    x, y, z = (parts[k] for k in order)
    right = realise(parts[0] + parts[1] + parts[2], vectors, "delta")
    close(realise((x + y) + z, vectors, "delta"), right)
    close(realise(x + (y + z), dict(reversed(vectors.items())), "delta"), right)


@some
@given(adapters, st.sampled_from(("factors", "anchored", "delta")))
def test_an_average_of_equal_vectors_is_that_vector(kind: Adapter, space: str) -> None:
    one = trained("x", kind)
    vectors = {name: Vector(name, one.terms, one.scale, one.origin) for name in "xyz"}
    close(realise(average(["x", "y", "z"]), vectors, space), realise(vector("x"), vectors, space))


@some
@given(adapters, st.floats(0.05, 0.95))
def test_anchored_is_factors_where_coefficients_sum_to_one(kind: Adapter, lam: float) -> None:
    vectors = family(kind, kind, kind)
    close(*(realise(add(TASK, TARGET, lam), vectors, space) for space in ("factors", "anchored")))


@pytest.mark.parametrize("kind", ADAPTERS)
def test_a_coefficient_counts_twice_in_factors(kind: Adapter) -> None:
    vectors = family(kind, kind, kind)
    close(realise(0.7 * vector(TASK), vectors, "factors"), {p: 0.49 * dense(vector(TASK), vectors, p) for p in SHAPES})


@pytest.mark.parametrize("kinds", [(Lora(2), Lora(2), Lora(3)), (Lora(2), Kronecker(2, 4), Kronecker(4, 2))])
def test_a_sum_is_kept_bit_by_bit(kinds: Any, tmp_path: Path) -> None:
    vectors, combination = family(*kinds), add_subtract(TASK, TARGET, SOURCE, 0.6)
    store = Store(tmp_path)
    hashes = {name: store.put(made) for name, made in vectors.items()}
    update = realise(combination, vectors, "delta")
    made = Composition(combination, vectors, Space("delta")).vector("sum[pt]", hashes)
    again = store.get(store.put(made))
    read = realise(vector("sum[pt]"), {"sum[pt]": again}, "delta")
    for path in SHAPES:
        assert torch.equal(read.delta(path), update.delta(path))


@pytest.mark.parametrize("space", ["factors", "anchored", "peft-linear"])
def test_sums_of_factors_need_one_kind(space: str) -> None:
    for other, message in (
        (Kronecker(2, 4), "LoRA, rank 2 and Kronecker 2 × 4 differ"),
        (Lora(3), "LoRA, rank 2 and LoRA, rank 3 differ"),
    ):
        vectors = {TASK: trained(TASK, other), TARGET: trained(TARGET, Lora(2))}
        with pytest.raises(LingarithError, match=f"cannot be added in {space} space: {message}; use space=.delta"):
            realise(parse(f"{TASK} + {TARGET}"), vectors, space)


@pytest.mark.parametrize("rank", [1, 3, 5])
@pytest.mark.parametrize("kinds", [(Lora(2),) * 3, (Kronecker(2, 4),) * 3, (Lora(2), Kronecker(2, 4), Kronecker(4, 2))])
def test_the_cut_to_a_rank_is_the_best(kinds: Any, rank: int) -> None:
    vectors, combination = family(*kinds), add_subtract(TASK, TARGET, SOURCE, 0.6)
    right, lost, whole = {}, 0.0, 0.0
    for path in SHAPES:
        u, values, v = torch.linalg.svd(dense(combination, vectors, path), full_matrices=False)
        right[path] = (u[:, :rank] * values[:rank]) @ v[:rank]
        lost, whole = lost + values[rank:].square().sum().item(), whole + values.square().sum().item()
    update = realise(combination, vectors, Space("delta", rank))
    close(update, right, 1e-5)
    assert update.error == pytest.approx((lost / whole) ** 0.5, abs=1e-5)
    assert {term.kind for terms in update.terms.values() for term in terms} == {"lora"}


@pytest.mark.parametrize("kinds", [(Kronecker(2, 4),) * 3, (Lora(2), Kronecker(2, 4), Kronecker(4, 2))])
def test_the_cut_to_kronecker_products_states_its_error(kinds: Any) -> None:
    vectors, combination = family(*kinds), add_subtract(TASK, TARGET, SOURCE, 0.6)
    exact = {path: dense(combination, vectors, path) for path in SHAPES}
    update = realise(combination, vectors, Space("delta", 2, (2, 4)))
    lost = sum((update.delta(path).double() - exact[path]).square().sum().item() for path in SHAPES)
    whole = sum(matrix.square().sum().item() for matrix in exact.values())
    assert update.error == pytest.approx((lost / whole) ** 0.5, abs=1e-5)
    assert 0.01 < update.error < 1
    assert update.space == "delta, 2 × Kronecker 2 × 4"
    assert {term.kind for terms in update.terms.values() for term in terms} == {"kronecker-2x4"}


def test_a_cut_to_products_that_do_not_divide() -> None:
    vectors = family(Lora(2), Lora(2), Lora(2))
    with pytest.raises(
        LingarithError,
        match=r"m=3 does not divide the 8 inputs of 0\.q; near sizes that divide all projections: 1, 2, 4, 8$",
    ):
        realise(parse(TASK), vectors, Space("delta", 1, (3, 4)))


class Tiny(nn.Module):
    """The projections of ``SHAPES`` for PEFT to sit on."""

    def __init__(self) -> None:
        super().__init__()
        for path, (out, inner) in SHAPES.items():
            setattr(self, path.replace(".", "_"), nn.Linear(inner, out, bias=False, dtype=torch.float64))


@pytest.mark.parametrize("lacking", [(), ("0.v",)])
@pytest.mark.parametrize("coefficients", [(0.6, 0.4, -0.4), (1.0, -1.0, 0.25)])
def test_peft_linear_is_pefts(coefficients: tuple[float, float, float], lacking: tuple[str, ...]) -> None:
    from peft import LoraConfig, get_peft_model

    kinds = (Lora(2), Lora(2, 1.0), Lora(2))
    vectors, names = family(*kinds), ["one", "two", "three"]
    fewer = {path: terms for path, terms in vectors[TARGET].terms.items() if path not in lacking}
    vectors[TARGET] = replace(vectors[TARGET], terms=fewer)
    configs = [
        LoraConfig(r=2, lora_alpha=2 * kind.scale, target_modules=[p.replace(".", "_") for p in made.terms])
        for kind, made in zip(kinds, vectors.values(), strict=True)
    ]
    model: Any = get_peft_model(Tiny(), configs[0], adapter_name="one")
    for name, config in zip(names[1:], configs[1:], strict=True):
        model.add_adapter(name, config)
    for name, made in zip(names, vectors.values(), strict=True):
        for path, ((a, b),) in made.terms.items():
            layer = getattr(model.base_model.model, path.replace(".", "_"))
            layer.lora_A[name].weight.data.copy_(a)
            layer.lora_B[name].weight.data.copy_(b)
    model.add_weighted_adapter(names, list(coefficients), "made", combination_type="linear")
    layers = {path: getattr(model.base_model.model, path.replace(".", "_")) for path in SHAPES}
    theirs = {path: layer.get_delta_weight("made") for path, layer in layers.items()}
    combination = sum((c * vector(n) for n, c in zip(vectors, coefficients, strict=True)), Combination())
    close(realise(combination, vectors, "peft-linear"), theirs)


def test_pefts_genknowsub_is_factors() -> None:
    from types import SimpleNamespace

    from peft.tuners.lora.arrow import ArrowLoraLinearLayer

    vectors = family(Lora(2), Lora(2), Lora(2))
    made = realise(parse(f"{TASK} - ({TARGET} + {SOURCE})/2"), vectors, "factors")
    state: Any = SimpleNamespace(
        use_gks=True, gks_done=False, gks_added_adapter_names=[], gks_adapter_names=[TARGET, SOURCE],
        task_adapter_names=[TASK],
    )  # fmt: skip
    theirs = {}
    for path in SHAPES:
        a, b = ({name: nn.Linear(1, 1) for name in vectors} for _ in range(2))
        for name, held in vectors.items():
            a[name].weight.data, b[name].weight.data = (factor.clone() for factor in held.terms[path][0])
        ArrowLoraLinearLayer.gen_know_sub(SimpleNamespace(**vars(state)), a, b)
        theirs[path] = b[TASK].weight.data @ a[TASK].weight.data
    close(made, theirs)  # type: ignore[arg-type]
    exact = {path: dense(parse(f"{TASK} - ({TARGET} + {SOURCE})/2"), vectors, path) for path in SHAPES}
    assert all((theirs[path] - exact[path]).norm() > 0.1 for path in SHAPES)


@pytest.mark.parametrize("kind", [Lora(2), Kronecker(2, 4)])
def test_subtraction_is_broken_in_peft_linear_and_not_in_delta(kind: Adapter) -> None:
    one, other = trained("x", kind), trained("y", kind)
    for path, (term,) in other.terms.items():
        other.terms[path] = (type(term)(one.terms[path][0].a, term.b),)  # type: ignore[index]
    vectors = {"x": one, "y": other}
    assert not any(realise(parse("x - y"), vectors, "peft-linear").delta(path).any() for path in SHAPES)
    assert all(realise(parse("x - y"), vectors, "delta").delta(path).norm() > 0.1 for path in SHAPES)
