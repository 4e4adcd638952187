"""Best rank-k approximation of a sum of low-rank products, from the factors alone."""

from __future__ import annotations

from torch import Tensor, linalg


def truncate(a: Tensor, b: Tensor, rank: int) -> tuple[Tensor, Tensor, float, float]:
    """The best rank-k approximation b'·a' of b·a in the Frobenius norm (Eckart–Young).

    ``a`` (R × in), ``b`` (out × R) → ``a'`` (k × in), ``b'`` (out × k), the squared norm of what
    was cut off, and the squared norm of b·a. QR of both factors leaves an R × R core whose singular
    values are those of the product, so the product itself is never formed. Computed in float64;
    the factors come back in the type of ``a``, each carrying the root of the singular values.
    """
    q_out, r_out = linalg.qr(b.double())
    q_in, r_in = linalg.qr(a.double().T)
    u, values, v = linalg.svd(r_out @ r_in.T, full_matrices=False)
    kept = min(rank, len(values))
    root = values[:kept].sqrt()
    small_a = (root[:, None] * v[:kept]) @ q_in.T
    small_b = q_out @ (u[:, :kept] * root)
    tail, total = values[kept:].square().sum().item(), values.square().sum().item()
    return small_a.to(a.dtype), small_b.to(a.dtype), tail, total
