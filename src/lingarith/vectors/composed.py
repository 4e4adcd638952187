"""A composition made one projection at a time, for results that need not fit into memory."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from ..adapters.lora import LoraTerm
from ..adapters.terms import Term, exact_count, exact_rank, norm
from ..errors import LingarithError
from .outline import Lazy, LazyTerms, Terms, joined, kronecker_outline, lora_outline, outline
from .realise import Composition, relative_error
from .vector import Vector


@dataclass(frozen=True)
class Composed:
    """What a composition adds, with its shapes known before anything is read.

    LoRA terms have one rank everywhere, ``least_rank`` or more: what a smaller one lacks is filled up
    with zeros. ``cuts`` remembers, of the projections that were made, the squared norm that a cut lost
    and that of the exact sum.
    """

    composition: Composition
    least_rank: int = 1
    cuts: dict[str, tuple[float, float]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def exact(self) -> Terms:
        """The outline of the sum before a cut."""
        outlines = [outline(vector.terms) for _, vector in self.composition.parts]
        if self.composition.space.name != "delta":
            return outlines[0]
        return {path: joined([term for each in outlines for term in each[path]]) for path in self.composition.paths}

    @cached_property
    def terms(self) -> LazyTerms:
        """What is added to each projection, made when it is asked for."""
        shapes = {path: self._cut(terms) for path, terms in self.exact.items()}
        ranks = {len(t.a) for terms in shapes.values() for t in terms if isinstance(t, LoraTerm)}
        rank = max({self.least_rank, *ranks})
        filled = {
            path: tuple(lora_outline(t.size, rank) if isinstance(t, LoraTerm) else t for t in terms)
            for path, terms in shapes.items()
        }

        def made(path: str) -> tuple[Term, ...]:
            terms, lost, whole = self.composition.at(path)
            self.cuts[path] = lost, whole
            return tuple(t.padded(rank) if isinstance(t, LoraTerm) and len(t.a) < rank else t for t in terms)

        return LazyTerms(filled, made)

    @cached_property
    def rest(self) -> Mapping[str, Tensor]:
        """What is added to other parameters, made when it is asked for."""
        return Lazy(self.composition.rest, self.composition.change)

    @property
    def error(self) -> float:
        """‖ΔW − result‖/‖ΔW‖ of the cut over all projections; what was not made yet is made for it."""
        return relative_error(*self._sums()) if self.composition.space.rank is not None else 0.0

    @property
    def norm(self) -> float:
        """‖result‖ over all that is changed; where nothing is cut, all of it is made for it."""
        if self.composition.space.rank is None:
            others = sum(float(change.double().square().sum()) for change in self.rest.values())
            return math.sqrt(sum(norm(terms) ** 2 for terms in self.terms.values()) + others)
        lost, whole = self._sums()
        return math.sqrt(max(0.0, whole - lost))

    def check_rank(self) -> None:
        """Raise :class:`LingarithError` when the rank that is asked for is above that of the exact sum."""
        space = self.composition.space
        if space.rank is None:
            return
        if space.kronecker is None:
            most = max(exact_rank(terms) for terms in self.exact.values())
            what = f"the exact sum has rank {most}"
        else:
            most = max(exact_count(terms, *space.kronecker) for terms in self.exact.values())
            what = f"{most} Kronecker products of that size hold the exact sum"
        if space.rank > most:
            raise LingarithError(f"rank {space.rank} is too high: {what}; ask for at most that, or for no rank")

    def vector(self, name: str, hashes: Mapping[str, str]) -> Vector:
        """The result as a vector, whose origin says how it was made, but for the ``error`` of a cut.

        ``hashes`` gives the store's hash of each parent.
        """
        combination = self.composition.combination
        origin = {
            "kind": "composed",
            "expression": str(combination),
            "space": str(self.composition.space),
            "parents": {parent: hashes[parent] for parent in combination.names},
            "backbone": self.composition.parts[0][1].origin.get("backbone"),
            "adapter": {"kind": "composed"},
        }
        return Vector(name, self.terms, 1.0, origin, self.rest)

    def _cut(self, exact: tuple[Term, ...]) -> tuple[Term, ...]:
        """The outline of what the space makes of a projection."""
        space = self.composition.space
        if space.rank is None:
            return exact
        if space.kronecker is None:
            return (lora_outline(exact[0].size, min(space.rank, exact_rank(exact))),)
        count = min(space.rank, exact_count(exact, *space.kronecker))
        return (kronecker_outline(exact[0].size, *space.kronecker, count),)

    def _sums(self) -> tuple[float, float]:
        for path in self.composition.paths:
            if path not in self.cuts:
                self.terms[path]
        lost, whole = zip(*self.cuts.values(), strict=True)
        return sum(lost), sum(whole)
