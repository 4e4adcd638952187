"""Linear algebra of sums of terms, which may mix LoRA, Kronecker and dense ones: ΔW = Σ terms of one size.

Terms are taken and given in float32; what happens between is float64, and errors are exact in it.
Where ΔW cannot be handled from the factors alone it is formed, one projection at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, linalg

from . import low_rank
from .dense import DenseTerm
from .kronecker import KroneckerTerm
from .lora import LoraTerm

Term = LoraTerm | KroneckerTerm | DenseTerm


def described(projections: Iterable[Sequence[Term]]) -> str:
    """What the sums of terms of projections are, in words: ``LoRA, rank 2 to 4 + Kronecker 32 × 16``."""
    terms = [term for summands in projections for term in summands]
    ranks = {len(term.a) for term in terms if isinstance(term, LoraTerm)}
    lora = {True: f"LoRA, rank {min(ranks)} to {max(ranks)}"} if len(ranks) > 1 else {}
    return " + ".join(dict.fromkeys(lora.get(isinstance(term, LoraTerm), term.described()) for term in terms))


def mapped(term: Term, change: Callable[[Tensor], Tensor]) -> Term:
    """The term of the changed tensors."""
    return type(term)(*map(change, term))


def bound(term: Term) -> float:
    """What no number of ΔW exceeds, from its factors alone; NaN or Inf where one of these is not finite."""
    each = [max(map(abs, map(float, part.aminmax()))) if part.numel() else 0.0 for part in term]  # NaN if any number is
    return math.prod(each) * (len(term[0]) if len(term) > 1 else 1)


def inner(one: Term, other: Term) -> float:
    """The Frobenius inner product ⟨ΔW₁, ΔW₂⟩ of two terms of one size.

    From the factors, but for Kronecker products of different (m, n), where the first is formed.
    """
    one, other = _double(one), _double(other)
    if isinstance(one, LoraTerm):
        return float((other.apply(one.a) * one.b.T).sum())  # tr(W₂ᵀ·b·a) = Σ (W₂·aᵀ) ∘ b
    if isinstance(one, DenseTerm) and isinstance(other, DenseTerm):
        return float((one.change * other.change).sum())
    if isinstance(other, LoraTerm | DenseTerm):
        return inner(other, one)
    a, b = other.a.flatten(1), other.b.flatten(1)
    if isinstance(one, KroneckerTerm) and (one.m, one.n) == (other.m, other.n):
        return float(((one.a.flatten(1) @ a.T) * (one.b.flatten(1) @ b.T)).sum())
    return float(((a @ _rearranged(one.delta(), other.m, other.n)) * b).sum())


def norm(terms: Sequence[Term]) -> float:
    """The Frobenius norm of ΔW, to about 1e-8 of the largest term's."""
    summands = collected(terms)
    return math.sqrt(max(0.0, sum(inner(one, other) for one in summands for other in summands)))


def collected(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The same sum with at most one term of each kind: LoRA first, then Kronecker by (m, n), then dense."""
    lora = [term for term in terms if isinstance(term, LoraTerm)]
    products = [term for term in terms if isinstance(term, KroneckerTerm)]
    sums: list[Term] = []
    if lora:
        sums.append(LoraTerm(_joined([term.a for term in lora]), _joined([term.b for term in lora], dim=1)))
    for size in sorted({(term.m, term.n) for term in products}):
        alike = [term for term in products if (term.m, term.n) == size]
        sums.append(KroneckerTerm(_joined([term.a for term in alike]), _joined([term.b for term in alike])))
    dense = [term.change for term in terms if isinstance(term, DenseTerm)]
    if dense:
        sums.append(DenseTerm(torch.stack(dense).sum(0) if len(dense) > 1 else dense[0]))
    return tuple(sums)


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    """The tensors beside each other; of outlines an outline, for which torch's ``cat`` would load its compiler."""
    if not parts[0].is_meta:
        return torch.cat(list(parts), dim)
    shape = [*parts[0].shape]
    shape[dim] = sum(part.shape[dim] for part in parts)
    return parts[0].new_empty(shape)


def exact_rank(terms: Sequence[Term]) -> int:
    """The rank that ΔW can have by the shapes of its terms: a LoRA term of it holds the sum exactly."""
    total = 0
    for term in terms:
        if isinstance(term, DenseTerm):
            return min(term.size)
        each = 1 if isinstance(term, LoraTerm) else min(term.a.shape[1:]) * min(term.b.shape[1:])
        total += len(term.a) * each
    return min(total, *terms[0].size)


def exact_count(terms: Sequence[Term], m: int, n: int) -> int:
    """The number of Kronecker products of (m, n) that ΔW can need by the shapes of its terms."""
    out, inputs = terms[0].size
    most = min(n * m, (out // n) * (inputs // m))
    alike = [term for term in terms if isinstance(term, KroneckerTerm) and (term.m, term.n) == (m, n)]
    return min(most, sum(len(term.a) for term in alike)) if len(alike) == len(terms) else most


def spectrum(terms: Sequence[Term]) -> Tensor:
    """The singular values of ΔW in float64, descending; for LoRA alone no more than its ranks add up to."""
    match [_double(term) for term in collected(terms)]:
        case [LoraTerm(a, b)]:
            matrix = linalg.qr(b, mode="r").R @ linalg.qr(a.T, mode="r").R.T
        case [KroneckerTerm(a, b)] if len(a) == 1:
            return torch.outer(linalg.svdvals(a[0]), linalg.svdvals(b[0])).flatten().sort(descending=True).values
        case summands:
            matrix = _dense(summands)
    values: Tensor = linalg.svdvals(matrix)
    return values


def to_lora(terms: Sequence[Term], rank: int) -> tuple[LoraTerm, float, float]:
    """The best approximation of rank k or less (Eckart–Young), the squared norm lost, and that of ΔW.

    LoRA terms alone, or a single Kronecker product, are not formed.
    """
    match [_double(term) for term in collected(terms)]:
        case [LoraTerm(a, b)]:
            cut = low_rank.product(a, b, rank)
        case [KroneckerTerm(a, b)] if len(a) == 1:
            cut = low_rank.kronecker(a[0], b[0], rank)
        case summands:
            cut = low_rank.dense(_dense(summands), min(rank, exact_rank(terms)))
    a, b, lost, whole = cut
    return LoraTerm(a.float(), b.float()), lost, whole


def to_kronecker(terms: Sequence[Term], m: int, n: int, count: int) -> tuple[KroneckerTerm, float, float]:
    """The best sum of at most ``count`` Kronecker products of (m, n), the squared norm lost, and that of ΔW.

    Van Loan and Pitsianis 1993: the rearrangement R with R(a ⊗ b) = vec(a)·vec(b)ᵀ keeps the norm and
    turns sums of Kronecker products into low rank. m divides in, n divides out. Kronecker products of
    that (m, n) alone are not formed.
    """
    out, inputs = terms[0].size
    match [_double(term) for term in collected(terms)]:
        case [KroneckerTerm(a, b) as only] if (only.m, only.n) == (m, n):
            cut = low_rank.product(b.flatten(1), a.flatten(1).T, count)
        case summands:
            cut = low_rank.dense(_rearranged(_dense(summands), m, n), count)
    b, a, lost, whole = cut
    blocks = b.reshape(-1, out // n, inputs // m)
    return KroneckerTerm(a.T.reshape(-1, n, m).float(), blocks.float()), lost, whole


def _double(term: Term) -> Term:
    return mapped(term, Tensor.double)


def _dense(terms: Sequence[Term]) -> Tensor:
    total = terms[0].delta()
    for term in terms[1:]:
        total += term.delta()
    return total


def _rearranged(matrix: Tensor, m: int, n: int) -> Tensor:
    """R(ΔW), of n·m rows: each block of ΔW as a row."""
    return matrix.reshape(n, -1, m, matrix.shape[1] // m).transpose(1, 2).reshape(n * m, -1)
