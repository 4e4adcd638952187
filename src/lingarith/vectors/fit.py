"""Whether vectors can be combined: one backbone, the same projections, and factors that mean the same."""

from __future__ import annotations

from collections.abc import Sequence

from ..adapters.terms import Term
from ..errors import LingarithError
from .outline import Terms, is_full
from .vector import Vector


def check_fit(vectors: Sequence[Vector], outlines: Sequence[Terms], space: str) -> None:
    """Raise :class:`LingarithError` unless the vectors can be combined in the space."""
    first = vectors[0]
    seen: dict[str, tuple[Vector, tuple[Term, ...]]] = {}
    """The first vector that changes a projection, with its terms there."""
    for vector, its in zip(vectors, outlines, strict=True):
        if space != "delta" and is_full(its):
            raise LingarithError(
                f"{vector.name} cannot be added in {space} space: it is full fine-tuning and has no factors; use "
                'space="delta"'
            )
    for number, (other, its) in enumerate(zip(vectors, outlines, strict=True)):
        (ours, older), (theirs, its_older) = map(_fingerprints, (first, other))
        if ours != theirs and ours != its_older and theirs != older:
            raise LingarithError(
                f"{first.name} and {other.name} belong to different backbones ({ours[:8]}… and {theirs[:8]}…); "
                "train both on one backbone"
            )
        if set(outlines[0]) != set(its) and space not in ("delta", "peft-linear"):
            path = sorted(set(outlines[0]) ^ set(its))[0]
            raise LingarithError(
                f"{first.name} and {other.name} cannot be added in {space} space: only one of them adapts {path}; "
                'use space="delta", where the other adds nothing there'
            )
        for path, terms in its.items():
            _check_sizes(path, seen.setdefault(path, (other, terms)), (other, terms), space)
        if number == 0 or space in ("delta", "peft-linear"):
            continue
        refusal = f"{first.name} and {other.name} cannot be added in {space} space"
        if first.scale != other.scale:
            raise LingarithError(f'{refusal}: α/r is {first.scale} and {other.scale}; use space="delta"')
        begun, theirs_begun = (vector.origin.get("init_hash") for vector in (first, other))
        if begun is None or theirs_begun is None:
            silent = first.name if begun is None else other.name
            raise LingarithError(f'{refusal}: {silent} does not say what it started from; use space="delta"')
        if begun != theirs_begun:
            raise LingarithError(
                f"{refusal}: initialisations {begun[:4]}… and {theirs_begun[:4]}… differ; train them with one "
                'init_seed or use space="delta"'
            )


def _fingerprints(vector: Vector) -> tuple[str, str | None]:
    """That of its backbone, and the one that the same backbone had before, where the vector knows it."""
    fingerprint = str((vector.origin.get("backbone") or {}).get("fingerprint"))
    return fingerprint, (vector.origin.get("parts") or {}).get("sampled")


def _check_sizes(
    path: str, one: tuple[Vector, tuple[Term, ...]], other: tuple[Vector, tuple[Term, ...]], space: str
) -> None:
    """Raise :class:`LingarithError` unless the terms of a projection can be summed in the space."""
    (first, ours), (vector, terms) = one, other
    if terms[0].size != ours[0].size:
        raise other_sizes(first, vector, path)
    if space != "delta" and (len(terms) > 1 or [t.shape for t in terms[0]] != [t.shape for t in ours[0]]):
        mine, its = (" + ".join(term.described() for term in summands) for summands in (ours, terms))
        difference = f"it is a sum ({its})" if len(terms) > 1 else f"{mine} and {its} differ"
        raise LingarithError(
            f'{first.name} and {vector.name} cannot be added in {space} space: {difference}; use space="delta"'
        )


def other_sizes(first: Vector, other: Vector, what: str) -> LingarithError:
    """The error of two vectors whose tensors at ``what`` have different sizes."""
    return LingarithError(
        f"{first.name} and {other.name} belong to different backbones: the sizes of {what} differ; "
        "train both on one backbone"
    )
