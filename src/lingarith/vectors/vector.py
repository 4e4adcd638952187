"""A vector (a small adapter with its origin) and an update (what is added to a backbone)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..adapters.lora import LoraFactors

__all__ = ["LoraFactors", "LoraTerm", "Update", "Vector", "content_hash"]


@dataclass(frozen=True)
class Vector:
    """One trained adapter.

    ``name`` is what expressions call it (``xlsum[en]``); ``factors`` maps the path of each
    projection in the backbone to its factors (float32, on the CPU); ``scale`` is α/r; ``origin``
    holds plain JSON: what it was trained on, backbone fingerprint, adapter, seeds, versions.
    """

    name: str
    factors: Mapping[str, LoraFactors]
    scale: float
    origin: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The rank r that all projections share."""
        return next(iter(self.factors.values())).a.shape[0]

    def tensors(self) -> dict[str, Tensor]:
        """The factors under flat names, ``<path>.a`` and ``<path>.b``, as files hold them."""
        return {
            f"{path}.{which}": tensor.contiguous()
            for path, pair in sorted(self.factors.items())
            for which, tensor in zip("ab", pair, strict=True)
        }


class LoraTerm(NamedTuple):
    """One low-rank summand of an update: ΔW = b·a with ``a`` (R × in) and ``b`` (out × R)."""

    a: Tensor
    b: Tensor

    def delta(self) -> Tensor:
        """The dense ΔW (out × in)."""
        return self.b @ self.a


@dataclass(frozen=True)
class Update:
    """What a composition adds to each projection: a sum of terms, and the space it was made in.

    ``error`` is the relative Frobenius error ‖ΔW − result‖/‖ΔW‖ over all projections when the
    update was cut to a rank, and 0 where it is exact in its space.
    """

    terms: Mapping[str, tuple[LoraTerm, ...]]
    space: str
    error: float = 0.0

    def delta(self, path: str) -> Tensor:
        """The dense ΔW (out × in) of one projection."""
        return torch.stack([term.delta() for term in self.terms[path]]).sum(0)


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
