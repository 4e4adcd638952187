"""Memory that is in no use any more goes back to the system, where the system's library would keep it."""

from __future__ import annotations

import ctypes
import sys
from typing import Any


def libc() -> Any:
    """The C library of this process on Linux; None elsewhere."""
    return ctypes.CDLL(None) if sys.platform.startswith("linux") else None


def give_back() -> None:
    """Give back what was freed, also between blocks that are in use (2 ms). Does nothing where there is no glibc."""
    if hasattr(library := libc(), "malloc_trim"):
        library.malloc_trim(0)
