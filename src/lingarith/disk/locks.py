"""One process at a time: what is made once in a store that several processes share."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from .files import make_folder, naming

NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP)
"""What file systems answer that lock nothing; for those that say ENOSYS, filelock does as is done here."""


@contextmanager
def alone(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Context that one process at a time is in, for the thing at ``path``; ``waiting`` is called where another is.

    Whoever comes in looks again whether the thing is there. The lock is the file ``<path>.lock``, which
    the system gives free when a process dies. Where the file system locks nothing, whoever makes the file
    ``<path>.held`` is in; when a process of this machine died, others see that it is no more. Raises
    :class:`LingarithError` when the file cannot be made.
    """
    file, held = (path.with_name(f"{path.name}.{ending}") for ending in ("lock", "held"))
    lock: BaseFileLock = FileLock(file)
    with naming(file):
        make_folder(file.parent)
        try:
            _take(lock, waiting)
        except OSError as problem:
            if problem.errno not in NO_LOCKS:
                raise
            lock = SoftFileLock(held)
            _take(lock, waiting)
    try:
        yield
        # The thing is there now, so it does no harm that those who wait hold a file which has no name.
        with suppress(PermissionError):  # Windows keeps what is open
            file.unlink(missing_ok=True)
    finally:
        lock.release()


def _take(lock: BaseFileLock, waiting: Callable[[], None]) -> None:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        waiting()
        lock.acquire()
