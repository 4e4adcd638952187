"""In which type a processor is quick: measured once on each, since some take fifty times as long in a half type."""

from __future__ import annotations

import platform
import time

import torch

from ..disk.kept import kept

ROWS, WIDTH = 128, 512
"""Of the product that is timed: 67 million operations, which take 170 ms where bfloat16 is emulated, else about one. In
smaller ones the units for it do not show."""
REPEATS = 3
HALVES = (torch.bfloat16, torch.float16)


def quick_type(stored: torch.dtype) -> tuple[torch.dtype, str]:
    """The type in which this processor is to compute with weights that are ``stored`` so, and a word on why.

    That is float32 for a half type that is slower, which loses nothing; else it is as stored.
    """
    if stored in HALVES and (times := slower(stored)) > 1:
        return torch.float32, f"{str(stored).removeprefix('torch.')} takes {times:.3g} times as long"
    return stored, ""


def slower(half: torch.dtype) -> float:
    """How many times as long a product takes in a half type as in float32 on this processor, by its best of three."""
    facts = {
        "machine": platform.node(), "processor": torch.backends.cpu.get_cpu_capability(), "torch": torch.__version__,
        "type": str(half), "version": 2,
    }  # fmt: skip
    [ratio] = kept("speed", facts, lambda: [round(_seconds(half) / _seconds(torch.float32), 2)])
    return float(ratio)


def _seconds(dtype: torch.dtype) -> float:
    """What a product takes at best. Without gradients, and on whatever threads there are."""
    one, other = torch.ones(ROWS, WIDTH, dtype=dtype), torch.ones(WIDTH, WIDTH, dtype=dtype)
    taken = []
    for _ in range(REPEATS + 1):  # the first one prepares
        began = time.perf_counter()
        one @ other
        taken.append(time.perf_counter() - began)
    return min(taken[1:])
