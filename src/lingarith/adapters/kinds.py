"""The family of adapters: what they have in common, and the one table of those that there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from ..errors import LingarithError, did_you_mean
from .dense import DenseTerm, Full
from .kronecker import Kronecker, KroneckerTerm
from .lora import Lora, LoraTerm
from .terms import Term

Shapes = Mapping[str, tuple[int, int]]
"""Path of a projection → (out, in)."""


class Adapter(Protocol):
    """What a vector can be trained as: frozen options, whose values say which adapter it is."""

    @property
    def scale(self) -> float:
        """What the trained term is multiplied by to be ΔW: α/r for LoRA, else 1."""

    @property
    def facts(self) -> dict[str, Any]:
        """What a vector's origin says about it, plain: ``kind`` (a key of :data:`ADAPTERS`) and its options."""


@runtime_checkable
class Factored(Adapter, Protocol):
    """An adapter of two factors beside each frozen projection; full fine-tuning alone has none."""

    def check(self, shapes: Shapes) -> None:
        """Raise :class:`LingarithError` unless it can sit on projections of these sizes."""

    def init(self, shapes: Shapes, seed: int) -> Mapping[str, Term]:
        """What training starts from: ΔW = 0, the same for one seed on every machine. Raises as ``check``."""

    def factors(self, term: Any) -> tuple[Tensor, Tensor]:
        """What is trained of a projection's term: ``a`` and ``b``."""

    def term(self, a: Tensor, b: Tensor) -> Term:
        """The term of such factors."""

    def apply(self, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        """What K adapters (a leading axis of ``a`` and ``b``) add for ``x``, whose rows are K equal groups."""


class Kind(NamedTuple):
    """A row of the table: an adapter's options, its term, and the options that a term was made with."""

    adapter: Callable[..., Adapter]
    term: type[LoraTerm] | type[KroneckerTerm] | type[DenseTerm]
    of_term: Callable[[Any], Adapter]


ADAPTERS: Mapping[str, Kind] = {
    "lora": Kind(Lora, LoraTerm, lambda term: Lora(len(term.a))),
    "kronecker": Kind(Kronecker, KroneckerTerm, lambda term: Kronecker(term.m, term.n)),
    "full": Kind(Full, DenseTerm, lambda term: Full()),
}


def from_facts(facts: Mapping[str, Any]) -> Adapter:
    """The adapter that has these ``facts``; what they leave out is as by default.

    Raises :class:`LingarithError` for a kind that is not in the table, and as the adapter does.

    >>> from_facts({"kind": "kronecker", "m": 4, "n": 2})
    Kronecker(m=4, n=2)
    """
    kind = str(facts.get("kind"))
    if kind not in ADAPTERS:
        raise LingarithError(f"no adapter is named {kind!r}{did_you_mean(kind, ADAPTERS)}")
    return ADAPTERS[kind].adapter(**{key: value for key, value in facts.items() if key != "kind"})


def of_term(term: Term) -> Adapter:
    """The adapter, of scale 1, that a trained term belongs to.

    >>> of_term(Lora(3).init({"q": (8, 8)}, 0)["q"])
    Lora(rank=3, alpha=None)
    """
    return next(kind.of_term(term) for kind in ADAPTERS.values() if isinstance(term, kind.term))
