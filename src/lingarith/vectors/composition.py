"""A combination of vectors as what is added to a backbone, in a stated space, one projection at a time.

===============  =========================================================================
``factors``      ΣcᵢAᵢ and ΣcᵢBᵢ: the paper's words; a coefficient c scales an update by c²
``anchored``     A₀ + Σcᵢ(Aᵢ − A₀), same for B: displacement from the common start
``delta``        Σcᵢ·ΔWᵢ exactly: ranks add up, and LoRA stands beside Kronecker and full
                 fine-tuning, which has no other space; with ``rank=k`` the best rank-k of
                 that, and with ``kronecker=(m, n)`` as well the best sum of k Kronecker
                 products of that size
``peft-linear``  Σ±√|cᵢ|·Aᵢ and Σ√|cᵢ|·Bᵢ, as PEFT's ``add_weighted_adapter(…, "linear")``:
                 only for comparison, since it is no sum of updates
===============  =========================================================================

In ``delta`` the vectors may be merged otherwise than by their sum (:mod:`..adapters.merging`); a vector alone never is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.kronecker import Kronecker
from ..adapters.merging import SUM, Merging
from ..adapters.terms import Term, bound, collected, exact_count, exact_rank, norm, to_kronecker, to_lora
from ..algebra import Combination
from ..errors import LingarithError, did_you_mean
from .fit import check_fit, other_sizes
from .merged import check_merging, depths, merged, merged_outline
from .outline import Lazy, LazyTerms, Terms, kronecker_outline, lora_outline, outline_on, rest_outline, starting_point
from .vector import Update, Vector

SPACES = ("factors", "anchored", "delta", "peft-linear")
LARGEST = 1e30
"""What no number of an update is near: with more, a model's own overflow."""


@dataclass(frozen=True)
class Space:
    """Where a sum of vectors is taken, and what it is cut to (``delta`` only).

    ``rank=k``: the best rank-k approximation of each projection (Eckart–Young); with
    ``kronecker=(m, n)`` the best sum of k Kronecker products of that size (Van Loan and Pitsianis
    1993). A sum whose rank is k or less stays as it is. ``merging`` is what takes the place of the
    sum, before a cut. Raises :class:`LingarithError` for an unknown name, a rank below 1, or a cut or
    merging in another space.

    >>> str(Space("delta", rank=2, kronecker=(32, 16)))
    'delta, 2 × Kronecker 32 × 16'
    """

    name: str
    rank: int | None = None
    kronecker: tuple[int, int] | None = None
    merging: Merging | None = None

    def __post_init__(self) -> None:
        if self.name not in SPACES:
            raise LingarithError(f"no space named {self.name!r}{did_you_mean(self.name, SPACES)}")
        if self.merging is not None and self.merging.name == SUM:
            object.__setattr__(self, "merging", None)
        if self.merging is not None and self.name != "delta":
            raise LingarithError(
                f"'{self.merging.name}' merges exact updates, and sums are taken in {self.name!r}; give --space delta"
            )
        if self.rank is not None and (self.name != "delta" or self.rank < 1):
            raise LingarithError(
                f"rank={self.rank} needs space 'delta' and a rank of at least 1; the space is {self.name!r}"
            )
        if self.kronecker is not None and self.rank is None:
            raise LingarithError("a sum of Kronecker products needs their number; give a rank (--rank-out) as well")

    @staticmethod
    def of(space: str | Space) -> Space:
        """The space of that name, or the space itself."""
        return Space(space) if isinstance(space, str) else space

    def over(self, combination: Combination) -> Space:
        """The space as it is for a combination: a vector alone is not merged with anything."""
        return replace(self, merging=None) if len(combination.names) < 2 else self

    def __str__(self) -> str:
        name = f"{self.name}, {self.merging}" if self.merging else self.name
        if self.rank is None:
            return name
        if self.kronecker is None:
            return f"{name}, rank {self.rank}"
        return "{}, {} × Kronecker {} × {}".format(name, self.rank, *self.kronecker)


@dataclass(frozen=True)
class Composition:
    """A combination of vectors that fit together, in a space.

    Its shapes are known before any number is read, and its numbers are made when they are asked for,
    so a composition larger than memory can be written while it is made. The empty combination adds
    nothing: its ``update()`` is None, the bare backbone, and to ask for its terms is an error.

    Raises :class:`LingarithError` for an unknown name, vectors that do not fit or cannot be merged as is
    asked, a size of Kronecker products that does not divide that of a projection, and a cut of full
    fine-tuning.
    """

    combination: Combination
    vectors: Mapping[str, Vector]
    space: Space
    _cuts: dict[str, tuple[float, float]] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Of the projections that were made: the squared norm that the cut lost, and that of the exact sum."""

    def __post_init__(self) -> None:
        for name in self.combination.names:
            if name not in self.vectors:
                raise LingarithError(f"no vector named {name!r}{did_you_mean(name, self.vectors)}")
        if not self.combination.names:
            return
        object.__setattr__(self, "space", self.space.over(self.combination))
        check_fit([vector for _, vector in self.parts], self._outlines, self.space.name)
        if self.space.merging is not None:
            self.must_be_projections(f"'{self.space.merging.name}'")
            check_merging(self.space.merging, self.parts, self._outlines, self._grams)
        if self.space.rank is not None:
            self.must_be_projections("a cut to a rank")
        if self.space.kronecker is not None:
            Kronecker(*self.space.kronecker).check({path: terms[0].size for path, terms in self.exact.items()})

    @property
    def parts(self) -> list[tuple[float, Vector]]:
        """Coefficients and vectors, in the combination's order. Raises :class:`LingarithError` where there are none."""
        if not self.combination.names:
            raise LingarithError("the combination is 0: nothing is left to add to the backbone; check its coefficients")
        return [(weight, self.vectors[name]) for name, weight in self.combination.weights.items()]

    @cached_property
    def paths(self) -> list[str]:
        """The projections that any of the vectors changes, sorted."""
        return sorted({path for _, vector in self.parts for path in vector.terms})

    @cached_property
    def exact(self) -> Terms:
        """The outline of the sum before a cut."""
        held = {path: [each[path] for each in self._outlines if path in each] for path in self.paths}
        if self.space.name != "delta":
            return {path: terms[0] for path, terms in held.items()}  # a sum of factors has the shapes of its summands
        sums = {path: collected([term for each in terms for term in each]) for path, terms in held.items()}
        return sums if self.space.merging is None else {path: merged_outline(terms) for path, terms in sums.items()}

    @cached_property
    def outline(self) -> Terms:
        """The shapes of ``terms``; nothing is read or made for it."""
        return {path: self._cut_outline(terms) for path, terms in self.exact.items()}

    @cached_property
    def terms(self) -> LazyTerms:
        """What is added to each projection, made when it is asked for."""
        return LazyTerms(self.outline, self.at)

    @cached_property
    def rest(self) -> Lazy[Tensor]:
        """What is added to other parameters than projections, sorted by name, each made when it is asked for.

        A vector without a parameter adds nothing there. Raises :class:`LingarithError` where the sizes
        of one differ.
        """
        shapes: dict[str, tuple[Vector, Tensor]] = {}
        projected = {f"{path}.weight" for path in self.paths}
        for _, vector in self.parts:
            for name, tensor in rest_outline(vector.rest).items():
                if name in projected:
                    continue
                first, expected = shapes.setdefault(name, (vector, tensor))
                if expected.shape != tensor.shape:
                    raise other_sizes(first, vector, name)

        def change(name: str) -> Tensor:
            total = torch.zeros((), dtype=torch.float64)
            for weight, vector in self.parts:
                if name in vector.rest:
                    total = total + (weight * vector.scale) * vector.rest[name].double()
            self._check([DenseTerm(total.float())], name)
            return total.float()

        return Lazy({name: tensor for name, (_, tensor) in sorted(shapes.items())}, change)

    @property
    def error(self) -> float:
        """‖ΔW − result‖/‖ΔW‖ over all projections, of a cut and of a merging that leaves the terms' own spaces.

        What was not made yet is made for it.
        """
        return relative_error(*self._sums()) if self._inexact else 0.0

    @property
    def norm(self) -> float:
        """‖result‖ over all that is changed; where nothing is cut, all of it is made for it."""
        if not self._inexact:
            others = sum(float(change.double().square().sum()) for change in self.rest.values())
            return math.sqrt(sum(norm(terms) ** 2 for terms in self.terms.values()) + others)
        lost, whole = self._sums()
        return math.sqrt(max(0.0, whole - lost))

    def at(self, path: str) -> tuple[Term, ...]:
        """What is added to a projection; a vector that leaves it as it is has no part in it.

        Raises :class:`LingarithError` where that is not finite, or so large that no model could take it.
        """
        space = self.space
        if space.name != "delta":
            exact: tuple[Term, ...] = (self._blended(path),)
        else:
            exact = collected([term for weight, vector in self.parts for term in vector.scaled(path, weight)])
        self._check(exact, path)
        outside = 0.0
        if space.merging is not None:
            exact, outside = merged(space.merging, self.parts, path, self._depths.get(path), self._grams)
            self._check(exact, path)
        if space.rank is None:
            if space.merging is not None:
                self._cuts[path] = outside, outside + norm(exact) ** 2
            return exact
        cut: tuple[Term, float, float]
        cut = to_kronecker(exact, *space.kronecker, space.rank) if space.kronecker else to_lora(exact, space.rank)
        term, lost, whole = cut
        self._cuts[path] = outside + lost, outside + whole
        return (term,)

    def update(self) -> Update | None:
        """All of it, in memory; None for the empty combination, which is the bare backbone."""
        if not self.combination.names:
            return None
        terms = {path: self.at(path) for path in self.paths}
        return Update(terms, str(self.space), self.error, dict(self.rest))

    def vector(self, name: str, parents: Mapping[str, str]) -> Vector:
        """The result as a vector, whose origin says how it was made, but for the ``error`` of a cut.

        ``parents`` gives the store's hash of each vector in it. What it is to read is the prompt of its task vectors,
        if they have one.
        """
        read = (vector.origin.get("prompt") for _, vector in self.parts)
        prompts = {prompt for prompt in read if isinstance(prompt, str)}
        origin = {
            "kind": "composed",
            "expression": str(self.combination),
            "space": str(self.space),
            "parents": {parent: parents[parent] for parent in self.combination.names},
            "backbone": self.parts[0][1].origin.get("backbone"),
            "adapter": {"kind": "composed"},
            **({"prompt": prompts.pop()} if len(prompts) == 1 else {}),
        }
        return Vector(name, self.terms, 1.0, origin, self.rest)

    def must_be_projections(self, what: str) -> None:
        """Raise :class:`LingarithError` where other parameters are changed, which ``what`` cannot carry."""
        if self.rest:
            named = ", ".join(list(self.rest)[:2]) + (", …" if len(self.rest) > 2 else "")
            raise LingarithError(
                f"{what} cannot carry what full fine-tuning changes beside the projections ({named}; {len(self.rest)} "
                "parameters in all); use the sum as it is, or export it with --format merged"
            )

    @property
    def _inexact(self) -> bool:
        """Whether making a projection tells what is lost of it."""
        return self.space.rank is not None or self.space.merging is not None

    @cached_property
    def _depths(self) -> Mapping[str, float]:
        return depths(self.paths)

    @cached_property
    def _grams(self) -> list[Mapping[str, Tensor]]:
        """The Gram matrix of each vector, in the order of ``parts``, where the merging needs them."""
        needed = self.space.merging is not None and self.space.merging.grams
        return [vector.gram() for _, vector in self.parts] if needed else []

    @cached_property
    def _outlines(self) -> list[Terms]:
        """The outline of each vector, in the order of ``parts``."""
        return [outline_on(vector, self.paths) for _, vector in self.parts]

    @cached_property
    def _start(self) -> Terms:
        """What all vectors started from, for ``anchored``."""
        return starting_point(self.parts[0][1])

    def _check(self, terms: Sequence[Term], path: str) -> None:
        if not all(bound(term) < LARGEST for term in terms):
            raise LingarithError(
                f"{self.combination} cannot be added: at {path} it holds NaN, Inf or numbers above {LARGEST:g}; take "
                "smaller coefficients, or leave out the vector that holds them"
            )

    def _cut_outline(self, exact: tuple[Term, ...]) -> tuple[Term, ...]:
        """The outline of what the space makes of a projection."""
        space = self.space
        if space.rank is None:
            return exact
        if space.kronecker is None:
            return (lora_outline(exact[0].size, min(space.rank, exact_rank(exact))),)
        count = min(space.rank, exact_count(exact, *space.kronecker))
        return (kronecker_outline(exact[0].size, *space.kronecker, count),)

    def _sums(self) -> tuple[float, float]:
        """What the cuts lost of all projections, and the exact sum, as squared norms."""
        for path in self.paths:
            if path not in self._cuts:
                self.at(path)
        lost, whole = zip(*(self._cuts[path] for path in self.paths), strict=True)
        return sum(lost), sum(whole)

    def _blended(self, path: str) -> Term:
        """The one term of a projection whose factors are sums of factors, taken in float64."""
        space = self.space.name
        summands = [(weight, v.scale, v.terms[path][0]) for weight, v in self.parts if path in v.terms]
        start = self._start[path][0] if space == "anchored" else None
        _, scale, first = summands[0]  # all vectors have this scale, but in peft-linear

        def blend(which: int) -> Tensor:
            origin = start[which].double() if start else torch.zeros(())
            total = origin
            for weight, own_scale, term in summands:
                if space == "peft-linear":
                    # PEFT puts the sign on A alone and the root of weight times scale on both.
                    weight = (abs(weight) * own_scale) ** 0.5 * (math.copysign(1, weight) if which == 0 else 1)
                total = total + weight * (term[which].double() - origin)  # as the factor: r × in, or out × r
            return total.float()

        blended = type(first)(*(blend(which) for which in range(len(first))))
        return blended if space == "peft-linear" else blended.scaled(scale)


def compose(combination: Combination, vectors: Mapping[str, Vector], space: str | Space) -> Composition:
    """The composition of one expression that somebody asks for.

    Raises :class:`LingarithError` as :class:`Space` and :class:`Composition` do, and for a rank above that
    of the exact sum. A search over weights takes :class:`Composition` itself: at the ends of a grid some
    vectors take no part, and a sum of lower rank then stays as it is.
    """
    space = Space.of(space)
    composition = Composition(combination, vectors, space)
    if space.rank is None or not combination.names:
        return composition
    if space.kronecker is None:
        most = max(exact_rank(terms) for terms in composition.exact.values())
        what = f"the exact sum has rank {most}"
    else:
        most = max(exact_count(terms, *space.kronecker) for terms in composition.exact.values())
        what = f"{most} Kronecker products of that size hold the exact sum"
    if space.rank > most:
        raise LingarithError(f"rank {space.rank} is too high: {what}; ask for at most that, or for no rank")
    return composition


def realise(combination: Combination, vectors: Mapping[str, Vector], space: str | Space) -> Update | None:
    """The update that a combination of vectors means in a space; None for the empty one, the bare backbone.

    Raises :class:`LingarithError` as :class:`Space` and :class:`Composition` do.
    """
    return Composition(combination, vectors, Space.of(space)).update()


def relative_error(lost: float, whole: float) -> float:
    """‖ΔW − result‖/‖ΔW‖ from the two squared norms; 0 where nothing was cut."""
    return (lost / whole) ** 0.5 if whole else 0.0
