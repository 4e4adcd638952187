"""Where the factors of a vector in training lie in one flat tensor, one for each device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

ALIGNMENT = 16  # numbers: a factor begins where a line of the processor's cache does
Flat = Mapping[torch.device, Tensor]
"""The numbers of all factors in a row (… × N), on each device."""


@dataclass(frozen=True)
class Layout:
    """Where the factors lie in the flat tensors: device, first number, shape."""

    places: Mapping[str, tuple[torch.device, int, torch.Size]]

    @staticmethod
    def of(factors: Mapping[str, Tensor]) -> Layout:
        """One after the other on their devices."""
        places, ends = {}, dict.fromkeys((factor.device for factor in factors.values()), 0)
        for key, factor in factors.items():
            places[key] = (factor.device, ends[factor.device], factor.shape)
            ends[factor.device] += -(-factor.numel() // ALIGNMENT) * ALIGNMENT
        return Layout(places)

    def flat(self, factors: Mapping[str, Tensor]) -> dict[torch.device, Tensor]:
        """The factors in a row, with zeros between them."""
        sizes: dict[torch.device, int] = {}
        for device, at, shape in self.places.values():
            sizes[device] = at + -(-shape.numel() // ALIGNMENT) * ALIGNMENT
        rows = {device: torch.zeros(size, device=device) for device, size in sizes.items()}
        for key, view in self.views(rows).items():
            view.copy_(factors[key])
        return rows

    def views(self, flat: Flat) -> dict[str, Tensor]:
        """The factors (… × shape) as views of flat tensors (… × N)."""
        return {
            key: flat[device][..., at : at + shape.numel()].unflatten(-1, shape)
            for key, (device, at, shape) in self.places.items()
        }
