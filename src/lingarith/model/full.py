"""Full fine-tuning: what is trained are the backbone's own parameters, all of them, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ..adapters.dense import DenseTerm
from ..adapters.terms import Term
from ..errors import LingarithError
from .backbone import Backbone


def parameters(backbone: Backbone) -> dict[str, Tensor]:
    """A copy of each parameter of the backbone by its name, in float32; what is tied is there once.

    Raises :class:`LingarithError` where weights are packed, or not in memory.
    """
    copies = {}
    for name, parameter in backbone.model.named_parameters():
        if not parameter.is_floating_point() or parameter.device.type == "meta":
            raise LingarithError(
                f"{backbone.name} cannot be fine-tuned in full: {name} is quantised or not in memory; load it whole, "
                "or train an adapter"
            )
        copies[name] = parameter.detach().to(torch.float32, copy=True)
    packed = [path for path in backbone.projections if f"{path}.weight" not in copies]
    if packed:
        raise LingarithError(
            f"{backbone.name} cannot be fine-tuned in full: {packed[0]} is quantised; load it whole, or train an "
            "adapter"
        )
    return copies


def changes(backbone: Backbone, trained: Mapping[str, Tensor]) -> tuple[dict[str, tuple[Term, ...]], dict[str, Tensor]]:
    """What the trained parameters differ by from the backbone's: of its projections, and of the rest by name."""
    moved = {
        name: trained[name].detach().cpu() - parameter.detach().cpu().float()
        for name, parameter in backbone.model.named_parameters()
    }
    terms: dict[str, tuple[Term, ...]] = {
        path: (DenseTerm(moved.pop(f"{path}.weight")),) for path in backbone.projections
    }
    return terms, moved
