"""LoRA (Hu et al. 2021) as functions over tensors: ΔW = scale · b·a, with b = 0 at the start.

``a`` is (r × in) and ``b`` (out × r) for one adapter; with a leading axis K they are K adapters
that share one pass through the backbone, whose rows then come in K groups of equal size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import LingarithError


class LoraTerm(NamedTuple):
    """A summand of an update: ΔW = b·a with ``a`` (R × in) and ``b`` (out × R)."""

    a: Tensor
    b: Tensor

    @property
    def kind(self) -> str:
        """Terms of one kind and size can be joined into one, and in files they share a name."""
        return "lora"

    @property
    def size(self) -> tuple[int, int]:
        """(out, in) of ΔW."""
        return self.b.shape[0], self.a.shape[1]

    @property
    def fits(self) -> bool:
        """Whether the two factors have shapes that go together."""
        return self.a.ndim == self.b.ndim == 2 and self.a.shape[0] == self.b.shape[1] > 0

    def described(self) -> str:
        """``LoRA, rank 4``."""
        return f"LoRA, rank {len(self.a)}"

    def delta(self) -> Tensor:
        """The dense ΔW (out × in)."""
        return self.b @ self.a

    def apply(self, x: Tensor) -> Tensor:
        """What the term adds to a projection's output, for ``x`` (… × in); ΔW is not formed."""
        return x @ self.a.T @ self.b.T

    def padded(self, rank: int) -> LoraTerm:
        """The same ΔW with R = rank, or as it is where R is that or more; by zeros."""
        missing = rank - len(self.a)
        if missing <= 0:
            return self
        pad = torch.nn.functional.pad
        return LoraTerm(pad(self.a, (0, 0, 0, missing)), pad(self.b, (0, missing)))

    def scaled(self, c: float) -> LoraTerm:
        """The term whose ΔW is c times this one's."""
        return LoraTerm(self.a, c * self.b)


@dataclass(frozen=True)
class Lora:
    """The adapter of rank r; its scale is α/r, and 1 where no α is given. The paper: rank 4."""

    rank: int = 4
    alpha: float | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise LingarithError(f"rank={self.rank} must be at least 1")
        if self.alpha is not None and not 0 < self.alpha < float("inf"):
            raise LingarithError(f"alpha={self.alpha} must be a positive number")

    @property
    def scale(self) -> float:
        """α/r."""
        return 1.0 if self.alpha is None else self.alpha / self.rank

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about its adapter."""
        alpha = self.rank if self.scale == 1 else self.alpha  # said alike however it was given
        return {"kind": "lora", "rank": self.rank, "alpha": alpha}

    def check(self, shapes: Mapping[str, tuple[int, int]]) -> None:
        """Raise :class:`LingarithError` for a rank above what the smallest of the projections can have."""
        path, (out, inner) = min(shapes.items(), key=lambda shape: min(shape[1]))
        if self.rank > min(out, inner):
            raise LingarithError(
                f"rank={self.rank} is too high: {path} is {out} × {inner}; the largest rank is {min(out, inner)}"
            )

    def init(self, shapes: Mapping[str, tuple[int, int]], seed: int) -> dict[str, LoraTerm]:
        """The start of a vector: ``a`` uniform in ±1/√in (as PEFT and Kaiming with a = √5), ``b`` zero.

        ``shapes`` maps the path of a projection to (out, in). A projection's numbers depend on the
        seed, its path and its shape alone, so every vector of a backbone starts at the same point
        and that point can be made again when arithmetic needs it. Raises as :meth:`check`.
        """
        self.check(shapes)
        start = {}
        for path, (out, inner) in shapes.items():
            digest = hashlib.sha256(f"{seed}/{path}/{self.rank}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            a = (torch.rand(self.rank, inner, generator=generator) * 2 - 1) / inner**0.5
            start[path] = LoraTerm(a, torch.zeros(out, self.rank))
        return start

    def factors(self, term: LoraTerm) -> tuple[Tensor, Tensor]:
        """``a`` (r × in) and ``b`` (out × r): what is trained."""
        return term.a, term.b

    def term(self, a: Tensor, b: Tensor) -> LoraTerm:
        """The term of such factors."""
        return LoraTerm(a, b)

    def apply(self, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        """:func:`apply`, at the adapter's scale."""
        return apply(a, b, self.scale, x)


def apply(a: Tensor, b: Tensor, scale: float, x: Tensor) -> Tensor:
    """What K adapters add to a projection's output.

    ``a`` (K × r × in), ``b`` (K × out × r), ``x`` (K·rows × … × in) → (K·rows × … × out), in the
    type of the factors, or autocast's. Two small matrix products; ΔW is never formed.
    """
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else a.dtype
    groups = x.to(dtype).reshape(a.shape[0], -1, x.shape[-1])
    inner = torch.bmm(groups, a.transpose(1, 2))
    if scale != 1:
        inner = inner * scale  # here, where the tensor is r wide
    return torch.bmm(inner, b.transpose(1, 2)).reshape(*x.shape[:-1], b.shape[1])
