"""Memory: an allocator that keeps what training frees only to ask for it again, and how much is in use."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

import torch

from ..disk.freed import give_back, libc

PROCESS = Path("/proc/self")
UNTOLD = 4 << 30
"""Bytes that are taken to be there where the system does not say (Windows)."""


def keep_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MB: to ask the system for them anew at each step takes a third of it.

    Does nothing where there is no glibc. Larger blocks still return to the system at once, the others when a peak is
    to be measured (:func:`reset_peak`).
    """
    if hasattr(library := libc(), "mallopt"):
        m_trim_threshold, m_mmap_threshold, never = -1, -3, -1
        library.mallopt(m_mmap_threshold, 32 << 20)
        library.mallopt(m_trim_threshold, never)


def prepare() -> None:
    """What a process does before it loads a backbone: keep memory, collect garbage, and let libraries be quiet."""
    from transformers.utils import logging

    keep_memory()
    gc.set_threshold(700)
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def used(device: torch.device) -> int:
    """Bytes that this process has on the device now; 0 where that cannot be told."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else _line(PROCESS / "status", "VmRSS")


def peak(device: torch.device) -> int:
    """The most since :func:`reset_peak`; 0 where that cannot be told."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else _line(PROCESS / "status", "VmHWM")


def reset_peak(device: torch.device) -> None:
    """Forget the most that was in use so far, and give back to the system what is in no use now."""
    give_back()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with suppress(OSError):  # not Linux, or not allowed: then the peak is that of the whole run
        (PROCESS / "clear_refs").write_text("5")


def available(device: torch.device) -> int:
    """Bytes that can still be had on the device, those included that torch keeps for the next to ask."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 2 * UNTOLD
    return _line(Path("/proc/meminfo"), "MemAvailable") or pages // 2


def _line(file: Path, name: str) -> int:
    with suppress(OSError):
        for line in file.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0
