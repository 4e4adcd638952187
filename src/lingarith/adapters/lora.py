"""LoRA (Hu et al. 2021) as functions over tensors: ΔW = scale · b·a, with b = 0 at the start.

``a`` is (r × in) and ``b`` (out × r) for one adapter; with a leading axis K they are K adapters
that share one pass through the backbone, whose rows then come in K groups of equal size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor


class LoraFactors(NamedTuple):
    """The two factors of one projection: ``a`` (r × in) and ``b`` (out × r); ΔW = scale · b·a."""

    a: Tensor
    b: Tensor


def init(shapes: Mapping[str, tuple[int, int]], rank: int, seed: int) -> dict[str, LoraFactors]:
    """The start of a vector: ``a`` uniform in ±1/√in (as PEFT and Kaiming with a = √5), ``b`` zero.

    ``shapes`` maps the path of a projection to (out, in). A projection's numbers depend on the
    seed, its path and its shape alone, so every vector of a backbone starts at the same point
    and that point can be made again when arithmetic needs it.
    """
    start = {}
    for path, (out, inner) in shapes.items():
        digest = hashlib.sha256(f"{seed}/{path}/{rank}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        a = (torch.rand(rank, inner, generator=generator) * 2 - 1) / inner**0.5
        start[path] = LoraFactors(a, torch.zeros(out, rank))
    return start


def apply(a: Tensor, b: Tensor, scale: float, x: Tensor) -> Tensor:
    """What K adapters add to a projection's output.

    ``a`` (K × r × in), ``b`` (K × out × r), ``x`` (K·rows × … × in) → (K·rows × … × out), in the
    type of the factors. Two small matrix products; ΔW is never formed.
    """
    groups = x.to(a.dtype).reshape(a.shape[0], -1, x.shape[-1])
    inner = torch.bmm(groups, a.transpose(1, 2))
    if scale != 1:
        inner = inner * scale  # here, where the tensor is r wide
    return torch.bmm(inner, b.transpose(1, 2)).reshape(*x.shape[:-1], b.shape[1])
