"""Full fine-tuning: every parameter of the backbone is trained, and ΔW is what it changed by.

There are no factors, so nothing is started at random and nothing is added factor by factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor


class DenseTerm(NamedTuple):
    """A summand of an update: ΔW itself, ``change`` (out × in)."""

    change: Tensor

    @property
    def kind(self) -> str:
        """Terms of one kind and size can be joined into one, and in files they share a name."""
        return "dense"

    @property
    def size(self) -> tuple[int, int]:
        """(out, in) of ΔW."""
        return self.change.shape[0], self.change.shape[1]

    @property
    def fits(self) -> bool:
        """Whether it is a matrix."""
        return self.change.ndim == 2

    def described(self) -> str:
        """``full``."""
        return "full"

    def delta(self) -> Tensor:
        """The dense ΔW (out × in), to do with as one likes."""
        return self.change.clone()  # whoever asks any term for its delta may add to it in its place

    def apply(self, x: Tensor) -> Tensor:
        """What the term adds to a projection's output, for ``x`` (… × in)."""
        return x @ self.change.T

    def scaled(self, c: float) -> DenseTerm:
        """The term whose ΔW is c times this one's."""
        return DenseTerm(c * self.change)


@dataclass(frozen=True)
class Full:
    """Full fine-tuning in the place of an adapter; its scale is 1."""

    @property
    def scale(self) -> float:
        """1: there is no α."""
        return 1.0

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about its adapter."""
        return {"kind": "full"}
