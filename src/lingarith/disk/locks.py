"""One process at a time: what is made once in a store that several processes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from .files import naming


@contextmanager
def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Context that one process at a time is in, for the thing at ``path``; ``waiting`` is called where another is.

    Whoever comes in looks again whether the thing is there. The lock is the file ``<path>.lock``, which
    the system gives free when a process dies; the file system must know flock, as local ones and NFS do.
    Raises :class:`LingarithError` when the file cannot be made.
    """
    file = path.with_name(f"{path.name}.lock")
    lock = FileLock(file)
    with naming(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    try:
        yield
        # The thing is there now, so it does no harm that those who wait hold a file which has no name.
        file.unlink(missing_ok=True)
    finally:
        lock.release()
