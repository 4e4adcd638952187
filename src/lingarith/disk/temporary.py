"""What is being written has a name of its own and is locked: what a dead process left is told from it, and deleted."""

from __future__ import annotations

import hashlib
import os
import platform
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

TEMPORARY = ".tmp-"
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
"""This machine, in the names of what it writes."""
YOUNG, OLD = 2.0, 3600.0
"""Seconds in which something new is locked, if that can be; and after which nobody works on it any more."""


def temporary(parent: Path) -> Path:
    """A place in a folder for what will be moved."""
    return parent / f"{TEMPORARY}{HOST}-{os.getpid()}-{secrets.token_hex(6)}"


def sweep(folder: Path) -> None:
    """Delete what processes left in a folder that died while they were writing; see :func:`left_over`."""
    try:
        names = os.listdir(folder)
    except OSError:  # what is not there, or cannot be read, is for those to say who need it
        return
    for path in (folder / name for name in names if name.startswith(TEMPORARY)):
        if left_over(path):
            with suppress(OSError):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def left_over(path: Path) -> bool:
    """Whether something temporary belongs to no process that lives: it is locked by nobody.

    What other machines write may be locked where this one does not see it, and some drives lock nothing: then
    what is :data:`OLD` is left over.
    """
    try:
        age = time.time() - path.lstat().st_mtime
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:  # it is in its place meanwhile
        return False
    try:
        free = lock(handle)
    finally:
        os.close(handle)
    ours = path.name.startswith(f"{TEMPORARY}{HOST}-")
    return age > (YOUNG if ours and free else OLD) and free is not False


def lock(handle: int) -> bool | None:
    """Lock what is open until it is closed: whether that was done; None where nothing can be locked."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True
