"""Best rank-k approximations b·a in the Frobenius norm (Eckart–Young), in float64.

Each is ``a`` (k × columns), ``b`` (rows × k), the squared norm of what was cut off, and the squared
norm of the whole. Both factors carry the root of the singular values; where the rank is k or less,
k is that rank and nothing is cut.
"""

from __future__ import annotations

import torch
from torch import Tensor, linalg

Cut = tuple[Tensor, Tensor, float, float]


def dense(matrix: Tensor, rank: int) -> Cut:
    """Of a matrix."""
    u, values, v = linalg.svd(matrix.double(), full_matrices=False)
    return _cut(u, values, v, rank)


def product(a: Tensor, b: Tensor, rank: int) -> Cut:
    """Of b·a for ``a`` (R × in) and ``b`` (out × R), never forming it.

    QR of both factors leaves an R × R core, whose singular values are those of the product.
    """
    q_out, r_out = linalg.qr(b.double())
    q_in, r_in = linalg.qr(a.double().T)
    small_a, small_b, lost, whole = dense(r_out @ r_in.T, rank)
    return small_a @ q_in.T, q_out @ small_b, lost, whole


def kronecker(a: Tensor, b: Tensor, rank: int) -> Cut:
    """Of a ⊗ b, never forming it: its singular values and vectors are the products of theirs."""
    u_a, values_a, v_a = linalg.svd(a.double(), full_matrices=False)
    u_b, values_b, v_b = linalg.svd(b.double(), full_matrices=False)
    values, order = torch.outer(values_a, values_b).flatten().sort(descending=True, stable=True)
    i, j = order[:rank] // len(values_b), order[:rank] % len(values_b)
    u = torch.einsum("xk,yk->xyk", u_a[:, i], u_b[:, j]).flatten(0, 1)
    v = torch.einsum("kx,ky->kxy", v_a[i], v_b[j]).flatten(1)
    return _cut(u, values, v, rank)


def _cut(u: Tensor, values: Tensor, v: Tensor, rank: int) -> Cut:
    root = values[:rank].sqrt()
    squares = values.square()
    return root[:, None] * v[:rank], u[:, :rank] * root, squares[rank:].sum().item(), squares.sum().item()
