"""A combination made into an update, in a stated space.

=============  ===========================================================================
``factors``    ΣcᵢAᵢ and ΣcᵢBᵢ: the paper's words; a coefficient c scales an update by c²
``anchored``   A₀ + Σcᵢ(Aᵢ − A₀), same for B: displacement from the common start
``delta``      Σcᵢ·ΔWᵢ exactly: the ranks add up; with ``rank=k`` the best rank-k of that
=============  ===========================================================================
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..adapters import lora, low_rank
from ..algebra import Combination
from ..errors import LingarithError, did_you_mean
from .vector import LoraFactors, LoraTerm, Update, Vector, content_hash

SPACES = ("factors", "anchored", "delta")


def realise(combination: Combination, vectors: Mapping[str, Vector], space: str, *, rank: int | None = None) -> Update:
    """The update that a combination of vectors means in a space.

    ``vectors`` holds at least the combination's names. ``rank`` (``delta`` only) cuts each
    projection to its best rank-k approximation; the update's ``error`` states what that loses.

    Raises :class:`LingarithError` for an unknown space or name, an empty combination, a rank
    that is not positive, and vectors that do not fit together.
    """
    if space not in SPACES:
        raise LingarithError(f"no space named {space!r}{did_you_mean(space, SPACES)}")
    if rank is not None and (space != "delta" or rank < 1):
        raise LingarithError(f"rank={rank} needs space 'delta' and a rank of at least 1; the space is {space!r}")
    for name in combination.names:
        if name not in vectors:
            raise LingarithError(f"no vector named {name!r}{did_you_mean(name, vectors)}")
    if not combination.names:
        raise LingarithError("the combination is 0: nothing is left to add to the backbone; check its coefficients")
    parts = [(weight, vectors[name]) for name, weight in combination.weights.items()]
    check_fit([vector for _, vector in parts], space)
    first = parts[0][1]
    if space == "delta":
        return _exact(parts) if rank is None else _cut(_exact(parts), rank)
    start = starting_point(first) if space == "anchored" else None

    def blend(path: str, factor: int) -> Tensor:
        origin = start[path][factor].double() if start else 0.0
        moved = sum(weight * (vector.factors[path][factor].double() - origin) for weight, vector in parts)
        return torch.as_tensor(moved + origin).float()

    terms = {path: (LoraTerm(blend(path, 0), first.scale * blend(path, 1)),) for path in first.factors}
    return Update(terms, space)


def check_fit(vectors: list[Vector], space: str) -> None:
    """Raise :class:`LingarithError` unless the vectors can be combined in the space."""
    first = vectors[0]
    for other in vectors[1:]:
        ours, theirs = _fingerprint(first), _fingerprint(other)
        if ours != theirs:
            raise LingarithError(
                f"{first.name} and {other.name} belong to different backbones ({ours[:8]}… and {theirs[:8]}…); "
                "train both on one backbone"
            )
        if set(first.factors) != set(other.factors):
            path = sorted(set(first.factors) ^ set(other.factors))[0]
            raise LingarithError(
                f"{first.name} and {other.name} adapt different projections: only one has {path}; "
                "train both on the same ones"
            )
        for path, (a, b) in first.factors.items():
            its_a, its_b = other.factors[path]
            if (b.shape[0], a.shape[1]) != (its_b.shape[0], its_a.shape[1]):
                raise LingarithError(
                    f"{first.name} and {other.name} belong to different backbones: the sizes of {path} differ; "
                    "train both on one backbone"
                )
            if space != "delta" and len(a) != len(its_a):
                raise LingarithError(
                    f"{first.name} and {other.name} cannot be added in {space} space: ranks {len(a)} and "
                    f'{len(its_a)} differ; use space="delta"'
                )
        if space == "delta":
            continue
        if first.scale != other.scale:
            raise LingarithError(
                f"{first.name} and {other.name} cannot be added in {space} space: α/r is {first.scale} and "
                f'{other.scale}; use space="delta"'
            )
        mine, its = first.origin.get("init_hash"), other.origin.get("init_hash")
        if mine is None or its is None:
            silent = first.name if mine is None else other.name
            raise LingarithError(
                f"{first.name} and {other.name} cannot be added in {space} space: {silent} does not say what it "
                'started from; use space="delta"'
            )
        if mine != its:
            raise LingarithError(
                f"{first.name} and {other.name} cannot be added in {space} space: initialisations {mine[:4]}… and "
                f'{its[:4]}… differ; train them with one seed or use space="delta"'
            )


def starting_point(vector: Vector) -> dict[str, LoraFactors]:
    """The tensors that a vector's training started from, made again from its ``init_seed``.

    Raises :class:`LingarithError` if the origin names no seed, or the hash is not the stored one.
    """
    seed = vector.origin.get("init_seed")
    if seed is None:
        raise LingarithError(f'{vector.name} does not say what it started from; use space="delta"')
    shapes = {path: (b.shape[0], a.shape[1]) for path, (a, b) in vector.factors.items()}
    start = lora.init(shapes, vector.rank, int(seed))
    if vector.origin.get("init_hash") != content_hash(Vector(vector.name, start, vector.scale).tensors()):
        raise LingarithError(f'the initialisation of {vector.name} cannot be made again here; use space="delta"')
    return start


def as_vector(
    update: Update, combination: Combination, parents: Mapping[str, Vector], hashes: Mapping[str, str]
) -> Vector:
    """A composed update as a vector of its own, whose origin says how it was made.

    ``hashes`` gives the store's hash of each parent. All projections get one rank: what a smaller
    one lacks is filled up with zeros.
    """
    joined = {path: _join(terms) for path, terms in update.terms.items()}
    rank = max(term.a.shape[0] for term in joined.values())
    factors = {}
    for path, (a, b) in joined.items():
        missing = rank - a.shape[0]
        factors[path] = LoraFactors(
            torch.nn.functional.pad(a, (0, 0, 0, missing)), torch.nn.functional.pad(b, (0, missing))
        )
    backbone = next(iter(parents.values())).origin.get("backbone")
    origin = {
        "kind": "composed",
        "expression": str(combination),
        "space": update.space,
        "error": update.error,
        "parents": {name: hashes[name] for name in combination.names},
        "backbone": backbone,
        "adapter": {"kind": "lora", "rank": rank, "alpha": rank},
    }
    return Vector(str(combination), factors, 1.0, origin)


def _fingerprint(vector: Vector) -> str:
    return str((vector.origin.get("backbone") or {}).get("fingerprint"))


def _exact(parts: list[tuple[float, Vector]]) -> Update:
    paths = parts[0][1].factors
    terms = {
        path: tuple(LoraTerm(v.factors[path].a, weight * v.scale * v.factors[path].b) for weight, v in parts)
        for path in paths
    }
    return Update(terms, "delta")


def _join(terms: tuple[LoraTerm, ...]) -> LoraTerm:
    return LoraTerm(torch.cat([term.a for term in terms]), torch.cat([term.b for term in terms], dim=1))


def _cut(exact: Update, rank: int) -> Update:
    terms, lost, whole = {}, 0.0, 0.0
    for path, summands in exact.terms.items():
        a, b, tail, total = low_rank.truncate(*_join(summands), rank)
        terms[path] = (LoraTerm(a, b),)
        lost, whole = lost + tail, whole + total
    return Update(terms, f"delta, rank {rank}", (lost / whole) ** 0.5 if whole else 0.0)
