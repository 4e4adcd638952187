"""Several updates on one backbone at once: each row of a batch has its own.

Rows end at different times and leave a batch, so an update's rows are no group of a fixed size, as
they are in training; each row says whose it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ..adapters.lora import LoraTerm
from ..adapters.terms import Term
from ..vectors.vector import Update
from .backbone import Backbone
from .projections import home

AT_ONCE = 8
"""Updates beside each other: their factors go to every row, so the work for them grows with the square."""


def groups(updates: Iterable[Update | None]) -> Iterator[list[Update | None]]:
    """Updates in their order, in groups of up to :data:`AT_ONCE` that can stand beside each other.

    What is not of low rank stands alone: Kronecker products would be gathered for each row, which takes
    longer than to merge them one after another, and dense terms are as large as the backbone.
    """
    group: list[Update | None] = []
    for update in updates:
        alone = not _low_rank(update)
        if group and (alone or len(group) == AT_ONCE):
            yield group
            group = []
        group.append(update)
        if alone:
            yield group
            group = []
    if group:
        yield group


def _low_rank(update: Update | None) -> bool:
    if update is None or update.rest:
        return False
    return all(isinstance(term, LoraTerm) for terms in update.terms.values() for term in terms)


class Beside:
    """K updates of low rank beside each other; ``owners`` (rows) says which each row of the batch has.

    Raises :class:`LingarithError` for an update of another backbone.
    """

    def __init__(self, backbone: Backbone, updates: Sequence[Update]) -> None:
        self.owners = torch.zeros(0, dtype=torch.long)
        self._backbone = backbone
        for update in updates:
            backbone.must_fit(update)
        paths = dict.fromkeys(path for update in updates for path in update.terms)
        self._adds = {
            path: self._added([update.terms.get(path, ()) for update in updates], home(backbone.linears[path]))
            for path in paths
        }

    @contextmanager
    def open(self) -> Iterator[None]:
        """While open, what projections make of a row has the row's update added."""
        with self._backbone.adding(self._adds):
            yield

    def _added(self, terms: Sequence[Sequence[Term]], device: torch.device) -> Callable[[Tensor], Tensor]:
        """All factors side by side: of what lies between them a row keeps its own, and the rest is 0."""
        owned = [(k, term) for k, some in enumerate(terms) for term in some if isinstance(term, LoraTerm)]
        a = torch.cat([term.a for _, term in owned]).to(device)  # R × in, where R is the sum of all ranks
        b = torch.cat([term.b for _, term in owned], dim=1).to(device)  # out × R
        owner = torch.tensor([k for k, term in owned for _ in term.a], device=device)  # R: whose each rank is

        def add(x: Tensor) -> Tensor:
            row_owner = self.owners.to(device).repeat_interleave(len(x) // len(self.owners))  # beams are neighbours
            kept = (row_owner[:, None] == owner).to(a.dtype)  # rows × R: 1 where a rank is the row's own
            between = x.to(a.dtype) @ a.T  # rows × … × R
            # A product with 0 and 1 and not a gather: all rows then share two large matrix products.
            return between * kept.view(len(x), *[1] * (x.ndim - 2), -1) @ b.T

        return add
