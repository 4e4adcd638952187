"""Terms whose numbers are made or read when they are asked for, one projection at a time.

Shapes are known before: an *outline* is the same terms on torch's meta device, which holds no numbers.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import median

import torch
from torch import Tensor

from ..adapters.kronecker import KroneckerTerm
from ..adapters.lora import LoraTerm
from ..adapters.terms import KINDS, Term
from ..errors import LingarithError
from .tensors import TensorFile

Terms = Mapping[str, tuple[Term, ...]]
"""Path of a projection → what is added there, at most one term of each kind."""

OUTLIER = 100.0


class LazyTerms(Terms):
    """Terms with the shapes of ``outline``; ``read`` gives those of one projection."""

    def __init__(self, outline: Terms, read: Callable[[str], tuple[Term, ...]]) -> None:
        self.outline, self.read = outline, read

    def __getitem__(self, path: str) -> tuple[Term, ...]:
        if path not in self.outline:
            raise KeyError(path)
        return self.read(path)

    def __iter__(self) -> Iterator[str]:
        return iter(self.outline)

    def __len__(self) -> int:
        return len(self.outline)


class FlatTensors(Mapping[str, Tensor]):
    """The factors of terms under their names in files, ``<path>.<kind>.a`` and ``.b``, in that order.

    The projection that was read last is kept, since its factors are asked for together.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._places = {
            f"{path}.{term.kind}.{'ab'[which]}": (path, number, which)
            for path, held in outline(terms).items()
            for number, term in enumerate(held)
            for which in (0, 1)
        }
        self._path: str | None = None
        self._held: tuple[Term, ...] = ()

    def __getitem__(self, name: str) -> Tensor:
        path, number, which = self._places[name]
        if path != self._path:
            self._path, self._held = path, self.terms[path]
        return self._held[number][which].contiguous()

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._places))

    def __len__(self) -> int:
        return len(self._places)


def outline(terms: Terms) -> Terms:
    """The same terms without their numbers; nothing is read."""
    if isinstance(terms, LazyTerms):
        return terms.outline
    return {path: tuple(type(t)(t.a.to("meta"), t.b.to("meta")) for t in held) for path, held in terms.items()}


def lora_outline(size: tuple[int, int], rank: int) -> Term:
    """The outline of a LoRA term for a ΔW of ``size`` (out, in)."""
    out, inputs = size
    return LoraTerm(torch.empty(rank, inputs, device="meta"), torch.empty(out, rank, device="meta"))


def kronecker_outline(size: tuple[int, int], m: int, n: int, count: int) -> Term:
    """The outline of a sum of Kronecker products for a ΔW of ``size`` (out, in)."""
    blocks = (count, size[0] // n, size[1] // m)
    return KroneckerTerm(torch.empty(count, n, m, device="meta"), torch.empty(blocks, device="meta"))


def joined(terms: Sequence[Term]) -> tuple[Term, ...]:
    """The outline of what :func:`lingarith.adapters.terms.collected` makes of the terms."""
    size = terms[0].size
    rank = sum(len(term.a) for term in terms if isinstance(term, LoraTerm))
    products = Counter[tuple[int, int]]()
    for term in terms:
        if isinstance(term, KroneckerTerm):
            products[term.m, term.n] += len(term.a)
    sums = (kronecker_outline(size, m, n, count) for (m, n), count in sorted(products.items()))
    return (*([lora_outline(size, rank)] if rank else []), *sums)


def terms_in(file: TensorFile) -> LazyTerms:
    """The terms in a file of flat names. Raises :class:`LingarithError` as :func:`check_terms` does."""
    tensors = file.outline()
    found: dict[str, list[tuple[Term, str]]] = {}
    for stem in sorted({name.rpartition(".")[0] for name in tensors}):
        path, _, kind = stem.rpartition(".")
        a, b = tensors.get(f"{stem}.a"), tensors.get(f"{stem}.b")
        made = next((KINDS[k](a, b) for k in KINDS if kind.startswith(k) and a is not None and b is not None), None)
        if made is None or not made.fits or made.kind != kind:
            raise LingarithError(f"{file.path}: {stem!r} has no float32 factors that fit together; {file.mend}")
        found.setdefault(path, []).append((made, stem))
    for held in found.values():
        held.sort(key=lambda one: (one[0].m, one[0].n) if isinstance(one[0], KroneckerTerm) else (0, 0))
    outline = {path: tuple(term for term, _ in found[path]) for path in sorted(found)}
    check_terms(outline, file.path, file.mend)

    def read(path: str) -> tuple[Term, ...]:
        return tuple(type(term)(file[f"{stem}.a"], file[f"{stem}.b"]) for term, stem in found[path])

    return LazyTerms(outline, read)


def check_terms(outline: Terms, where: object, mend: str = "make the vector again") -> None:
    """Raise :class:`LingarithError` unless there are terms, each fits, and LoRA's rank is the same everywhere."""
    for path, terms in outline.items():
        fit = all(term.fits and term.a.dtype == term.b.dtype == torch.float32 for term in terms)
        if not terms or not fit or len({term.size for term in terms}) > 1:
            raise LingarithError(f"{where}: {path!r} has no float32 factors that fit together; {mend}")
    ranks = {len(term.a) for terms in outline.values() for term in terms if isinstance(term, LoraTerm)}
    if not outline or len(ranks) > 1:
        raise LingarithError(f"{where}: not one rank over all projections, or no projection; {mend}")


def outliers(terms: Terms) -> list[str]:
    """One sentence for each factor whose numbers are far larger than its siblings', such as a damaged one.

    Siblings are the same factor of the other projections. Compared are root mean squares, which do
    not depend on the sizes; far is more than :data:`OUTLIER` times the median of those that are not 0.
    """
    sizes: dict[str, dict[str, float]] = {}
    for name, tensor in FlatTensors(terms).items():
        norm = float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
        sizes.setdefault(".".join(name.split(".")[-2:]), {})[name] = norm / math.sqrt(tensor.numel())
    found = []
    for sibling in sizes.values():
        usual = median([size for size in sibling.values() if size] or [0.0])
        found += [
            f"tensor {name!r} is {size / usual:.3g} times as large as its siblings (root mean square {size:.3g})"
            for name, size in sibling.items()
            if size > OUTLIER * usual
        ]
    return found
