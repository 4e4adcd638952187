"""Each way to merge against the dense computation in float64, published code, PEFT, and its laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, linalg

from lingarith.adapters.cores import Cores
from lingarith.adapters.kronecker import KroneckerTerm
from lingarith.adapters.lora import LoraTerm
from lingarith.adapters.merging import MERGINGS, Merging
from lingarith.errors import LingarithError

OUT, INNER = 12, 10
WEIGHTS = (0.6, 0.4, -0.4)
some = settings(max_examples=15, deadline=None)
names, seeds = st.sampled_from(sorted(MERGINGS)), st.integers(0, 99)
SMOOTH = sorted(set(MERGINGS) - {"ties", "dare", "regmean"})
"""Those that know nothing of single entries, and of no data."""


def made(seed: int = 0, ranks: Sequence[int] = (2, 3, 2)) -> list[LoraTerm]:
    g = torch.Generator().manual_seed(seed)
    return [LoraTerm(torch.randn(r, INNER, generator=g), torch.randn(OUT, r, generator=g)) for r in ranks]


def grams_of(terms: Sequence[Any], seed: int = 0) -> list[Callable[[], Tensor]]:
    """A random Gram matrix for each term, which regmean alone asks for."""
    g = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(40, terms[0].size[1], generator=g) for _ in terms]
    return [lambda x=x: x.T @ x / len(x) for x in inputs]


def merge(text: str, terms: Sequence[Any], weights: Sequence[float] = WEIGHTS, depth: float | None = 0.4) -> Tensor:
    cores = Cores(terms, weights, [True, *[False] * (len(terms) - 1)], depth, grams_of(terms))
    return cores.term(Merging.of(text).merge(cores)[0]).delta().double()


def exact(terms: Sequence[Any], weights: Sequence[float] = WEIGHTS) -> list[Tensor]:
    """cᵢΔWᵢ, dense."""
    return [c * term.delta().double() for c, term in zip(weights, terms, strict=True)]


# ---------------------------------------------------------------- dense


def polar(columns: Tensor) -> Tensor:
    u, _, v = linalg.svd(columns, full_matrices=False)
    return u @ v


def dense_tsv(updates: list[Tensor], ranks: Sequence[int]) -> Tensor:
    parts = [linalg.svd(update, full_matrices=False) for update in updates]
    kept = [(u[:, :r], s[:r], v[:r]) for (u, s, v), r in zip(parts, ranks, strict=True)]
    u, s, v = (torch.cat([part[k] for part in kept], dim) for k, dim in ((0, 1), (1, 0), (2, 0)))
    return polar(u) * s @ polar(v.T).T


def dense_iso(updates: list[Tensor], rank: int, count: int) -> Tensor:
    u, s, v = linalg.svd(sum(updates), full_matrices=False)
    return s.sum() / count * (u[:, :rank] @ v[:rank])


def dense_wudi(updates: list[Tensor], ridge: float) -> Tensor:
    grams = [update.T @ update / update.square().sum() for update in updates]
    whole = sum(grams) + ridge * torch.eye(INNER, dtype=torch.float64)
    return sum(update @ gram for update, gram in zip(updates, grams, strict=True)) @ linalg.inv(whole)


def projector(columns: Tensor) -> Tensor:
    return columns @ linalg.pinv(columns, rtol=1e-6)


def dense_project(updates: list[Tensor], sides: str) -> Tensor:
    left, right = projector(updates[2]), projector(updates[2].T)
    eye = torch.eye(OUT, dtype=torch.float64), torch.eye(INNER, dtype=torch.float64)
    total = updates[0] + updates[1]
    return total - (eye[0] if sides == "right" else left) @ total @ (eye[1] if sides == "left" else right)


def dense_keepnorm(updates: list[Tensor]) -> Tensor:
    total = sum(updates)
    return total / total.norm() * max(x.norm() / abs(c) for x, c in zip(updates, WEIGHTS, strict=True))


DENSE: dict[str, Callable[[list[Tensor]], Tensor]] = {
    "sum": lambda x: x[0] + x[1] + x[2],
    "keepnorm": dense_keepnorm,
    "layers:outer=0.25,ramp=0.3": lambda x: x[0] / 2 + x[1] / 2 + x[2] / 2,  # x = 0.4: half-way down the ramp
    "layers:outer=0.1,ramp=0.1,language=0.2": lambda x: x[0] + 0.2 * (x[1] + x[2]),
    "layers:outer=0.5,task=0.3": lambda x: 0.3 * x[0] + x[1] + x[2],
    "lines:first=0.5,last=1": lambda x: 0.7 * (x[0] + x[1] + x[2]),
    "project": lambda x: dense_project(x, "both"),
    "project:sides=left": lambda x: dense_project(x, "left"),
    "project:sides=right": lambda x: dense_project(x, "right"),
    "wudi": lambda x: dense_wudi(x, 0.01),
    "wudi:ridge=1": lambda x: dense_wudi(x, 1),
    "tsv": lambda x: dense_tsv(x, (2, 3, 2)),
    "tsv:keep=0.5": lambda x: dense_tsv(x, (1, 2, 1)),
    "iso": lambda x: dense_iso(x, 7, 7),
    "iso:mean=full": lambda x: dense_iso(x, 7, 10),
}


@pytest.mark.parametrize("text", DENSE)
def test_cores_are_the_dense_computation(text: str) -> None:
    terms = made()
    torch.testing.assert_close(merge(text, terms), DENSE[text](exact(terms)), rtol=1e-4, atol=1e-4)


def test_half_a_ramp() -> None:
    parts = exact(made())
    for depth, share in ((0.25, 1.0), (0.325, 0.5), (0.675, 0.5), (0.4, 0.0), (None, None)):
        wanted = sum(parts) if share is None else (1 - share) * parts[0] + share * (parts[1] + parts[2])
        got = merge("layers:outer=0.25,ramp=0.15", made(), depth=depth)
        torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def spans(updates: list[Tensor]) -> tuple[Tensor, Tensor]:
    return projector(torch.cat(updates, 1)), projector(torch.cat(updates, 0).T)


@pytest.mark.parametrize("density", [0.2, 0.5, 0.99])
def test_ties_are_pefts_on_the_terms_own_spaces(density: float) -> None:
    from peft.utils.merge_utils import ties

    terms, weights = made(), (0.5, 0.5, 0.5)  # PEFT elects signs before coefficients: one of them for all
    theirs = ties([t.delta().double() for t in terms], torch.tensor(weights).double(), density)
    left, right = spans(exact(terms, weights))
    cores = Cores(terms, weights)
    core, lost = Merging.of(f"ties:density={density}").merge(cores)
    ours = cores.term(core).delta().double()
    torch.testing.assert_close(ours, left @ theirs @ right, rtol=1e-4, atol=1e-4)
    assert lost == pytest.approx((theirs - left @ theirs @ right).square().sum().item(), rel=1e-4)


def test_ties_by_hand() -> None:
    # ΔW = (3, −1, 0.2, 2) and (−1, −2, 0.1, 2): the two largest of each; +3 and −1 is trimmed; 2 and 2 are averaged
    one, other = (LoraTerm(torch.eye(4), torch.tensor([row])) for row in ([3.0, -1, 0.2, 2], [-1.0, -2, 0.1, 2]))
    cores = Cores([one, other], [1.0, 1.0])
    core, lost = Merging.of("ties:density=0.5").merge(cores)
    torch.testing.assert_close(cores.term(core).delta(), torch.tensor([[3.0, -2, 0, 2]]))
    assert lost == pytest.approx(0, abs=1e-12)


def test_what_is_subtracted_has_the_other_sign_in_ties() -> None:
    term = made()[0]
    torch.testing.assert_close(merge("ties", [term, term], (1.0, -0.5)), merge("ties", [term, term], (1.0, -0.1)))


def test_dare_is_the_sum_on_average() -> None:
    terms = made()
    total = sum(exact(terms))
    drawn = torch.stack([merge(f"dare:density=0.5,seed={seed}", terms) for seed in range(300)])
    assert (drawn[0] - drawn[1]).norm() > 0.1
    assert ((drawn.mean(0) - total).norm() / total.norm()).item() < 0.1
    torch.testing.assert_close(merge("dare:density=1", terms), total, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(drawn[0], merge("dare:density=0.5,seed=0", terms))


def test_tsv_is_the_published_codes() -> None:
    # src/utils/TSVM_utils.py of https://github.com/AntoAndGar/task_singular_vectors (2025) on these two updates in
    # float64, whose rank is just the share of singular vectors that it keeps: min(12, 8) / 2.
    g = torch.Generator().manual_seed(0)
    terms = [LoraTerm(torch.randn(4, 8, generator=g), torch.randn(12, 4, generator=g)) for _ in range(2)]
    result = merge("tsv", terms, (0.6, -0.4))
    assert result.norm().item() == pytest.approx(14.1157944, rel=1e-5)
    assert result.sum().item() == pytest.approx(36.3188403, rel=1e-5)
    assert result[0, :4].tolist() == pytest.approx([0.3172627, 1.4316320, -3.0847350, 1.3977765], rel=1e-4)


def test_published_iso_where_the_sum_has_full_rank() -> None:
    terms = made(ranks=(4, 4, 4))  # beyond min(12, 10): u·v of all directions, and the mean of all values
    u, s, v = linalg.svd(sum(exact(terms)), full_matrices=False)
    for mean in ("rank", "full"):
        torch.testing.assert_close(merge(f"iso:mean={mean}", terms), s.mean() * (u @ v), rtol=1e-4, atol=1e-4)


# ---------------------------------------------------------------- laws


@some
@given(names, seeds, st.permutations([0, 1, 2]))
def test_the_order_of_terms_does_not_matter(name: str, seed: int, order: list[int]) -> None:
    terms, tasks = made(seed), [True, False, False]
    results = []
    for places in ([0, 1, 2], order):
        *parts, grams = ([some[k] for k in places] for some in (terms, WEIGHTS, tasks, grams_of(terms)))
        cores = Cores(*parts, depth=0.3, grams=grams)
        results.append(cores.term(Merging.of(name).merge(cores)[0]).delta())
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


@some
@given(names, seeds, st.floats(0.1, 5))
def test_a_common_factor_goes_through(name: str, seed: int, factor: float) -> None:
    terms = made(seed)
    scaled = merge(name, terms, [factor * c for c in WEIGHTS])
    expected = merge(name, terms) * (1 if name == "keepnorm" else factor)  # whose norm is that of a vector
    torch.testing.assert_close(scaled, expected, rtol=1e-3, atol=1e-3)


@some
@given(st.sampled_from(SMOOTH), seeds)
def test_turning_inputs_and_outputs_turns_the_result(name: str, seed: int) -> None:
    terms = made(seed)
    g = torch.Generator().manual_seed(seed + 1)
    left, right = (linalg.qr(torch.randn(n, n, generator=g, dtype=torch.float64)).Q for n in (OUT, INNER))
    turned = [LoraTerm((a.double() @ right).float(), (left @ b.double()).float()) for a, b in terms]
    torch.testing.assert_close(merge(name, turned), left @ merge(name, terms) @ right, rtol=1e-3, atol=1e-3)


@some
@given(st.sampled_from(["sum", "tsv", "wudi", "project"]), seeds)
def test_terms_that_do_not_meet_are_summed(name: str, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    u, v = (linalg.qr(torch.randn(n, n, generator=g)).Q for n in (OUT, INNER))
    terms = [LoraTerm(v[:, k : k + 2].T.clone(), 2 * u[:, k : k + 2].clone()) for k in (0, 2, 4)]
    expected = sum(exact(terms)[: 2 if name == "project" else 3])
    result = merge("wudi:ridge=1e-9" if name == "wudi" else name, terms)
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MERGINGS)
def test_vectors_of_one_start_are_merged_too(name: str) -> None:
    # One A for all: the row spaces coincide, and whatever divides by what is not there would be large.
    a = torch.randn(3, INNER)
    terms = [LoraTerm(a, term.b) for term in made(ranks=(3, 3, 3))]
    assert merge(name, terms).norm() < 3 * max(x.norm() for x in exact(terms, (1, 1, 1)))
    # RegMean alone looks for rows beyond those of the terms.
    assert linalg.matrix_rank(merge(name, terms), rtol=1e-5) <= (9 if name == "regmean" else 3)


@pytest.mark.parametrize("name", MERGINGS)
def test_a_vector_that_is_0_does_no_harm(name: str) -> None:
    still = LoraTerm(torch.randn(2, INNER), torch.zeros(OUT, 2))
    assert merge(name, [made()[0], still, still]).isfinite().all()
    assert not merge(name, [still, still, still]).any()


@pytest.mark.parametrize("name", sorted(set(MERGINGS) - {"regmean"}))
def test_kronecker_products_are_merged_rearranged(name: str) -> None:
    g = torch.Generator().manual_seed(3)
    terms = [KroneckerTerm(torch.randn(1, 3, 2, generator=g), torch.randn(1, 4, 5, generator=g)) for _ in range(3)]
    # R(a ⊗ b) = vec(a)·vec(b)ᵀ, by hand: each block of ΔW as a row
    rearranged = [LoraTerm(t.b.reshape(1, 20), t.a.reshape(6, 1)) for t in terms]
    result = merge(name, terms).reshape(3, 4, 2, 5).transpose(1, 2).reshape(6, 20)
    if name == "dare":  # draws by the vector's own numbers, which have other shapes here
        assert result.isfinite().all()
    else:
        torch.testing.assert_close(result, merge(name, rearranged), rtol=1e-3, atol=1e-3)


def test_vectors_that_cancel_leave_nothing_to_keep_the_norm_of() -> None:
    """What rounding leaves of a sum is no direction that could be made as large as a vector."""
    b = torch.tensor([[1.0], [0.0]])
    pair = [LoraTerm(torch.ones(1, 2), b), LoraTerm(torch.ones(1, 2) + 1e-7, b)]
    core, _ = Merging.of("keepnorm").merge(Cores(pair, [1.0, -1.0], [True, True]))
    assert not core.any()
    core, _ = Merging.of("keepnorm").merge(Cores(pair, [1.0, -0.5], [True, True]))
    assert float(core.norm()) == pytest.approx(2**0.5, rel=1e-6)


# ---------------------------------------------------------------- what is typed


def test_what_is_typed_and_printed() -> None:
    assert str(Merging.of("tsv")) == "tsv:keep=1"
    assert str(Merging.of("layers:ramp=0,outer=0.5")) == "layers:language=0,outer=0.5,ramp=0,task=0"
    assert Merging.of("dare") == Merging.of("dare:seed=0,density=0.5")
    for text in ("dare:density=0.05,seed=1234567", "wudi:ridge=0.0100000001"):  # no digit is lost
        assert str(Merging.of(text)) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tvs", "no way to merge is named 'tvs'; did you mean tsv?"),
        ("add_subtract", "no way to merge is named 'add_subtract'"),
        ("regmean:ridge=0", "ridge=0 of 'regmean' cannot be; it must be above 0"),
        ("regmean:ridge=-1", "ridge=-1 of 'regmean' cannot be; it must be above 0"),
        ("regmean:alpha=1.1", "alpha=1.1 of 'regmean' cannot be; it must be at least 0 and at most 1"),
        ("regmean:lambda=1", "'regmean' has no parameter 'lambda'"),
        ("wudi:ridge=0", "ridge=0 of 'wudi' cannot be; it must be above 0"),
        ("wudi:ridge=-1", "ridge=-1 of 'wudi' cannot be"),
        ("wudi:ridge=nan", "ridge=nan of 'wudi' cannot be"),
        ("wudi:ridge=inf", "ridge=inf of 'wudi' cannot be"),
        ("ties:density=x", "density=x of 'ties' cannot be; it must be above 0 and at most 1"),
        (
            "dare:seed=0.5",
            "seed=0.5 of 'dare' cannot be; it must be a whole number, at least 0 and",
        ),
        ("", "no way to merge is named ''"),
        ("ties:dense=1", "'ties' has no parameter 'dense'; did you mean density?"),
        ("sum:density=1", "'sum' has no parameter 'density'"),
        ("iso:mean=all", "mean=all of 'iso' cannot be; it must be one of rank, full"),
        ("layers:outer=0.6", "outer=0.6 of 'layers' cannot be; it must be at least 0 and at most 0.5"),
    ],
)
def test_mistakes(text: str, sentence: str) -> None:
    with pytest.raises(LingarithError) as raised:
        Merging.of(text)
    assert str(raised.value).startswith(sentence)
