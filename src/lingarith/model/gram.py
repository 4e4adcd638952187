"""The Gram matrices of the bare backbone's inputs: what its projections see of some text (:mod:`..vectors.gram`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .batches import Item, collate

TOKENS = 4096
"""Tokens that a matrix is measured on. RegMean asks it about the few dozen directions of the vectors that are merged,
where its entries are then off by some hundredths; beyond a few thousand tokens published results gain nothing."""
MEMORY = 2**30
"""Bytes of matrices that are measured at a time: the next ones take another pass over the text."""


def grams(backbone: Backbone, items: Sequence[Item], sizes: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    """By path of a projection, in the order of ``sizes`` (path → in): E[x·xᵀ] of its inputs (in × in), on the CPU.

    Means over all positions of the items, of which each goes through by itself, so that none is padding. A layer that
    saw nothing, such as an expert that was not asked, has 0.
    """
    some: dict[str, int] = {}
    for path, size in sizes.items():
        if some and 4 * sum(width**2 for width in (*some.values(), size)) > MEMORY:
            yield from _measured(backbone, items, some)
            some = {}
        some[path] = size
    yield from _measured(backbone, items, some)


def _measured(backbone: Backbone, items: Sequence[Item], sizes: Mapping[str, int]) -> Iterator[tuple[str, Tensor]]:
    sums: dict[str, Tensor] = {}
    counts = dict.fromkeys(sizes, 0)

    def seeing(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def see(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = inputs[0].detach().flatten(0, -2).float()  # positions × in
            sums[path] = torch.addmm(sums[path], x.T, x) if path in sums else x.T @ x
            counts[path] += len(x)

        return see

    handles = [backbone.linears[path].register_forward_pre_hook(seeing(path)) for path in sizes]
    try:
        for item in items:
            inputs: Any = {key: tensor.to(backbone.device) for key, tensor in collate(backbone, [item]).inputs.items()}
            with torch.no_grad():
                backbone.model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
    for path, size in sizes.items():
        gram = sums.pop(path).cpu() / counts[path] if counts[path] else torch.zeros(size, size)
        yield path, (gram + gram.T) / 2  # of which rounding may leave a difference
