"""A vector (a small adapter with its origin) and an update (what is added to a backbone)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.terms import Term, described, mapped
from ..disk.tensors import memory_of


@dataclass(frozen=True)
class Vector:
    """One adapter.

    ``name`` is what expressions call it (``xlsum[en]``); ``terms`` maps the path of each projection
    in the backbone to what is added there, at most one term of each kind (float32, on the CPU):
    ΔW = scale · Σ terms, where ``scale`` is α/r. A projection that is not there stays as it is, and
    ranks may differ from one to another. ``origin`` holds plain JSON: what it was trained on,
    backbone fingerprint, adapter, seeds, versions. Full fine-tuning, and it alone, changes more than
    projections: ``rest`` maps the names of the backbone's other parameters to the change of each,
    which ``scale`` multiplies too. ``gram`` gives what the store has beside it, nothing where it has none: by path the
    Gram matrix of the projection's inputs on the vector's data (in × in), see :mod:`.gram`.
    """

    name: str
    terms: Mapping[str, tuple[Term, ...]]
    scale: float
    origin: Mapping[str, Any] = field(default_factory=dict)
    rest: Mapping[str, Tensor] = field(default_factory=dict)
    gram: Callable[[], Mapping[str, Tensor]] = field(default=dict, repr=False, compare=False)

    def scaled(self, path: str, c: float = 1.0) -> tuple[Term, ...]:
        """The summands of c·ΔW at a projection; none where the vector leaves it as it is.

        Full fine-tuning may have changed it as one of the other parameters.
        """
        weight, held = f"{path}.weight", self.terms.get(path, ())
        if weight in self.rest:
            held = (DenseTerm(self.rest[weight]),)
        return tuple(term.scaled(c * self.scale) for term in held)

    @property
    def adapter(self) -> str:
        """The adapter in words: ``LoRA, rank 4``; ``LoRA, rank 2 to 8``; ``Kronecker 32 × 16``."""
        return described(getattr(self.terms, "outline", self.terms).values())  # nothing is read for it


@dataclass(frozen=True)
class Update:
    """What a composition adds to each projection, a sum of terms, and the space it was made in; and with
    full fine-tuning what it adds to other parameters, by name (``rest``).

    ``error`` is the relative Frobenius error ‖ΔW − result‖/‖ΔW‖ over all projections when the
    update was cut to a rank, and 0 where it is exact in its space.
    """

    terms: Mapping[str, tuple[Term, ...]]
    space: str
    error: float = 0.0
    rest: Mapping[str, Tensor] = field(default_factory=dict)

    def delta(self, path: str, device: torch.device | str = "cpu") -> Tensor:
        """The dense ΔW (out × in) of one projection, made on a device."""
        terms = [mapped(term, lambda tensor: tensor.to(device)) for term in self.terms[path]]
        return torch.stack([term.delta() for term in terms]).sum(0)


def content_hash(tensors: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(memory_of(tensor))
    return digest.hexdigest()
