"""RegMean against the least squares on the inputs themselves, the published formula, a case by hand, and its laws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, linalg

from lingarith.adapters.cores import Cores
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.merging import Merging

OUT, INNER, TOKENS = 12, 10, 40
some = settings(max_examples=15, deadline=None)
seeds, alphas, ridges = st.integers(0, 99), st.floats(0, 1), st.floats(1e-6, 100)
coefficients = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


def made(seed: int = 0, ranks: Sequence[int] = (2, 3, 2)) -> tuple[list[LoraTerm], list[Tensor]]:
    """Terms, and for each the inputs of the projection on its data (in × tokens, float64), of different directions."""
    g = torch.Generator().manual_seed(seed)
    terms = [LoraTerm(torch.randn(r, INNER, generator=g), torch.randn(OUT, r, generator=g)) for r in ranks]
    spread = [torch.rand(INNER, 1, generator=g, dtype=torch.float64) * 2 for _ in ranks]
    return terms, [wide * torch.randn(INNER, TOKENS, generator=g, dtype=torch.float64) for wide in spread]


def gram(x: Tensor) -> Tensor:
    return x @ x.T / x.shape[1]


def merge(text: str, terms: Sequence[LoraTerm], grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    cores = Cores(terms, weights, grams=[lambda one=one: one for one in grams])
    core, lost = Merging.of(text).merge(cores)
    assert lost == 0
    return cores.term(core).delta().double()


def exact(terms: Sequence[LoraTerm], weights: Sequence[float]) -> list[Tensor]:
    """cᵢΔWᵢ, dense."""
    return [c * term.delta().double() for c, term in zip(weights, terms, strict=True)]


def targets(terms: Sequence[LoraTerm], weights: Sequence[float]) -> list[Tensor]:
    """S·sgn(cᵢ)·ΔWᵢ, dense: what is to be done on the inputs of vector i."""
    total = sum(map(abs, weights))
    return [math.copysign(total, c) * term.delta().double() for c, term in zip(weights, terms, strict=True)]


def close(ours: Tensor, theirs: Tensor, within: float = 1e-4) -> None:
    torch.testing.assert_close(ours, theirs, rtol=within, atol=within * float(theirs.abs().max().clamp_min(1)))


@pytest.mark.parametrize("weights", [(0.6, 0.4, -0.4), (1 / 3, 1 / 3, 1 / 3), (-2.0, 1.0, 0.5)])
@pytest.mark.parametrize("ranks", [(2, 3, 2), (4, 4, 4), (1, 1, 9)])
@pytest.mark.parametrize("ridge", [1e-9, 0.01, 1.0])
def test_it_is_the_least_squares_on_the_inputs(
    weights: tuple[float, ...], ranks: tuple[int, ...], ridge: float
) -> None:
    terms, inputs = made(1, ranks)
    shares = [abs(weight) for weight in weights]
    # A little white noise among the inputs is the ridge: s is the mean square of an input.
    squares = [share * float(x.square().mean()) for share, x in zip(shares, inputs, strict=True)]
    noise = ridge * sum(squares) / sum(shares)
    noisy = [torch.cat([x / TOKENS**0.5, noise**0.5 * torch.eye(INNER).double()], 1) for x in inputs]
    seen = [share**0.5 * x for share, x in zip(shares, noisy, strict=True)]
    wanted = [update @ x for update, x in zip(targets(terms, weights), seen, strict=True)]
    whole = linalg.lstsq(torch.cat(seen, 1).T, torch.cat(wanted, 1).T).solution.T  # over all W
    close(merge(f"regmean:alpha=1,ridge={ridge}", terms, [gram(x) for x in inputs], weights), whole)


@pytest.mark.parametrize("ranks", [(4, 4, 4), (2, 3, 2)])
def test_it_is_the_published_formula(ranks: tuple[int, ...]) -> None:
    # (ΣGᵢ)⁻¹ΣGᵢWᵢ of the paper, transposed, with its scaling of what is off the diagonal
    terms, inputs = made(2, ranks)
    grams = [gram(x) for x in inputs]
    for alpha in (1.0, 0.9, 0.1, 0.0):
        shrunk = [alpha * one + (1 - alpha) * torch.diag(one.diagonal()) for one in grams]
        products = [term.delta().double() @ one for term, one in zip(terms, shrunk, strict=True)]
        published = sum(products) @ linalg.inv(sum(shrunk))  # an average, so that each coefficient is 1/N
        merged = merge(f"regmean:alpha={alpha},ridge=1e-9", terms, grams, [1 / 3] * 3)
        close(merged, published)
        assert linalg.matrix_rank(merged, rtol=1e-5) <= sum(ranks)


def test_by_hand() -> None:
    # ΔW = [[4, 0], [0, 0]] and [[0, 0], [0, 4]]; with G₁ + G₂ = 4·I and S = 2 it is 2·(ΔW₁G₁ + ΔW₂G₂)/4
    one = LoraTerm(torch.tensor([[4.0, 0]]), torch.tensor([[1.0], [0]]))
    other = LoraTerm(torch.tensor([[0.0, 4]]), torch.tensor([[0.0], [1]]))
    grams = [torch.tensor([[2.0, 1], [1, 2]]), torch.tensor([[2.0, -1], [-1, 2]])]
    for text, off in (("alpha=1,ridge=1e-9", 2.0), ("alpha=0.5,ridge=1e-9", 1.0), ("alpha=1,ridge=1", 1.0)):
        close(merge(f"regmean:{text}", [one, other], grams, (1, 1)), torch.tensor([[4, off], [-off, 4]]).double())
    # with a coefficient of −1: 2·(ΔW₁G₁ − ΔW₂G₂)/4
    subtracted = merge("regmean:alpha=1,ridge=1e-9", [one, other], grams, (1, -1))
    close(subtracted, torch.tensor([[4, 2], [2, -4]]).double())


# ---------------------------------------------------------------- laws


@some
@given(seeds, alphas, ridges, coefficients)
def test_vectors_of_the_same_inputs_are_summed(seed: int, alpha: float, ridge: float, weights: list[float]) -> None:
    terms, (x, *_) = made(seed)
    merged = merge(f"regmean:alpha={alpha},ridge={ridge}", terms, [gram(x)] * 3, weights)
    close(merged, sum(exact(terms, weights)))


@some
@given(seeds, alphas, st.floats(0.1, 5))
def test_one_vector_is_what_it_is(seed: int, alpha: float, weight: float) -> None:
    terms, inputs = made(seed)
    close(
        merge(f"regmean:alpha={alpha}", terms[:1], [gram(inputs[0])], [weight]),
        exact(terms[:1], [weight])[0],
    )


@some
@given(seeds, alphas, ridges, st.floats(1e-6, 1e6))
def test_the_scale_of_the_inputs_does_not_matter(seed: int, alpha: float, ridge: float, scale: float) -> None:
    terms, inputs = made(seed)
    text, grams, weights = (
        f"regmean:alpha={alpha},ridge={ridge}",
        [gram(x) for x in inputs],
        (0.6, 0.4, -0.4),
    )
    close(merge(text, terms, [scale * one for one in grams], weights), merge(text, terms, grams, weights))


@some
@given(seeds, coefficients)
def test_it_is_a_minimum_whatever_is_subtracted(seed: int, weights: list[float]) -> None:
    terms, inputs = made(seed, (4, 4, 4))

    def loss(w: Tensor) -> float:
        parts = zip(weights, targets(terms, weights), inputs, strict=True)
        return sum(abs(c) * float(((w - update) @ x).square().mean()) for c, update, x in parts)

    assume(sum(map(abs, weights)) > 0.1)
    merged = merge("regmean:alpha=1,ridge=1e-9", terms, [gram(x) for x in inputs], weights)
    g = torch.Generator().manual_seed(seed)
    for _ in range(5):
        step = torch.randn(OUT, INNER, generator=g, dtype=torch.float64) * 0.1
        assert loss(merged + step) > loss(merged)


@some
@given(seeds)
def test_turning_inputs_turns_the_result(seed: int) -> None:
    terms, inputs = made(seed)
    g = torch.Generator().manual_seed(seed + 1)
    turn, weights = linalg.qr(torch.randn(INNER, INNER, generator=g, dtype=torch.float64)).Q, (0.6, 0.4, -0.4)
    turned = [LoraTerm((a.double() @ turn).float(), b) for a, b in terms]
    text = "regmean:alpha=1"  # the diagonal of a turned matrix is another
    ours = merge(text, turned, [gram(turn.T @ x) for x in inputs], weights)
    close(ours, merge(text, terms, [gram(x) for x in inputs], weights) @ turn, 1e-3)


@some
@given(seeds, alphas, coefficients)
def test_a_vector_that_takes_no_part_changes_nothing(seed: int, alpha: float, weights: list[float]) -> None:
    terms, inputs = made(seed)
    text, grams = f"regmean:alpha={alpha}", [gram(x) for x in inputs]
    with_it = merge(text, terms, grams, (*weights[:2], 0.0))
    close(with_it, merge(text, terms[:2], grams[:2], weights[:2]))


def test_a_large_ridge_and_inputs_of_nothing_leave_the_sum() -> None:
    terms, inputs = made()
    weights = (0.6, 0.4, -0.4)
    total = sum(exact(terms, weights))
    close(merge("regmean:ridge=1e9", terms, [gram(x) for x in inputs], weights), total)
    close(merge("regmean", terms, [torch.zeros(INNER, INNER)] * 3, weights), total)
