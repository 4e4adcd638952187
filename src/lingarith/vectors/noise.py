"""A random vector as large as a trained one: what is gained with it owes nothing to what it was trained on."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from ..adapters.terms import norm
from .realise import starting_point
from .vector import Vector


def noise(like: Vector, name: str, seed: int) -> Vector:
    """A vector that went as far from the start as ``like`` did, in a random direction.

    Each factor is moved from its start by as much as that of ``like`` (Frobenius norm), and the one
    that starts at 0 is then scaled until ‖ΔW‖ of each projection is that of ``like``. So the two are
    of equal size in every space. Raises :class:`LingarithError` if the start of ``like`` is not known.
    """
    start = starting_point(like)
    terms = {}
    for path, (term,) in like.terms.items():
        digest = hashlib.sha256(f"{seed}/{path}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        (origin,) = start[path]
        moved = [_moved(began, factor, generator) for began, factor in zip(origin, term, strict=True)]
        size = norm([type(term)(*moved)])
        ratio = norm([term]) / size if size else 0.0
        scaled = [factor if began.any() else ratio * factor for began, factor in zip(origin, moved, strict=True)]
        terms[path] = (type(term)(*scaled),)
    kept = {key: like.origin.get(key) for key in ("language", "backbone", "adapter", "init_seed", "init_hash")}
    return Vector(name, terms, like.scale, {**kept, "kind": "random", "like": like.name, "seed": seed})


def _moved(began: Tensor, factor: Tensor, generator: torch.Generator) -> Tensor:
    step = torch.randn(began.shape, generator=generator)
    moved: Tensor = began + step * ((factor - began).norm() / step.norm())
    return moved
