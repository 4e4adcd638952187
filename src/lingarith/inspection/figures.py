"""How a result compares with the sum that was asked for, from inner products of updates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..adapters.cores import ROUNDING


@dataclass(frozen=True)
class Result:
    """What a space makes of the sum; None where a figure is 0/0.

    ``cosine`` (−1..1) and ``ratio`` (of norms) compare it with the exact sum. ``shares`` says how much
    of each summand is in it: the least-squares solution s of result ≈ Σ sᵢ·cᵢΔWᵢ. So 1 is as asked,
    0 is lost, and below 0 the sign is flipped: what was to be subtracted is added. Unlike a projection
    on one summand, s does not give it credit for others that point the same way; where summands are
    collinear s is the shortest solution. ``residual`` (0..1) is the part of the result's norm that no
    weights of the summands explain: products of one vector's b with another's a.
    """

    cosine: float | None
    ratio: float | None
    shares: Mapping[str, float | None]
    residual: float | None


@dataclass(frozen=True)
class Drift:
    """How far a vector went from its start: ‖A − A₀‖/‖A₀‖ of the factor A that starts at random, the
    norm ``start`` = ‖A₀‖, and the norm ``grown`` of the factor that starts at 0 (LoRA's b, Kronecker's a)."""

    drift: float
    start: float
    grown: float


@dataclass(frozen=True)
class Figures:
    """A composition in numbers, over one projection or many.

    ``norm`` is ‖Σcᵢ·ΔWᵢ‖, ``summands`` holds ‖cᵢ·ΔWᵢ‖, ``cosines`` those between summands (−1: they
    cancel, 0: they do not interfere, 1: they add up). ``conflicts`` is the share of entries in which
    one summand is positive and another negative (TIES-Merging, Yadav et al. 2023), ``cancelled`` the
    share of the summands' magnitude that this costs, 1 − ‖Σcᵢ·ΔWᵢ‖₁ / Σ‖cᵢ·ΔWᵢ‖₁. ``lost`` gives for
    each kind of cut (``rank``; and ``m × n`` where all summands are Kronecker products of that size)
    the relative error of the best one at 1, 2, … up to 64 or to what is exact. ``drift`` is None where
    the start is not known.
    """

    norm: float
    summands: Mapping[str, float]
    cosines: Mapping[str, Mapping[str, float | None]]
    results: Mapping[str, Result]
    conflicts: float | None
    cancelled: float | None
    lost: Mapping[str, list[float]]
    drift: Mapping[str, Drift | None]


@dataclass(frozen=True, eq=False)
class Sums:
    """What is summed over the entries of M projections, for T summands (float64).

    Sums of several projections add up, so figures over many read all of them as one long vector.
    ``gram`` (M × T × T) holds ⟨cᵢΔWᵢ, cⱼΔWⱼ⟩, and ``results`` for each space (M × T+1) ⟨result, cᵢΔWᵢ⟩
    and then ‖result‖². ``signs`` (M × 4): entries in conflict, entries, ‖Σcᵢ·ΔWᵢ‖₁, Σ‖cᵢ·ΔWᵢ‖₁.
    ``tails`` (M × ranks): the squared norm that each cut loses. ``moves`` (M × T × 3): ‖A − A₀‖²,
    ‖A₀‖² and ‖B‖², NaN where the start is not known.
    """

    gram: Tensor
    results: Mapping[str, Tensor]
    signs: Tensor
    tails: Mapping[str, Tensor]
    moves: Tensor

    def figures(self, names: Sequence[str], rows: Sequence[int]) -> Figures:
        """The figures over these projections together; ``names`` are the summands'."""
        gram = self.gram[rows].sum(0)
        norms = gram.diagonal().sqrt()
        cosines = [[_cosine(gram[i, j], norms[i] * norms[j]) for j in range(len(names))] for i in range(len(names))]
        conflicts, entries, left, magnitude = self.signs[rows].sum(0)
        lost, whole = {cut: tails[rows].sum(0) for cut, tails in self.tails.items()}, _norm(gram.sum(), gram)
        return Figures(
            norm=whole,
            summands=dict(zip(names, norms.tolist(), strict=True)),
            cosines={name: dict(zip(names, row, strict=True)) for name, row in zip(names, cosines, strict=True)},
            results={space: _result(names, gram, sums[rows].sum(0)) for space, sums in self.results.items()},
            conflicts=_ratio(conflicts, entries),
            cancelled=_ratio(magnitude - left, magnitude),
            lost={cut: [(_ratio(tail, whole**2) or 0.0) ** 0.5 for tail in tails] for cut, tails in lost.items()},
            drift=dict(zip(names, map(_drift, self.moves[rows].sum(0)), strict=True)),
        )


def _result(names: Sequence[str], gram: Tensor, sums: Tensor) -> Result:
    onto, size = sums[:-1], _norm(sums[-1], gram)
    shares = _least_squares(gram, onto)
    explained = _ratio(onto @ shares, size * size)
    present = gram.diagonal() > 0
    return Result(
        cosine=_cosine(onto.sum(), size * _norm(gram.sum(), gram)),
        ratio=_ratio(size, _norm(gram.sum(), gram)),
        shares={n: s if there else None for n, s, there in zip(names, shares.tolist(), present, strict=True)},
        residual=None if explained is None else max(0.0, 1 - explained) ** 0.5,
    )


def _least_squares(gram: Tensor, onto: Tensor) -> Tensor:
    """The shortest s that minimises ‖result − Σ sᵢ·cᵢΔWᵢ‖, summands measured at unit norm."""
    sizes = gram.diagonal().sqrt()
    sizes = torch.where(sizes > 0, sizes, 1.0)
    inverse: Tensor = torch.linalg.pinv(gram / torch.outer(sizes, sizes), rtol=1e-5, hermitian=True)
    return inverse @ (onto / sizes) / sizes


def _norm(squared: Tensor, gram: Tensor) -> float:
    """A norm from its square; 0 where that is rounding of the summands in ``gram``."""
    return squared.item() ** 0.5 if squared > ROUNDING**2 * gram.diagonal().sum() else 0.0


def _cosine(product: Tensor, norms: Tensor | float) -> float | None:
    cosine = _ratio(product, norms)
    return None if cosine is None else max(-1.0, min(1.0, cosine))


def _ratio(above: Tensor | float, below: Tensor | float) -> float | None:
    return float(above / below) if below > 0 else None


def _drift(moves: Tensor) -> Drift | None:
    moved, start, grown = moves.sqrt().tolist()
    return Drift(moved / start, start, grown) if start > 0 else None  # unknown, or nothing was trained there
