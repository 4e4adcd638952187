"""Terms whose numbers are made or read when they are asked for, one projection at a time.

Shapes are known before: an *outline* is the same terms on torch's meta device, which holds no numbers. The factors that
were read last are kept, since they are asked for several times in a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from statistics import median
from typing import Generic, TypeVar

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.kinds import ADAPTERS, Factored, of_term
from ..adapters.kronecker import KroneckerTerm
from ..adapters.lora import LoraTerm
from ..adapters.terms import Term, mapped
from ..disk.tensors import TensorFile, without_numbers
from ..errors import LingarithError
from .vector import Vector, content_hash

REST = "rest"
"""How the names of tensors in a file end that are no part of a projection's term."""
OUTLIER = 100.0

Terms = Mapping[str, tuple[Term, ...]]
"""Path of a projection → what is added there, at most one term of each kind."""
Value = TypeVar("Value")


class Lazy(Mapping[str, Value], Generic[Value]):
    """Terms, or tensors, with the shapes of ``outline``; ``read`` gives those of one name."""

    def __init__(self, outline: Mapping[str, Value], read: Callable[[str], Value]) -> None:
        self.outline, self.read = outline, read

    def __getitem__(self, path: str) -> Value:
        if path not in self.outline:
            raise KeyError(path)
        return self.read(path)

    def __contains__(self, path: object) -> bool:
        return path in self.outline  # nothing is read for it

    def __iter__(self) -> Iterator[str]:
        return iter(self.outline)

    def __len__(self) -> int:
        return len(self.outline)


LazyTerms = Lazy[tuple[Term, ...]]


class FlatTensors(Mapping[str, Tensor]):
    """The tensors of a vector under their names in files, in that order.

    They are called ``<path>.<kind>.a`` and ``.b``, of a dense term ``<path>.dense.change``, and
    ``<parameter>.rest``. The projection that was read last is kept, since its factors are asked for together.
    """

    def __init__(self, terms: Terms, rest: Mapping[str, Tensor] | None = None) -> None:
        self.terms = terms
        self.rest = {f"{name}.{REST}": name for name in rest or {}}
        self.changes: Mapping[str, Tensor] = rest or {}
        self._places = {
            f"{path}.{term.kind}.{which}": (path, number, place)
            for path, held in outline(terms).items()
            for number, term in enumerate(held)
            for place, which in enumerate(term._fields)
        }
        self._path: str | None = None
        self._held: tuple[Term, ...] = ()

    @staticmethod
    def of(vector: Vector) -> FlatTensors:
        """Those of a vector, which it may have on the disk or in memory."""
        return FlatTensors(vector.terms, vector.rest)

    def __getitem__(self, name: str) -> Tensor:
        if name in self.rest:
            return self.changes[self.rest[name]].contiguous()
        path, number, which = self._places[name]
        if path != self._path:
            self._path, self._held = path, self.terms[path]
        return self._held[number][which].contiguous()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted([*self._places, *self.rest]))

    def __len__(self) -> int:
        return len(self._places) + len(self.rest)


def outline(terms: Terms) -> Terms:
    """The same terms without their numbers; nothing is read."""
    if isinstance(terms, Lazy):
        return terms.outline
    return {path: tuple(mapped(term, lambda t: t.to("meta")) for term in held) for path, held in terms.items()}


def outline_on(vector: Vector, paths: Iterable[str]) -> Terms:
    """The outline of what a vector adds to projections; without those that it leaves as they are.

    Among the paths may be projections that full fine-tuning changed as other parameters.
    """
    terms, rest = outline(vector.terms), rest_outline(vector.rest)
    beside = {path: rest[f"{path}.weight"] for path in paths if f"{path}.weight" in rest}
    return {path: terms[path] for path in paths if path in terms} | {
        path: (DenseTerm(change),) for path, change in beside.items()
    }


def rest_outline(rest: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The same changes without their numbers; nothing is read."""
    return rest.outline if isinstance(rest, Lazy) else {name: tensor.to("meta") for name, tensor in rest.items()}


def lora_outline(size: tuple[int, int], rank: int) -> LoraTerm:
    """The outline of a LoRA term for a ΔW of ``size`` (out, in)."""
    out, inputs = size
    return LoraTerm(without_numbers((rank, inputs)), without_numbers((out, rank)))


def kronecker_outline(size: tuple[int, int], m: int, n: int, count: int) -> KroneckerTerm:
    """The outline of a sum of Kronecker products for a ΔW of ``size`` (out, in)."""
    blocks = (count, size[0] // n, size[1] // m)
    return KroneckerTerm(without_numbers((count, n, m)), without_numbers(blocks))


def terms_in(file: TensorFile) -> LazyTerms:
    """The terms in a file of flat names. Raises :class:`LingarithError` as :func:`check_terms` does."""
    stems: dict[str, dict[str, Tensor]] = {}
    for name, tensor in file.outline().items():
        stem, _, which = name.rpartition(".")
        if which != REST:
            stems.setdefault(stem, {})[which] = tensor
    by_path: dict[str, list[tuple[Term, str]]] = {}
    for stem, tensors in sorted(stems.items()):
        path, _, kind = stem.rpartition(".")
        alike = (row.term(**tensors) for row in ADAPTERS.values() if tensors.keys() == {*row.term._fields})
        term = next((term for term in alike if term.fits and term.kind == kind), None)
        if term is None:
            raise LingarithError(f"{file.path}: {stem!r} has no float32 factors that fit together; {file.mend}")
        by_path.setdefault(path, []).append((term, stem))
    for held in by_path.values():  # as terms.collected orders them; names have 16x2 before 2x2
        held.sort(key=lambda pair: (pair[0].m, pair[0].n) if isinstance(pair[0], KroneckerTerm) else (0, 0))
    outline = {path: tuple(term for term, _ in by_path[path]) for path in sorted(by_path)}
    check_terms(outline, file.path, file.mend)

    def read(path: str) -> tuple[Term, ...]:
        return tuple(type(term)(*(file[f"{stem}.{which}"] for which in term._fields)) for term, stem in by_path[path])

    return LazyTerms(outline, read if is_full(outline) else lru_cache(1)(read))


def rest_in(file: TensorFile) -> Lazy[Tensor]:
    """The changes of other parameters in a file of flat names, by parameter. Raises :class:`LingarithError`."""
    end = f".{REST}"
    held = {name: tensor for name, tensor in sorted(file.outline().items()) if name.endswith(end)}
    outline = {name.removesuffix(end): tensor for name, tensor in held.items()}
    check_rest(outline, file.path, file.mend)
    return Lazy(outline, lambda name: file[name + end])


def is_full(terms: Terms) -> bool:
    """Whether full fine-tuning is in it."""
    return any(isinstance(term, DenseTerm) for summands in outline(terms).values() for term in summands)


def starting_point(vector: Vector) -> Terms:
    """The terms that a vector's training started from, made again from its ``init_seed`` when asked for.

    Raises :class:`LingarithError` if the origin names no seed, or the hash is not the stored one.
    """
    seed = vector.origin.get("init_seed")
    shapes = outline(vector.terms)
    if seed is None or is_full(shapes):
        raise LingarithError(f'{vector.name} does not say what it started from; use space="delta"')

    def begun(path: str) -> tuple[Term, ...]:
        term = shapes[path][0]
        adapter = of_term(term)
        assert isinstance(adapter, Factored)  # for is_full is False
        return (adapter.init({path: term.size}, int(seed))[path],)

    start = LazyTerms(shapes, lru_cache(1)(begun))
    if vector.origin.get("init_hash") != content_hash(FlatTensors(start)):
        raise LingarithError(f'the initialisation of {vector.name} cannot be made again here; use space="delta"')
    return start


def check_rest(outline: Mapping[str, Tensor], where: object, mend: str = "make the vector again") -> None:
    """Raise :class:`LingarithError` unless the changes are float32."""
    for name, tensor in outline.items():
        if tensor.dtype != torch.float32:
            raise LingarithError(f"{where}: the change of {name!r} is not float32; {mend}")


def check_terms(outline: Terms, where: object, mend: str = "make the vector again") -> None:
    """Raise :class:`LingarithError` unless there are terms, and each fits."""
    if not outline:
        raise LingarithError(f"{where}: there is no projection in it; {mend}")
    for path, terms in outline.items():
        fit = all(term.fits and all(tensor.dtype == torch.float32 for tensor in term) for term in terms)
        if not terms or not fit or len({term.size for term in terms}) > 1:
            raise LingarithError(f"{where}: {path!r} has no float32 factors that fit together; {mend}")


def idle(name: str, norms: Mapping[str, float]) -> list[str]:
    """A sentence where a vector is 0, as before training or where numbers were lost; ``norms``: ‖ΔW‖ of projections.

    >>> idle("news[pt]", {"q": 0.0, "k": 1.0, "v": 0.0}), idle("x", {"q": 0.0})
    (['news[pt] adds nothing on 2 of 3 projections (q …)'], ['x is 0: it adds nothing'])
    """
    still = [path for path, norm in norms.items() if not norm]
    if not still:
        return []
    if len(still) == len(norms):
        return [f"{name} is 0: it adds nothing"]
    few = still[0] + (" …" if len(still) > 1 else "")
    return [f"{name} adds nothing on {len(still)} of {len(norms)} projections ({few})"]


def outliers(terms: Terms) -> list[str]:
    """One sentence for each factor whose numbers are far larger than its siblings', such as a damaged one.

    Siblings are the same factor of the other projections. Compared are root mean squares, which do
    not depend on the sizes; far is more than :data:`OUTLIER` times the median of those that are not 0.
    """
    sizes: dict[str, dict[str, float]] = {}
    for name, tensor in FlatTensors(terms).items():
        norm = float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
        sizes.setdefault(".".join(name.split(".")[-2:]), {})[name] = norm / math.sqrt(tensor.numel())
    sentences = []
    for sibling in sizes.values():
        usual = median([size for size in sibling.values() if size] or [0.0])
        sentences += [
            f"tensor {name!r} is {size / usual:.3g} times as large as its siblings (root mean square {size:.3g})"
            for name, size in sibling.items()
            if size > OUTLIER * usual
        ]
    return sentences
