"""What a fine-tuned checkpoint differs by from the one that it was made of, as a vector.

"Chat vectors" (https://arxiv.org/abs/2310.04799) and task vectors (https://arxiv.org/abs/2212.04089) are such
differences. Two tensors are in memory at a time, and no model is made.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..adapters import low_rank
from ..adapters.dense import DenseTerm
from ..adapters.lora import LoraTerm
from ..adapters.terms import Term
from ..disk.tensors import TensorFile
from ..errors import LingarithError
from ..vectors.composition import relative_error
from ..vectors.outline import Lazy, LazyTerms
from ..vectors.vector import Vector
from .merged import TYPES, parameters, shards_of, weights
from .paths import Shapes

SMALL = 512
"""Matrices with no more rows or columns than this are decomposed exactly."""
SPARE = 8
"""Columns that the random projection has more than it keeps, as Halko et al. (2011) advise."""


@dataclass(frozen=True)
class Difference:
    """``vector`` is tuned − base; ``norm`` is the size of all that differs, ``others`` that of each parameter that is
    no linear layer of the blocks (embeddings, norms), and ``error`` what a cut lost of the linear layers' (0..1).
    A cut leaves ``others`` out of the vector."""

    vector: Vector
    norm: float
    others: Mapping[str, float]
    error: float = 0.0


def difference(
    tuned: Path,
    base: Path,
    name: str,
    facts: Mapping[str, Any],
    linears: Shapes,
    rest: Mapping[str, Tensor],
    *,
    known: Mapping[str, Any] | None = None,
    rank: int | None = None,
    error: float | None = None,
) -> Difference:
    """The difference of the checkpoints in two folders, as a vector of the backbone with these ``facts``.

    ``linears`` are (out, in) of its linear layers by path, ``rest`` the outline of its other parameters by name,
    ``known`` what is said of the fine-tuned one (``name``, ``revision``, ``fingerprint``). It is exact, as full
    fine-tuning is; or the linear layers' are cut to ``rank``, or to the least rank at which each loses no more than
    ``error`` (0..1, relative Frobenius norm), by randomised SVD (Halko et al. 2011, https://arxiv.org/abs/0909.4061).
    Raises :class:`LingarithError` where a tensor has another shape in one of the two or is there alone, and where
    nothing differs.
    """
    if rank is not None and (error is not None or rank < 1):
        what = "a rank stands in place of an error; give one of them" if error is not None else "it must be at least 1"
        raise LingarithError(f"a rank of {rank} cannot be: {what}")
    if error is not None and not 0 < error < 1:
        raise LingarithError(f"an error of {error} must lie between 0 and 1, such as 0.3")
    first, second = _Checkpoint(base), _Checkpoint(tuned)
    _must_match(first, second)
    places = weights({path: (DenseTerm(torch.empty(size, device="meta")),) for path, size in linears.items()},
                     first.shards)  # fmt: skip
    tied = parameters(rest, {tensor: path for path, tensor in places.items()}, first.shards)
    others = {parameter: tensor for tensor, parameter in reversed(tied.items())}

    def change(tensor: str) -> Tensor:
        return second[tensor].float() - first[tensor].float()

    norms = {tensor: _norm(change(tensor)) for tensor in (*places.values(), *others.values())}
    moved = {path: tensor for path, tensor in sorted(places.items()) if norms[tensor]}
    beside = {parameter: tensor for parameter, tensor in sorted(others.items()) if norms[tensor]}
    if not moved:
        raise LingarithError(f"no linear layer of {tuned} differs from {base}: nothing is to import; name another")
    origin = {"kind": "difference", "backbone": dict(facts), "tuned": dict(known or {"name": str(tuned)})}
    told = {parameter: norms[tensor] for parameter, tensor in beside.items()}
    norm = math.hypot(*norms.values())
    if rank is None and error is None:
        terms = LazyTerms(
            {path: (DenseTerm(torch.empty(linears[path], device="meta")),) for path in moved},
            lambda path: (DenseTerm(change(moved[path])),),
        )
        left = Lazy({one: rest[one].to(torch.float32) for one in beside}, lambda one: change(beside[one]))
        return Difference(Vector(name, terms, 1.0, origin | {"adapter": {"kind": "full"}}, left), norm, told)
    cut: dict[str, tuple[Term, ...]] = {}
    lost = 0.0
    for path, tensor in moved.items():
        a, b, gone, _ = _cut(change(tensor), rank, error)
        cut[path], lost = (LoraTerm(a.float().contiguous(), b.float().contiguous()),), lost + gone
    whole = sum(norms[tensor] ** 2 for tensor in moved.values())
    adapter = {"kind": "lora", "rank": rank or max(len(terms[0][0]) for terms in cut.values())}
    share = relative_error(lost, whole)
    return Difference(Vector(name, cut, 1.0, origin | {"adapter": adapter, "error": share}), norm, told, share)


class _Checkpoint(Mapping[str, Tensor]):
    """All tensors of a checkpoint, whichever file each is in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.shards = folder, shards_of(folder)
        self.where: dict[str, TensorFile] = {name: shard for shard in self.shards for name in shard}

    def __getitem__(self, name: str) -> Tensor:
        return self.where[name][name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.where)

    def __len__(self) -> int:
        return len(self.where)

    def shape(self, name: str) -> tuple[int, ...]:
        return self.where[name].places[name].shape


def _must_match(base: _Checkpoint, tuned: _Checkpoint) -> None:
    for name in sorted({*base} ^ {*tuned}):
        there, not_there = (base, tuned) if name in base else (tuned, base)
        raise LingarithError(
            f"{name} is in {there.folder} and not in {not_there.folder}; a vector is the difference of two "
            "checkpoints of one architecture, saved alike"
        )
    for name in base:
        if base.shape(name) != tuned.shape(name):
            sizes = [" × ".join(map(str, one.shape(name))) for one in (tuned, base)]
            raise LingarithError(
                f"{name} is {sizes[0]} in {tuned.folder} and {sizes[1]} in {base.folder}; a vector is the difference "
                "of two checkpoints of one shape, so one with more tokens or layers has none"
            )
        if tuned.where[name].places[name].dtype not in TYPES and base.where[name].places[name].dtype in TYPES:
            raise LingarithError(f"{name} in {tuned.folder} is quantised; give the model as it was before")


def _cut(matrix: Tensor, rank: int | None, error: float | None) -> low_rank.Cut:
    """The best rank-k of a matrix, or the least rank that loses no more than ``error`` of it."""
    most = min(matrix.shape)
    width = rank or 64
    while most > SMALL and width + SPARE < most // 2:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            u, values, v = torch.svd_lowrank(matrix.double(), q=width + SPARE, niter=4)
        kept, whole = values.square(), _norm(matrix) ** 2
        # U spans what the sketch saw, so what is not in its first k values is lost, to the last bit.
        losses = (whole - kept.cumsum(0)).clamp(min=0)
        k = rank or _least(losses, whole, error)
        if k is not None and k <= width:
            root = values[:k].sqrt()
            return root[:, None] * v[:, :k].T, u[:, :k] * root, float(losses[k - 1]), whole
        width *= 2
    a, b, lost, whole = low_rank.dense(matrix, rank or most)
    if rank is None:
        squares = a.square().sum(1).square()  # each row of a has the root of its singular value
        k = _least(whole - squares.cumsum(0), whole, error) or most
        a, b, lost = a[:k], b[:, :k], max(0.0, whole - float(squares[:k].sum()))
    return a, b, lost, whole


def _least(losses: Tensor, whole: float, error: float | None) -> int | None:
    """The least rank whose loss is small enough; None where none of these is."""
    enough = (losses <= ((error or 0.0) ** 2) * whole).nonzero()
    return int(enough[0]) + 1 if len(enough) else None


def _norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
