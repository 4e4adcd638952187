"""Processes that train one vector together: each takes its share of a step's rows, and gradients are summed.

``torchrun`` starts them. All know all examples of a step, make the same step and hold the same numbers;
the first alone writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import LingarithError

PATIENCE = timedelta(days=7)
"""How long the others wait for the first, which may wait for a lock; torchrun ends those that are left alone."""


@dataclass(frozen=True)
class Processes:
    """How many there are, and which this one is (from 0)."""

    rank: int = 0
    size: int = 1

    def share(self, rows: int) -> slice:
        """Which of so many rows are this process's. Raises :class:`LingarithError` unless all get as many."""
        if rows % self.size:
            raise LingarithError(
                f"{rows} examples (--batch-size / --accumulation) cannot be shared out over {self.size} processes; "
                "choose a multiple"
            )
        return slice(self.rank * rows // self.size, (self.rank + 1) * rows // self.size)

    def sum(self, tensor: Tensor) -> Tensor:
        """Put the sum over all processes into a tensor (its bits are the same in all), and return it."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def meet(self) -> None:
        """Go on when all processes are here."""
        self.sum(torch.zeros(1))

    def must_agree(self, numbers: list[int]) -> None:
        """Raise :class:`LingarithError` unless these small numbers are the same in all processes."""
        if self.sum(torch.tensor(numbers)).tolist() != [self.size * number for number in numbers]:
            raise LingarithError(
                "the processes stand at different steps: give all of them one folder as --store, on a disk they share"
            )


def processes() -> Processes:
    """Those that train together now; one alone outside of :func:`joined`."""
    return Processes(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """While the block runs, this process is one of those that ``torchrun`` started, each on a device of its own."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield Processes()
        return
    if torch.cuda.is_available():
        local, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= devices:
            raise LingarithError(f"each process takes a GPU and there are {devices}; give --nproc-per-node {devices}")
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield processes()
    finally:
        dist.destroy_process_group()
