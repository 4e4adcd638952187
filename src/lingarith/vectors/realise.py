"""A combination made into an update, in a stated space.

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
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.kronecker import Kronecker
from ..adapters.lora import Lora, LoraTerm
from ..adapters.terms import Term, collected, to_kronecker, to_lora
from ..algebra import Combination
from ..errors import LingarithError, did_you_mean
from .outline import FlatTensors, LazyTerms, Terms, outline, rest_outline
from .vector import Update, Vector, content_hash

SPACES = ("factors", "anchored", "delta", "peft-linear")

Cut = tuple[tuple[Term, ...], float, float]
"""The terms of one projection, the squared norm that a recompression lost, and that of the exact sum."""


@dataclass(frozen=True)
class Space:
    """Where a sum of vectors is taken, and what it is cut to (``delta`` only).

    ``rank=k``: the best rank-k approximation of each projection (Eckart–Young); with
    ``kronecker=(m, n)`` the best sum of k Kronecker products of that size (Van Loan and Pitsianis
    1993). A sum whose rank is k or less stays as it is. Raises :class:`LingarithError` for an
    unknown name, a rank below 1, or a cut in another space.

    >>> str(Space("delta", rank=2, kronecker=(32, 16)))
    'delta, 2 × Kronecker 32 × 16'
    """

    name: str
    rank: int | None = None
    kronecker: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.name not in SPACES:
            raise LingarithError(f"no space named {self.name!r}{did_you_mean(self.name, SPACES)}")
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

    def __str__(self) -> str:
        if self.rank is None:
            return self.name
        if self.kronecker is None:
            return f"{self.name}, rank {self.rank}"
        return "{}, {} × Kronecker {} × {}".format(self.name, self.rank, *self.kronecker)


@dataclass(frozen=True)
class Composition:
    """A combination of vectors that fit together, to be realised one projection at a time.

    So a composition larger than memory can be written while it is made. Raises
    :class:`LingarithError` for an unknown name, an empty combination, vectors that do not fit, a size
    of Kronecker products that does not divide that of a projection, and a cut of full fine-tuning.
    """

    combination: Combination
    vectors: Mapping[str, Vector]
    space: Space

    def __post_init__(self) -> None:
        for name in self.combination.names:
            if name not in self.vectors:
                raise LingarithError(f"no vector named {name!r}{did_you_mean(name, self.vectors)}")
        if not self.combination.names:
            raise LingarithError("the combination is 0: nothing is left to add to the backbone; check its coefficients")
        check_fit([vector for _, vector in self.parts], self.space.name)
        if self.space.rank is not None:
            self.must_be_projections("a cut to a rank")
        if self.space.kronecker is not None:
            shapes = outline(self.parts[0][1].terms)
            Kronecker(*self.space.kronecker).check({path: terms[0].size for path, terms in shapes.items()})

    @property
    def parts(self) -> list[tuple[float, Vector]]:
        """Coefficients and vectors, in the combination's order."""
        return [(weight, self.vectors[name]) for name, weight in self.combination.weights.items()]

    @property
    def paths(self) -> list[str]:
        """The projections, sorted."""
        return sorted(self.parts[0][1].terms)

    @cached_property
    def rest(self) -> Mapping[str, Tensor]:
        """The outline of what is added to other parameters than projections, sorted by name.

        Raises :class:`LingarithError` where the sizes of one differ.
        """
        found: dict[str, tuple[Vector, Tensor]] = {}
        for _, vector in self.parts:
            for name, tensor in rest_outline(vector.rest).items():
                first, ours = found.setdefault(name, (vector, tensor))
                if ours.shape != tensor.shape:
                    raise _other_sizes(first, vector, name)
        return {name: tensor for name, (_, tensor) in sorted(found.items())}

    def must_be_projections(self, what: str) -> None:
        """Raise :class:`LingarithError` where other parameters are changed, which ``what`` cannot carry."""
        if self.rest:
            named = ", ".join(list(self.rest)[:2]) + (", …" if len(self.rest) > 2 else "")
            raise LingarithError(
                f"{what} cannot carry what full fine-tuning changes beside the projections ({named}; {len(self.rest)} "
                "parameters in all); use the sum as it is, or export it with --format merged"
            )

    @cached_property
    def start(self) -> Terms:
        """What all vectors started from, for ``anchored``."""
        return starting_point(self.parts[0][1])

    def at(self, path: str) -> Cut:
        """What the combination adds at a projection. Raises :class:`LingarithError` where sizes differ."""
        space = self.space
        held = [(weight, vector, vector.terms[path]) for weight, vector in self.parts]
        _check_sizes(path, [(vector, terms) for _, vector, terms in held], space.name)
        if space.name != "delta":
            start = self.start[path][0] if space.name == "anchored" else None
            return (_blended(space.name, held, start),), 0.0, 0.0
        exact = collected([term.scaled(w * vector.scale) for w, vector, terms in held for term in terms])
        if space.rank is None:
            return exact, 0.0, 0.0
        if space.kronecker is None:
            cut: tuple[Term, float, float] = to_lora(exact, space.rank)
        else:
            cut = to_kronecker(exact, *space.kronecker, space.rank)
        term, lost, whole = cut
        return (term,), lost, whole

    def change(self, name: str) -> Tensor:
        """What the combination adds to a parameter of :attr:`rest`; a vector without it adds nothing there."""
        held = [(weight * vector.scale, vector.rest[name]) for weight, vector in self.parts if name in vector.rest]
        return sum((weight * tensor.double() for weight, tensor in held), torch.zeros((), dtype=torch.float64)).float()


def realise(combination: Combination, vectors: Mapping[str, Vector], space: str | Space) -> Update:
    """The update that a combination of vectors means in a space.

    ``vectors`` holds at least the combination's names. Where the space cuts, the update's ``error``
    states what that loses. Raises :class:`LingarithError` as :class:`Space` and
    :class:`Composition` do.
    """
    composition = Composition(combination, vectors, Space.of(space))
    terms, lost, whole = {}, 0.0, 0.0
    for path in composition.paths:
        terms[path], tail, total = composition.at(path)
        lost, whole = lost + tail, whole + total
    rest = {name: composition.change(name) for name in composition.rest}
    return Update(terms, str(composition.space), relative_error(lost, whole), rest)


def relative_error(lost: float, whole: float) -> float:
    """‖ΔW − result‖/‖ΔW‖ from the two squared norms; 0 where nothing was cut."""
    return (lost / whole) ** 0.5 if whole else 0.0


def _blended(space: str, held: list[tuple[float, Vector, tuple[Term, ...]]], start: Term | None) -> Term:
    """One term whose factors are sums of factors, taken in float64."""
    _, first, (kind,) = held[0]

    def blend(which: int) -> Tensor:
        origin = start[which].double() if start else torch.zeros(())
        total = origin
        for weight, vector, (term,) in held:
            if space == "peft-linear":
                # PEFT puts the sign on A alone and the root of weight times scale on both.
                weight = (abs(weight) * vector.scale) ** 0.5 * (math.copysign(1, weight) if which == 0 else 1)
            total = total + weight * (term[which].double() - origin)
        return total.float()

    made = type(kind)(*(blend(which) for which in range(len(kind))))
    return made if space == "peft-linear" else made.scaled(first.scale)


def check_fit(vectors: list[Vector], space: str) -> None:
    """Raise :class:`LingarithError` unless the vectors can be combined in the space."""
    for vector in vectors:
        if space != "delta" and _is_full(vector):
            raise LingarithError(
                f"{vector.name} cannot be added in {space} space: it is full fine-tuning and has no factors; use "
                'space="delta"'
            )
    first = vectors[0]
    for other in vectors[1:]:
        ours, theirs = _fingerprint(first), _fingerprint(other)
        if ours != theirs:
            raise LingarithError(
                f"{first.name} and {other.name} belong to different backbones ({ours[:8]}… and {theirs[:8]}…); "
                "train both on one backbone"
            )
        if set(first.terms) != set(other.terms):
            path = sorted(set(first.terms) ^ set(other.terms))[0]
            raise LingarithError(
                f"{first.name} and {other.name} adapt different projections: only one has {path}; "
                "train both on the same ones"
            )
        path = next(iter(first.terms))
        _check_sizes(path, [(first, first.terms[path]), (other, other.terms[path])], space)
        if space in ("delta", "peft-linear"):
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
                f'{its[:4]}… differ; train them with one init_seed or use space="delta"'
            )


def _check_sizes(path: str, held: list[tuple[Vector, tuple[Term, ...]]], space: str) -> None:
    """Raise :class:`LingarithError` unless the terms of a projection can be summed in the space."""
    first, ours = held[0]
    for vector, terms in held:
        if terms[0].size != ours[0].size:
            raise _other_sizes(first, vector, path)
        if space != "delta" and (len(terms) > 1 or [t.shape for t in terms[0]] != [t.shape for t in ours[0]]):
            mine, its = (" + ".join(term.described() for term in one) for one in (ours, terms))
            difference = f"it is a sum ({its})" if len(terms) > 1 else f"{mine} and {its} differ"
            raise LingarithError(
                f'{first.name} and {vector.name} cannot be added in {space} space: {difference}; use space="delta"'
            )


def _other_sizes(first: Vector, other: Vector, path: str) -> LingarithError:
    return LingarithError(
        f"{first.name} and {other.name} belong to different backbones: the sizes of {path} differ; "
        "train both on one backbone"
    )


def _is_full(vector: Vector) -> bool:
    """Whether full fine-tuning is in it."""
    return any(isinstance(term, DenseTerm) for terms in outline(vector.terms).values() for term in terms)


def starting_point(vector: Vector) -> Terms:
    """The terms that a vector's training started from, made again from its ``init_seed`` when asked for.

    Raises :class:`LingarithError` if the origin names no seed, or the hash is not the stored one.
    """
    seed = vector.origin.get("init_seed")
    if seed is None or _is_full(vector):
        raise LingarithError(f'{vector.name} does not say what it started from; use space="delta"')
    shapes = outline(vector.terms)
    start = LazyTerms(shapes, lambda path: (_initial(path, shapes[path][0], int(seed)),))
    if vector.origin.get("init_hash") != content_hash(FlatTensors(start)):
        raise LingarithError(f'the initialisation of {vector.name} cannot be made again here; use space="delta"')
    return start


def _initial(path: str, term: Term, seed: int) -> Term:
    assert not isinstance(term, DenseTerm)
    adapter = Lora(len(term.a)) if isinstance(term, LoraTerm) else Kronecker(term.m, term.n)
    return adapter.init({path: term.size}, seed)[path]


def as_vector(
    update: Update, combination: Combination, parents: Mapping[str, Vector], hashes: Mapping[str, str]
) -> Vector:
    """A composed update as a vector of its own, whose origin says how it was made.

    ``hashes`` gives the store's hash of each parent. All projections get one rank: what a smaller
    one lacks is filled up with zeros.
    """
    joined = {path: collected(terms) for path, terms in update.terms.items()}
    rank = max((len(term.a) for terms in joined.values() for term in terms if isinstance(term, LoraTerm)), default=0)
    terms = {
        path: tuple(t.padded(rank) if isinstance(t, LoraTerm) else t for t in held) for path, held in joined.items()
    }
    backbone = next(iter(parents.values())).origin.get("backbone")
    origin = {
        "kind": "composed",
        "expression": str(combination),
        "space": update.space,
        "error": update.error,
        "parents": {name: hashes[name] for name in combination.names},
        "backbone": backbone,
        "adapter": {"kind": "composed"},
    }
    return Vector(str(combination), terms, 1.0, origin, update.rest)


def _fingerprint(vector: Vector) -> str:
    return str((vector.origin.get("backbone") or {}).get("fingerprint"))
