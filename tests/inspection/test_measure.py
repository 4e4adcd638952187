"""What a composition does: cases worked out by hand, and everything against dense numpy arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lingarith.adapters.cores import Cores
from lingarith.adapters.kronecker import Kronecker, KroneckerTerm
from lingarith.adapters.lora import Lora, LoraTerm
from lingarith.adapters.merging import Merging
from lingarith.adapters.terms import Term, spectrum
from lingarith.algebra import Combination, add_subtract, parse, vector
from lingarith.errors import LingarithError
from lingarith.inspection import measure as module
from lingarith.inspection.figures import Figures
from lingarith.inspection.measure import inspect, place
from lingarith.report.inspected import warnings
from lingarith.vectors.composition import SPACES, Space, realise
from lingarith.vectors.outline import FlatTensors
from lingarith.vectors.vector import Vector, content_hash

SHAPES = {"layer.0.q": (6, 4), "layer.0.v": (4, 4), "layer.1.q": (6, 4)}
HERE = {"name": "tiny", "fingerprint": "f" * 64}
TASK, TARGET, SOURCE = "xlsum[en]", "mc4[pt]", "mc4[en]"


def trained(name: str, adapter: Lora | Kronecker, *, drift: float = 0.3, seed: int = 0, scale: float = 1.0) -> Vector:
    """A vector whose random factor went ``drift`` away from its start, entry by entry."""
    start = adapter.init(SHAPES, 0)
    g = torch.Generator().manual_seed(sum(name.encode()) + seed)

    def moved(factor: torch.Tensor) -> torch.Tensor:
        return factor + (drift if factor.any() else 1.0) * torch.randn(factor.shape, generator=g)

    terms = {path: (type(term)(*map(moved, term)),) for path, term in start.items()}
    begun = content_hash(FlatTensors({path: (term,) for path, term in start.items()}))
    return Vector(name, terms, scale, {"backbone": HERE, "init_seed": 0, "init_hash": begun})


def family(adapter: Lora | Kronecker | None = None, **given: Any) -> dict[str, Vector]:
    return {name: trained(name, adapter or Lora(2), **given) for name in (TASK, TARGET, SOURCE)}


def by_hand() -> dict[str, Vector]:
    """x is [[2, 0], [4, 0]] and y is [[18, 12], [0, 0]]."""
    one = LoraTerm(torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0], [4.0]]))
    two = LoraTerm(torch.tensor([[3.0, 2.0]]), torch.tensor([[6.0], [0.0]]))
    return {name: Vector(name, {"q": (pair,)}, 1.0, {"init_hash": "0"}) for name, pair in (("x", one), ("y", two))}


def close(left: float | None, right: float) -> None:
    assert left == pytest.approx(right, rel=1e-5, abs=1e-6)


def test_a_projection_that_one_vector_lacks() -> None:
    x, y = family(Lora(2))[TASK], trained(TARGET, Lora(2))
    fewer = Vector(TARGET, {path: held for path, held in y.terms.items() if path != "layer.0.v"}, 1.0, y.origin)
    begun = content_hash(FlatTensors({p: (t,) for p, t in Lora(2).init(SHAPES, 0).items() if p != "layer.0.v"}))
    fewer.origin["init_hash"] = begun  # type: ignore[index]
    zero = {**y.terms, "layer.0.v": (LoraTerm(torch.zeros(2, 4), torch.zeros(4, 2)),)}
    filled = Vector(TARGET, zero, 1.0, {"backbone": HERE})
    combination = parse(f"0.7*{TASK} - 0.4*{TARGET}")
    one, other = (inspect(combination, {TASK: x, TARGET: vector_}) for vector_ in (fewer, filled))
    assert list(one.refused) == ["factors", "anchored"]
    assert "only one of them adapts layer.0.v" in one.refused["factors"]
    for paths in (None, ["layer.0.v"], ["layer.0.q"]):
        here, there = one.figures(paths), other.figures(paths)
        close(here.norm, there.norm)
        assert here.summands == pytest.approx(there.summands)
        assert here.lost["rank"][:2] == pytest.approx(there.lost["rank"][:2], abs=1e-6)
        assert (here.conflicts, here.cancelled) == pytest.approx((there.conflicts, there.cancelled))
    assert one.figures(["layer.0.v"]).drift[TARGET] is None
    assert one.figures().drift[TARGET] == inspect(parse(TARGET), {TARGET: fewer}).figures().drift[TARGET]
    assert f"{TARGET} adds nothing on 1 of 3 projections (layer.0.v)" in warnings(one)


def test_a_difference_by_hand() -> None:
    figures = inspect(parse("x - y"), by_hand(), ["factors", "delta"]).figures()
    # the exact sum is [[-16, -12], [4, 0]]; factors makes (−4, 4)ᵀ(−2, −2) = [[8, 8], [−8, −8]] of it
    close(figures.norm, 416**0.5)
    assert figures.summands == pytest.approx({"x": 20**0.5, "y": 468**0.5})
    close(figures.cosines["x"]["y"], -36 / (20 * 468) ** 0.5)
    made = figures.results["factors"]
    close(made.cosine, -256 / (256 * 416) ** 0.5)
    close(made.ratio, (256 / 416) ** 0.5)
    # −2·x − ⅔·(−y) = [[−4 + 12, 8], [−8, 0]] is the nearest sum: what is left, [[0, 0], [0, −8]], is orthogonal to both
    assert made.shares == pytest.approx({"x": -2, "y": -2 / 3})
    close(made.residual, 8 / 16)
    exactly = figures.results["delta"]
    assert [exactly.cosine, exactly.ratio, *exactly.shares.values()] == pytest.approx([1, 1, 1, 1])
    close(exactly.residual, 0)
    # 2 and −18 meet in one of four entries; of 36 in magnitude 32 are left
    close(figures.conflicts, 1 / 4)
    close(figures.cancelled, 4 / 36)
    # σ₁² + σ₂² = 416 and σ₁σ₂ = |det| = 48
    close(figures.lost["rank"][0], ((416 - (416**2 - 4 * 48**2) ** 0.5) / 2 / 416) ** 0.5)
    close(figures.lost["rank"][1], 0)
    assert list(figures.lost) == ["rank"]
    assert figures.drift == {"x": None, "y": None}


@pytest.mark.parametrize("c", [0.9, 0.25, -1.0, -0.5])
def test_a_coefficient_counts_twice_in_factors(c: float) -> None:
    result = inspect(c * vector("x"), by_hand()).figures().results["factors"]
    # c²·ΔW where c·ΔW is asked for: −x comes out as x
    close(result.shares["x"], c)
    close(result.cosine, 1 if c > 0 else -1)
    close(result.ratio, abs(c))
    close(result.residual, 0)


def test_one_start_without_drift() -> None:
    """With one A for all vectors a result is a sum of the summands again: shares follow from the definitions."""
    figures = inspect(add_subtract(TASK, TARGET, SOURCE, 0.8), family(drift=0.0)).figures()
    # factors: A is 0.8·A₀, so every summand is scaled by 0.8
    assert figures.results["factors"].shares == pytest.approx({TASK: 0.8, TARGET: 0.8, SOURCE: 0.8}, rel=1e-4)
    assert figures.results["anchored"].shares == pytest.approx({TASK: 1, TARGET: 1, SOURCE: 1}, rel=1e-4)
    # peft-linear: (√0.8·B₁ + √0.2·B₂ + √0.2·B₃)·√0.8·A₀, in which the source language is added
    linear = figures.results["peft-linear"].shares
    assert linear == pytest.approx({TASK: 1, TARGET: 2, SOURCE: -2}, rel=1e-4)
    assert [result.residual for result in figures.results.values()] == pytest.approx([0, 0, 0, 0], abs=1e-3)
    assert {drift and drift.drift for drift in figures.drift.values()} == {0.0}


def test_peft_linear_subtracts_to_nothing() -> None:
    figures = inspect(parse(f"{TARGET} - {SOURCE}"), family(drift=0.0)).figures()
    broken = figures.results["peft-linear"]
    assert (broken.cosine, broken.ratio, broken.residual) == (None, 0, None)
    assert broken.shares == {TARGET: 0, SOURCE: 0}
    assert figures.norm > 1


def test_a_summand_that_is_nothing_and_one_that_is_there_twice() -> None:
    vectors = by_hand()
    ((a, b),) = vectors["x"].terms["q"]
    vectors["none"] = Vector("none", {"q": (LoraTerm(a, 0 * b),)}, 1.0, {"init_hash": "0"})
    vectors["again"] = Vector("again", vectors["x"].terms, 1.0, {"init_hash": "0"})
    result = inspect(parse("x + again + y + none"), vectors).figures().results["delta"]
    assert result.shares == {"x": pytest.approx(1), "again": pytest.approx(1), "y": pytest.approx(1), "none": None}
    undone = inspect(parse("x - again"), vectors).figures()
    assert (undone.norm, undone.results["delta"].cosine, undone.cancelled) == (0, None, 1)


@given(seed=st.integers(0, 10**6), factor=st.floats(0.01, 100), rank=st.integers(1, 4))
@settings(max_examples=50, deadline=None)
def test_a_vector_less_itself_is_nothing_however_its_factors_were_rounded(seed: int, factor: float, rank: int) -> None:
    """(b/f)·(f·a) is b·a up to float32; neither `inspect` nor `keepnorm` takes what is left for a direction, and
    both do what is a hundred times that."""
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(rank, 8, generator=g), torch.randn(6, rank, generator=g)
    terms = {"x": LoraTerm(a, b), "same": LoraTerm(factor * a, b / factor), "other": LoraTerm(a * (1 + 1e-5), b)}
    vectors = {name: Vector(name, {"q": (term,)}, 1.0, {"init_hash": name}) for name, term in terms.items()}
    for other in ("same", "other"):
        figures = inspect(parse(f"x - {other}"), vectors).figures()
        core, _ = Merging.of("keepnorm").merge(Cores([terms["x"], terms[other]], [1.0, -1.0], [True, True]))
        assert bool(figures.norm) == bool(core.any()) == (other == "other")
        assert (figures.results["delta"].cosine is None) == (other == "same")


@pytest.mark.parametrize(("adapter", "random"), [(Lora(2), 0), (Kronecker(2, 2), 1)])
def test_drift(adapter: Lora | Kronecker, random: int) -> None:
    vectors, start = family(adapter), adapter.init(SHAPES, 0)
    apart, begun, grown = (
        sum(float(tensor.square().sum()) for tensor in tensors) ** 0.5
        for tensors in (
            [vectors[TASK].terms[path][0][random] - start[path][random] for path in SHAPES],
            [start[path][random] for path in SHAPES],
            [vectors[TASK].terms[path][0][1 - random] for path in SHAPES],
        )
    )
    drift = inspect(vector(TASK), vectors).figures().drift[TASK]
    assert drift is not None
    assert [drift.drift, drift.start, drift.grown] == pytest.approx([apart / begun, begun, grown])


def test_a_space_that_refuses_says_why() -> None:
    vectors = {TASK: trained(TASK, Lora(2)), TARGET: trained(TARGET, Kronecker(2, 2))}
    found = inspect(parse(f"{TASK} + {TARGET}"), vectors)
    assert list(found.figures().results) == ["delta"]
    assert set(found.refused) == {"factors", "anchored", "peft-linear"}
    for space, reason in found.refused.items():
        assert f"cannot be added in {space} space" in reason
        assert "use space" not in reason
    assert list(found.figures().lost) == ["rank"]


def test_a_cut_is_a_space_too() -> None:
    vectors, combination = family(), parse(f"{TASK} + {TARGET} - {SOURCE}")
    cut = Space("delta", rank=2)
    figures = inspect(combination, vectors, [cut]).figures()
    result, error = figures.results["delta, rank 2"], realise(combination, vectors, cut).error
    close(figures.lost["rank"][1], error)
    # a best approximation is an orthogonal projection
    close(result.cosine, (1 - error**2) ** 0.5)
    close(result.ratio, (1 - error**2) ** 0.5)


def test_kronecker_products_by_their_number() -> None:
    vectors, combination = family(Kronecker(2, 2)), parse(f"{TASK} + {TARGET} - {SOURCE}")
    lost = inspect(combination, vectors).figures().lost
    assert list(lost) == ["rank", "2 × 2"]
    for count, error in enumerate(lost["2 × 2"], 1):
        close(error, realise(combination, vectors, Space("delta", rank=count, kronecker=(2, 2))).error)
    for rank, error in enumerate(lost["rank"], 1):
        close(error, realise(combination, vectors, Space("delta", rank=rank)).error)
    assert lost["rank"][-1] == pytest.approx(0, abs=1e-6)


def test_large_sums_are_approximated_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    g = torch.Generator().manual_seed(0)
    terms: tuple[Term, ...] = (
        KroneckerTerm(torch.randn(3, 8, 16, generator=g), torch.randn(3, 16, 8, generator=g)),
        LoraTerm(torch.randn(4, 128, generator=g), torch.randn(128, 4, generator=g)),
    )
    before = torch.random.get_rng_state()
    monkeypatch.setattr(module, "FORMED", 127)
    near, right = module._values(terms), spectrum(terms)
    assert len(near) == module.RANKS
    assert torch.equal(before, torch.random.get_rng_state())

    def lost(values: torch.Tensor) -> torch.Tensor:
        return ((right.square().sum() - values[:64].square().cumsum(0)) / right.square().sum()).sqrt()

    assert bool((lost(near) >= lost(right) - 1e-5).all())  # what is formed, is formed in float32
    torch.testing.assert_close(lost(near), lost(right), rtol=0.01, atol=0)


def test_columns_stand_for_a_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all columns are alike, some of them tell the same as all."""
    ones, columns = torch.ones(1, 8), {"x": [1.0, -2.0, 3.0], "y": [-1.0, -2.0, 1.0]}
    vectors = {
        name: Vector(name, {"q": (LoraTerm(ones, torch.tensor([b]).T),), "k": (LoraTerm(ones[:, :2], ones.T),)}, 1.0)
        for name, b in columns.items()
    }
    whole = inspect(parse("x + y"), vectors, []).figures()
    monkeypatch.setattr(module, "ENTRIES", 9)
    part = inspect(parse("x + y"), vectors, []).figures()
    assert (part.conflicts, part.cancelled) == pytest.approx((whole.conflicts, whole.cancelled))
    close(whole.conflicts, 8 / (24 + 16))


def test_outliers_are_compared_with_their_kind() -> None:
    def vectors(norms: Mapping[str, float]) -> dict[str, Vector]:
        unit = torch.tensor([[1.0]])
        return {"x": Vector("x", {path: (LoraTerm(unit, norm * unit),) for path, norm in norms.items()}, 1.0)}

    usual = {f"layers.{layer}.q": 1 + 0.1 * layer for layer in range(5)}
    other = {f"layers.{layer}.v": 100 + layer for layer in range(5)}
    assert inspect(vector("x"), vectors(usual | other), []).outliers() == {}
    found = inspect(vector("x"), vectors(usual | other | {"layers.3.q": 12.0, "layers.1.v": 1.0}), []).outliers()
    assert found == pytest.approx({"layers.3.q": 12 / 1.2, "layers.1.v": 1 / 102})
    assert inspect(vector("x"), vectors({"layers.0.q": 1.0, "layers.1.q": 0.0, "layers.2.q": 1.1}), []).outliers() == {
        "layers.1.q": 0.0
    }
    # a spread as wide as that has no outlier
    assert inspect(vector("x"), vectors({f"layers.{n}.q": 3.0**n for n in range(6)}), []).outliers() == {}


def test_places() -> None:
    assert place("model.layers.11.self_attn.q_proj") == (11, "model.layers.*.self_attn.q_proj")
    assert place("query") == (None, "query")


def test_what_cannot_be_inspected() -> None:
    with pytest.raises(LingarithError, match="the combination is 0"):
        inspect(Combination(), {})
    with pytest.raises(LingarithError, match="no vector named 'z'"):
        inspect(parse("x + z"), by_hand())
    with pytest.raises(LingarithError, match="did you mean delta"):
        inspect(parse("x"), by_hand(), ["delte"])
    with pytest.raises(LingarithError, match="m=3 does not divide"):
        inspect(parse("x"), by_hand(), ["factors", Space("delta", rank=1, kronecker=(3, 2))])
    with pytest.raises(LingarithError, match=r"rank 2 is too high: the exact sum has rank 1"):
        inspect(parse("x"), by_hand(), [Space("delta", rank=2)])
    elsewhere = by_hand()
    elsewhere["y"].origin["backbone"] = {"fingerprint": "other"}  # type: ignore[index]
    with pytest.raises(LingarithError, match="different backbones"):
        inspect(parse("x + y"), elsewhere)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.floats(-2, 2).filter(lambda c: abs(c) > 0.01), min_size=3, max_size=3),
    st.sampled_from([Lora(1), Lora(2), Kronecker(2, 2), Kronecker(4, 1)]),
    st.integers(0, 50),
)
def test_figures_are_those_of_dense_arithmetic(weights: list[float], adapter: Lora | Kronecker, seed: int) -> None:
    vectors = family(adapter, seed=seed, scale=1.0 if isinstance(adapter, Kronecker) else 0.5)
    combination = sum((c * vector(n) for c, n in zip(weights, vectors, strict=True)), Combination())
    found = inspect(combination, vectors)
    for paths in (list(SHAPES), ["layer.0.v"]):
        check(found.figures(paths), combination, vectors, paths)


def check(figures: Figures, combination: Combination, vectors: Mapping[str, Vector], paths: list[str]) -> None:
    def flat(one: Combination, space: str) -> Any:
        update = realise(one, vectors, space)
        return numpy.concatenate([update.delta(path).double().numpy().ravel() for path in paths])

    summands = numpy.stack([flat(c * vector(name), "delta") for name, c in combination.weights.items()])
    whole = summands.sum(0)
    length = numpy.linalg.norm
    tight = {"rel": 1e-3, "abs": 1e-4}
    assert figures.norm == pytest.approx(length(whole), **tight)
    assert list(figures.summands.values()) == pytest.approx(length(summands, axis=1), **tight)
    units = summands / length(summands, axis=1, keepdims=True)
    assert [list(row.values()) for row in figures.cosines.values()] == [
        pytest.approx(row, **tight) for row in units @ units.T
    ]
    for space in SPACES:
        result = flat(combination, space)
        shares, *_ = numpy.linalg.lstsq(summands.T, result, rcond=None)
        made = figures.results[space]
        assert made.cosine == pytest.approx(whole @ result / length(whole) / length(result), **tight)
        assert made.ratio == pytest.approx(length(result) / length(whole), **tight)
        assert list(made.shares.values()) == pytest.approx(shares, rel=1e-2, abs=1e-2)
        assert made.residual == pytest.approx(length(result - shares @ summands) / length(result), abs=2e-3)
    opposed = (summands > 0).any(0) & (summands < 0).any(0)
    assert figures.conflicts == pytest.approx(opposed.mean())
    assert figures.cancelled == pytest.approx(1 - abs(whole).sum() / abs(summands).sum(), **tight)
