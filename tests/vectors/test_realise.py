"""Combinations made into updates: by hand, against dense float64, and against PEFT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.algebra import Combination, add, add_subtract, parse, vector
from lingarith.errors import LingarithError
from lingarith.vectors.composition import Composition, Space, realise
from lingarith.vectors.outline import FlatTensors, starting_point
from lingarith.vectors.vector import Update, Vector, content_hash

SHAPES = {"layer.0.q": (6, 5), "layer.0.v": (3, 5), "layer.1.q": (7, 5)}
HERE = {"name": "tiny", "fingerprint": "f" * 64}
TASK, TARGET, SOURCE = "xlsum[en]", "mc4[pt]", "mc4[en]"


def trained(name: str, *, rank: int = 2, scale: float = 1.0, init_seed: int = 0, seed: int | None = None) -> Vector:
    """A vector that started at ``init_seed`` and moved away at random."""
    start = Lora(rank).init(SHAPES, init_seed)
    g = torch.Generator().manual_seed(sum(name.encode()) if seed is None else seed)
    moved = {
        path: (LoraTerm(a + 0.3 * torch.randn(a.shape, generator=g), torch.randn(b.shape, generator=g)),)
        for path, (a, b) in start.items()
    }
    start_hash = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    return Vector(name, moved, scale, {"backbone": HERE, "init_seed": init_seed, "init_hash": start_hash})


def family(**settings: Any) -> dict[str, Vector]:
    return {name: trained(name, **settings) for name in (TASK, TARGET, SOURCE)}


def exact(combination: Combination, vectors: Mapping[str, Vector], path: str) -> Tensor:
    """Σ cᵢ·scaleᵢ·bᵢ·aᵢ in float64."""
    terms = [
        c * vectors[name].scale * term.b.double() @ term.a.double()
        for name, c in combination.weights.items()
        for term in vectors[name].terms[path]
    ]
    return torch.stack(terms).sum(0)


def close(update: Update, right: Mapping[str, Tensor]) -> None:
    assert set(update.terms) == set(right)
    for path, dense in right.items():
        torch.testing.assert_close(update.delta(path).double(), dense.double(), rtol=1e-6, atol=1e-6)


def by_hand() -> dict[str, Vector]:
    one = LoraTerm(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0], [4.0]]))
    two = LoraTerm(torch.tensor([[3.0, 2.0]]), torch.tensor([[6.0], [0.0]]))
    return {name: Vector(name, {"q": (pair,)}, 1.0, {"init_hash": "0"}) for name, pair in (("x", one), ("y", two))}


def test_spaces_by_hand() -> None:
    vectors, half = by_hand(), parse("0.5*(x + y)")
    # ½(1,0) + ½(3,2) = (2,1) and ½(2,4) + ½(6,0) = (4,2)
    assert realise(half, vectors, "factors").delta("q").tolist() == [[8, 4], [4, 2]]
    # ½(2,4)ᵀ(1,0) + ½(6,0)ᵀ(3,2)
    assert realise(half, vectors, "delta").delta("q").tolist() == [[10, 6], [2, 0]]
    less = realise(parse("x - y"), vectors, "factors")
    assert less.delta("q").tolist() == [[8, 8], [-8, -8]]  # (−4,4)ᵀ(−2,−2): not what subtraction of updates gives
    assert realise(parse("x - y"), vectors, "delta").delta("q").tolist() == [[-16, -12], [4, 0]]


def test_the_definitions() -> None:
    vectors, combination = family(scale=0.5), add_subtract(TASK, TARGET, SOURCE, 0.7)
    start = Lora(2).init(SHAPES, 0)

    def summed(path: str, factor: int, anchored: bool) -> Tensor:
        zero = start[path][factor].double() if anchored else 0.0
        moves = [c * (vectors[n].terms[path][0][factor].double() - zero) for n, c in combination.weights.items()]
        return zero + torch.stack(moves).sum(0)

    for space in ("factors", "anchored"):
        right = {p: 0.5 * summed(p, 1, space == "anchored") @ summed(p, 0, space == "anchored") for p in SHAPES}
        update = realise(combination, vectors, space)
        close(update, right)
        assert (update.space, update.error) == (space, 0.0)
        assert all(term.a.dtype == torch.float32 for terms in update.terms.values() for term in terms)
    assert not torch.allclose(right["layer.0.q"], realise(combination, vectors, "factors").delta("layer.0.q").double())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(-2, 2).filter(lambda c: abs(c) > 1e-3), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from([1.0, 0.25, 2.0]), st.integers(0, 3)), min_size=4),
)
def test_delta_is_exact_for_any_ranks_scales_and_starts(weights: list[float], kinds: list[Any]) -> None:
    vectors, combination = {}, Combination()
    for k, (weight, (rank, scale, init_seed)) in enumerate(zip(weights, kinds, strict=False)):
        name = f"v[x{k}]"
        vectors[name] = trained(name, rank=rank, scale=scale, init_seed=init_seed)
        combination = combination + weight * vector(name)
    update = realise(combination, vectors, "delta")
    close(update, {path: exact(combination, vectors, path) for path in SHAPES})
    ranks = [len(term.a) for vector in vectors.values() for term in vector.terms["layer.0.q"]]
    assert {len(term.a) for terms in update.terms.values() for term in terms} == {sum(ranks)}


@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_one_whole_vector_is_itself(space: str) -> None:
    vectors = family(scale=0.5)
    update = realise(add(TASK, TARGET, 1.0), vectors, space)
    close(update, {path: exact(vector(TASK), vectors, path) for path in SHAPES})


def test_a_coefficient_counts_twice_in_factors() -> None:
    vectors = family()
    whole, part = (realise(parse(f"{c}*{TASK}"), vectors, "factors") for c in (1, 0.9))
    close(part, {path: 0.81 * whole.delta(path) for path in SHAPES})


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95))
def test_anchored_is_factors_where_coefficients_sum_to_one(lam: float) -> None:
    vectors = family()
    one, other = (realise(add(TASK, TARGET, lam), vectors, space) for space in ("factors", "anchored"))
    close(one, {path: other.delta(path) for path in SHAPES})


@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_the_order_of_terms_does_not_matter(space: str) -> None:
    vectors = family()
    texts = [f"0.6*{TASK} + 0.4*{TARGET} - 0.4*{SOURCE}", f"-0.4*{SOURCE} + 0.6*{TASK} + 0.4*{TARGET}"]
    one, other = (realise(parse(text), vectors, space) for text in texts)
    shuffled = realise(parse(texts[0]), dict(reversed(vectors.items())), space)
    for path in SHAPES:
        assert torch.equal(one.delta(path), other.delta(path))
        assert torch.equal(one.delta(path), shuffled.delta(path))


@pytest.mark.parametrize("rank", [1, 2, 3, 50])
def test_the_cut_and_its_error(rank: int) -> None:
    vectors, combination = family(), add_subtract(TASK, TARGET, SOURCE, 0.7)
    dense = {path: exact(combination, vectors, path) for path in SHAPES}
    right, lost, whole = {}, 0.0, 0.0
    for path, matrix in dense.items():
        u, values, v = torch.linalg.svd(matrix, full_matrices=False)
        right[path] = (u[:, :rank] * values[:rank]) @ v[:rank]
        lost += values[rank:].square().sum().item()
        whole += values.square().sum().item()
    update = realise(combination, vectors, Space("delta", rank))
    close(update, right)
    assert update.error == pytest.approx((lost / whole) ** 0.5, abs=1e-6)
    assert update.space == f"delta, rank {rank}"


def refused(message: str, combination: str, vectors: Mapping[str, Vector], space: str) -> None:
    with pytest.raises(LingarithError, match=message) as caught:
        realise(parse(combination), vectors, space)
    assert "\n" not in str(caught.value)


def test_unknown_things_are_refused() -> None:
    vectors = family()
    refused("no space named 'deltas'; did you mean delta?", TASK, vectors, "deltas")
    refused(r"no vector named 'xlsum\[eng\]'; did you mean xlsum\[en\]\?", "xlsum[eng]", vectors, "delta")
    assert realise(parse(f"{TASK} - {TASK}"), vectors, "delta") is None
    for space, rank in (("factors", 2), ("delta", 0)):
        with pytest.raises(LingarithError, match=f"rank={rank} needs space 'delta' and a rank of at least 1"):
            Space(space, rank)
    with pytest.raises(LingarithError, match="a sum of Kronecker products needs their number"):
        Space("delta", kronecker=(2, 2))


@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_vectors_of_different_backbones_are_refused(space: str) -> None:
    other = trained(TARGET)
    elsewhere = replace(other, origin={**other.origin, "backbone": {"fingerprint": "e" * 64}})
    both = f"{TASK} + {TARGET}"
    refused("belong to different backbones", both, {TASK: trained(TASK), TARGET: elsewhere}, space)
    wider = {path: (LoraTerm(torch.zeros(2, 9), b),) for path, ((_, b),) in other.terms.items()}
    wide = replace(other, terms=wider)
    refused("the sizes of layer.0.q differ", both, {TASK: trained(TASK), TARGET: wide}, space)


@pytest.mark.parametrize("space", ["factors", "anchored", "delta"])
def test_a_projection_that_one_vector_lacks(space: str) -> None:
    task, other = trained(TASK), trained(TARGET, rank=3 if space == "delta" else 2)
    fewer = replace(other, terms={path: held for path, held in other.terms.items() if path != "layer.1.q"})
    both, vectors = parse(f"0.5*{TASK} - {TARGET}"), {TASK: task, TARGET: fewer}
    if space != "delta":
        refused(f"in {space} space: only one of them adapts layer.1.q; use space=.delta", str(both), vectors, space)
        return
    wanted = {path: 0.5 * task.terms[path][0].delta() for path in SHAPES}
    for path in fewer.terms:
        wanted[path] -= fewer.terms[path][0].delta()
    update = realise(both, vectors, space)
    close(update, wanted)
    close(realise(both, dict(reversed(vectors.items())), space), wanted)
    assert update.terms["layer.1.q"][0].a.shape[0] == 2 < update.terms["layer.0.q"][0].a.shape[0] == 5
    assert 0 < realise(both, vectors, Space("delta", 1)).error < 1
    apart: dict[str, Vector] = {TASK: task}
    for name, inputs in ((TARGET, 9), (SOURCE, 8)):  # the two alone differ
        apart[name] = replace(fewer, name=name, terms={"x": (LoraTerm(torch.zeros(2, inputs), torch.zeros(4, 2)),)})
    refused("the sizes of x differ", f"{TASK} + {TARGET} + {SOURCE}", apart, space)


@pytest.mark.parametrize("space", ["factors", "anchored"])
def test_factors_must_be_of_one_kind(space: str) -> None:
    both = f"{TASK} + {TARGET}"
    for settings_, message in (
        ({"rank": 3}, "LoRA, rank 3 and LoRA, rank 2 differ"),
        ({"scale": 0.5}, r"α/r is 0.5 and 1.0"),
        ({"init_seed": 1}, r"initialisations \w{4}… and \w{4}… differ; train them with one init_seed"),
    ):
        vectors = {TASK: trained(TASK), TARGET: trained(TARGET, **settings_)}
        refused(rf'{message}.* use space="delta"', both, vectors, space)
        realise(parse(both), vectors, "delta")


def test_the_start_is_made_again() -> None:
    made = trained(TASK)
    start = starting_point(made)
    assert all(torch.equal(start[path][0].a, Lora(2).init(SHAPES, 0)[path].a) for path in SHAPES)
    silent = replace(made, origin={"backbone": HERE})
    refused('does not say what it started from; use space="delta"', TASK, {TASK: silent}, "anchored")
    lying = replace(made, origin={**made.origin, "init_seed": 5})
    refused("cannot be made again here", TASK, {TASK: lying}, "anchored")
    realise(parse(TASK), {TASK: silent}, "factors")
    both = {TASK: silent, TARGET: trained(TARGET)}
    refused(r'xlsum\[en\] does not say what it started from; use space="delta"', f"{TASK} + {TARGET}", both, "factors")


def test_a_composition_as_a_vector() -> None:
    vectors = {TASK: trained(TASK, rank=2), TARGET: trained(TARGET, rank=3, scale=0.5)}
    combination = parse(f"0.6*{TASK} - 0.4*{TARGET}")
    update = realise(combination, vectors, "delta")
    hashes = {TASK: "a1", TARGET: "b2", SOURCE: "unused"}
    made = Composition(combination, vectors, Space("delta")).vector(str(combination), hashes)
    assert (made.name, made.adapter, made.scale) == (str(combination), "LoRA, rank 5", 1.0)
    assert made.origin["parents"] == {TASK: "a1", TARGET: "b2"}
    assert (made.origin["expression"], made.origin["space"]) == (str(combination), "delta")
    assert made.origin["backbone"] == HERE
    again = realise(vector("c"), {"c": replace(made, name="c")}, "delta")
    close(again, {path: update.delta(path) for path in SHAPES})
    refused('does not say what it started from; use space="delta"', "c", {"c": made}, "anchored")


class Tiny(nn.Module):
    """The projections of ``SHAPES`` for PEFT to sit on, in float64."""

    def __init__(self) -> None:
        super().__init__()
        for path, (out, inner) in SHAPES.items():
            setattr(self, path.replace(".", "_"), nn.Linear(inner, out, bias=False, dtype=torch.float64))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {path: getattr(self, path.replace(".", "_"))(x) for path in SHAPES}


def in_peft(vectors: Mapping[str, Vector]) -> Any:
    """A PEFT model with one adapter for each vector, under its name without brackets."""
    from peft import LoraConfig, get_peft_model

    names = [path.replace(".", "_") for path in SHAPES]
    model: Any = None
    for name, made in vectors.items():
        rank = len(made.terms["layer.0.q"][0].a)
        config = LoraConfig(r=rank, lora_alpha=made.scale * rank, target_modules=names)
        if model is None:
            model = get_peft_model(Tiny(), config, adapter_name=plain(name))
        else:
            model.add_adapter(plain(name), config)
        for path, ((a, b),) in made.terms.items():
            layer = getattr(model.base_model.model, path.replace(".", "_"))
            layer.lora_A[plain(name)].weight.data.copy_(a)
            layer.lora_B[plain(name)].weight.data.copy_(b)
    return model


def plain(name: str) -> str:
    return name.replace("[", "_").replace("]", "")


def their_update(model: Any) -> dict[str, Tensor]:
    """What the active adapters add: the outputs for the unit vectors, with and without them."""
    with torch.no_grad():
        with_adapters = model(torch.eye(5, dtype=torch.float64))
        with model.disable_adapter():
            bare = model(torch.eye(5, dtype=torch.float64))
    return {path: (with_adapters[path] - bare[path]).T for path in SHAPES}


@pytest.fixture
def mixed() -> dict[str, Vector]:
    return {
        TASK: trained(TASK, rank=2, scale=0.5),
        TARGET: trained(TARGET, rank=3, init_seed=1),
        SOURCE: trained(SOURCE),
    }


EXPRESSIONS = [f"0.6*{TASK} + 0.4*{TARGET}", f"0.6*{TASK} + 0.4*({TARGET} - {SOURCE})"]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_delta_is_pefts_cat(text: str, mixed: dict[str, Vector]) -> None:
    combination, model = parse(text), in_peft(mixed)
    names = [plain(name) for name in combination.names]
    model.add_weighted_adapter(names, list(combination.weights.values()), "made", combination_type="cat")
    model.set_adapter("made")
    close(realise(combination, mixed, "delta"), their_update(model))


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_delta_is_several_active_adapters_in_peft(text: str, mixed: dict[str, Vector]) -> None:
    from peft.tuners.lora import LoraLayer

    combination, model = parse(text), in_peft(mixed)
    model.base_model.set_adapter([plain(name) for name in combination.names])
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            for name, weight in combination.weights.items():
                layer.set_scale(plain(name), weight)
    close(realise(combination, mixed, "delta"), their_update(model))


@pytest.mark.parametrize("rank", [1, 3])
def test_the_cut_is_pefts_svd(rank: int, mixed: dict[str, Vector]) -> None:
    combination, model = parse(EXPRESSIONS[0]), in_peft(mixed)
    names, weights = [plain(name) for name in combination.names], list(combination.weights.values())
    model.add_weighted_adapter(names, weights, "made", combination_type="svd", svd_rank=rank)
    model.set_adapter("made")
    close(realise(combination, mixed, Space("delta", rank)), their_update(model))


@pytest.mark.parametrize("space", ["factors", "anchored", "delta", "peft-linear"])
@pytest.mark.parametrize("size", ["1e20", "1e39", "1e300", "-1e39"])
def test_a_sum_that_overflows_is_refused_in_words(space: str, size: str) -> None:
    if (space, size) in {("delta", "1e20"), ("peft-linear", "1e20"), ("peft-linear", "1e39"), ("peft-linear", "-1e39")}:
        size = "1e38" if space == "delta" else "1e70"  # there a coefficient scales the update once, or its root does
    with pytest.raises(LingarithError, match=r"cannot be added: at layer\.0\.q .* take smaller"):
        realise(parse(f"{size}*{TASK}"), family(), space)


def test_numbers_of_vectors_that_overflow_together_are_refused() -> None:
    big = {TASK: replace(trained(TASK), terms={"q": (LoraTerm(torch.full((1, 2), 3e38), torch.ones(2, 1)),)})}
    for text in (TASK, f"2*{TASK}", f"1e-3*{TASK}"):
        with pytest.raises(LingarithError, match="NaN, Inf or numbers above"):
            realise(parse(text), big, "delta")
    assert realise(parse(f"1e-30*{TASK}"), big, "delta")
