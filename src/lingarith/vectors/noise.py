"""A random vector as large as a trained one: what is gained with it owes nothing to what it was trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.terms import norm
from ..errors import LingarithError
from .outline import outline, starting_point
from .vector import Vector


def noise(like: Vector, name: str, seed: int) -> Vector:
    """A vector that went as far from the start as ``like`` did, in a random direction.

    Each factor is moved from its start by as much as that of ``like`` (Frobenius norm), and the one
    that starts at 0 is then scaled until ‖ΔW‖ of each projection is that of ``like``. So the two are
    of equal size in every space. Full fine-tuning starts at 0, and each of its changes is as large.
    Raises :class:`LingarithError` if the start of ``like`` is not known.
    """
    kept = {key: like.origin.get(key) for key in ("language", "backbone", "adapter", "init_seed", "init_hash")}
    origin = {**kept, "kind": "random", "like": like.name, "seed": seed}
    if like.rest:
        return _changes(like, name, seed, origin)
    start = starting_point(like)
    terms = {}
    for path, (term,) in like.terms.items():
        generator = _generator(seed, path)
        (begun,) = start[path]
        moved = [_moved(began, factor, generator) for began, factor in zip(begun, term, strict=True)]
        size = norm([type(term)(*moved)])
        ratio = norm([term]) / size if size else 0.0
        scaled = [factor if began.any() else ratio * factor for began, factor in zip(begun, moved, strict=True)]
        terms[path] = (type(term)(*scaled),)
    return Vector(name, terms, like.scale, origin)


def _changes(like: Vector, name: str, seed: int, origin: Mapping[str, Any]) -> Vector:
    """The same for full fine-tuning. Raises :class:`LingarithError` where adapters are in it too."""
    if any(not isinstance(term, DenseTerm) for terms in outline(like.terms).values() for term in terms):
        raise LingarithError(f"{like.name} is a sum of full fine-tuning and adapters; take a vector that was trained")

    def moved(tensor: Tensor, where: str) -> Tensor:
        return _moved(torch.zeros_like(tensor), tensor, _generator(seed, where))

    terms = {path: (DenseTerm(moved(term[0], path)),) for path, (term,) in like.terms.items()}
    rest = {parameter: moved(change, parameter) for parameter, change in like.rest.items()}
    return Vector(name, terms, like.scale, origin, rest)


def _generator(seed: int, where: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}/{where}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _moved(began: Tensor, factor: Tensor, generator: torch.Generator) -> Tensor:
    step = torch.randn(began.shape, generator=generator)
    moved: Tensor = began + step * ((factor - began).norm() / step.norm())
    return moved
