"""Updates of one projection on small exact cores: ΔW (out × in) is never formed.

Of terms ΔWᵢ = Bᵢ·Aᵢ, QR gives [B₁ … B_N] = U·[P₁ … P_N] and [A₁ᵀ … A_Nᵀ] = V·[Q₁ … Q_N], so that
cᵢ·ΔWᵢ = U·Mᵢ·Vᵀ with the core Mᵢ = cᵢ·Pᵢ·Qᵢᵀ of R × R, R = Σrᵢ, or less where ΔW is smaller. Inner
products, singular values and projections on the terms' own spaces are those of the cores.

Kronecker products of one (m, n) are of rank 1 after Van Loan's rearrangement, which only moves entries:
their cores are those of the rearranged updates.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, linalg

from . import low_rank
from .kronecker import KroneckerTerm
from .lora import LoraTerm

ROWS = 256
"""So many rows of an update are formed at a time where its entries are asked for."""
ROUNDING = 1e-6
"""A norm below this part of what it is made of (a sum of its summands, a singular value of the largest) is rounding.

Numbers of factors are float32, each within u = 2⁻²⁴ = 6e-8 of what was meant, and the products b·a that an update is
made of within 2u = 1.2e-7: about so much is left where a vector is taken from the same one whose factors were rounded
otherwise. This is eight times as much. Inner products in float64 know norms to 1e-8 = √2⁻⁵³ of their summands', and see
it.
"""


@dataclass(frozen=True, eq=False)
class Cores:
    """The terms of a projection with what is known of each: coefficient, and whether it is a task vector's.

    ``depth`` (0..1) says where in its stack the projection's layer is; None where it is in none, or alone. ``grams``
    give, for each term, the Gram matrix of the projection's inputs on its vector's data (in × in); as large as a layer,
    each is read when it is called.
    """

    terms: Sequence[LoraTerm | KroneckerTerm]
    weights: Sequence[float]
    tasks: Sequence[bool] = ()
    depth: float | None = None
    grams: Sequence[Callable[[], Tensor]] = ()

    @cached_property
    def factors(self) -> list[tuple[Tensor, Tensor]]:
        """Aᵢ (rᵢ × in) and Bᵢ (out × rᵢ), in float64; of Kronecker products those of the rearranged update."""
        pairs = []
        for term in self.terms:
            a, b = (term.a, term.b) if isinstance(term, LoraTerm) else (term.b.flatten(1), term.a.flatten(1).T)
            pairs.append((a.double(), b.double()))
        return pairs

    @cached_property
    def bases(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """U (out × p) with its triangle (p × R), and V (in × q) with its (q × R)."""
        b = linalg.qr(torch.cat([b for _, b in self.factors], dim=1))
        a = linalg.qr(torch.cat([a for a, _ in self.factors]).T)
        return (b.Q, b.R), (a.Q, a.R)

    @cached_property
    def cores(self) -> Tensor:
        """M₁ … M_N (N × p × q), coefficients in them."""
        (_, left), (_, right) = self.bases
        ranks = [len(a) for a, _ in self.factors]
        parts = zip(self.weights, left.split(ranks, 1), right.split(ranks, 1), strict=True)
        return torch.stack([c * p @ q.T for c, p, q in parts])  # N × p × q

    def rows(self) -> Iterator[tuple[Tensor, Tensor]]:
        """All entries, a few rows at a time: those of U (rows × p), and of cᵢΔWᵢ (N × rows × in)."""
        (u, _), _ = self.bases
        for start in range(0, len(u), ROWS):
            some = slice(start, start + ROWS)
            pairs = zip(self.weights, self.factors, strict=True)
            yield u[some], torch.stack([c * b[some] @ a for c, (a, b) in pairs])

    def seed(self, term: int, number: int) -> int:
        """A seed from the numbers of a term alone, whatever it is called and whoever stands beside it."""
        digest = hashlib.sha256(str(number).encode())
        for factor in self.terms[term]:
            digest.update(factor.contiguous().numpy().tobytes())
        return int.from_bytes(digest.digest()[:8], "little") >> 1

    def term(self, core: Tensor) -> LoraTerm | KroneckerTerm:
        """The term whose ΔW is U·core·Vᵀ, of min(p, q) ranks; U·core, where the core has ``in`` columns and not q."""
        (u, _), (v, _) = self.bases
        count = min(core.shape)
        a, b, _, _ = low_rank.dense(core, count)
        a, b = (a @ v.T if core.shape[1] == v.shape[1] else a).float(), (u @ b).float()
        first = self.terms[0]
        if isinstance(first, LoraTerm):
            return LoraTerm(a, b)
        return KroneckerTerm(b.T.reshape(-1, first.n, first.m), a.reshape(-1, *first.b.shape[1:]))


def directions(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values of what is no rounding: u (p × k), values (k), v (k × q)."""
    u, values, v = linalg.svd(matrix, full_matrices=False)
    kept = values > ROUNDING * values[:1].clamp_min(torch.finfo(values.dtype).tiny)
    return u[:, kept], values[kept], v[kept]


def nearest_orthogonal(columns: Tensor) -> Tensor:
    """The columns (p × R) made orthonormal with the least change (polar factor), within what they span."""
    u, _, v = directions(columns)
    return u @ v
