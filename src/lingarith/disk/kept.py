"""What takes a while to make and is always the same: made once, and kept in this machine's cache for later commands.

Nothing rests on it. A file that is missing, cut off or changed is made anew, and where nothing can be written
nothing is kept. Several processes may make one file: each puts a whole one in its place, and all of them are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .. import __version__
from ..errors import LingarithError, Unreadable
from .files import expanded, json_hash, reading, write_atomically

SETTLED = 2 * 10**9
"""Nanoseconds for which a file may be written again without a trace in its time."""


def cache_folder() -> Path:
    """What this machine may forget: ``$LINGARITH_CACHE`` or ``~/.cache/lingarith``. See :func:`.files.expanded`."""
    own = os.environ.get("LINGARITH_CACHE")
    return Path(own) if own else expanded("~/.cache/lingarith")


def kept(kind: str, facts: Mapping[str, Any], make: Callable[[], Iterable[Any]]) -> list[Any]:
    """The values that ``make`` gives for these facts, plain JSON both; from the folder ``kind`` of the cache if there.

    ``facts`` must hold all that the values depend on, the version of the program that makes them too. The first line
    of a file says them, and the hash of the lines that follow, one for each value.
    """
    values = _taken(kind, facts)
    return _values(_keep(kind, facts, make())) if values is None else values


def files_read(
    folder: Path, kind: str, names: Iterable[str], read: Callable[[str], Any], *, whole: bool = True
) -> dict[str, Any]:
    """What ``read`` gives (plain JSON) for each of many small files in a folder; one that did not change is not read.

    Unless the names are the ``whole`` of their kind nothing is kept of them. Left out are files that are gone, and
    those for which ``read`` raises :class:`LingarithError`; for what cannot be read :class:`Unreadable` is raised.
    """
    facts = {"folder": os.path.realpath(folder), "version": __version__}
    known = {name: (state, value) for name, state, value in (_taken(kind, facts) if whole else None) or ()}
    found, now, root, settled = {}, [], f"{folder}{os.sep}", time.time_ns() - SETTLED
    for name in names:
        try:
            status = os.stat(root + name)
            state = [status.st_ino, status.st_size, status.st_mtime_ns]
            before, value = known.get(name, (None, None))
            found[name] = value = value if before == state else read(name)
            if status.st_mtime_ns < settled:
                now.append([name, state, value])
        except (Unreadable, OSError) as problem:
            if not isinstance(problem, FileNotFoundError):
                with reading(folder / name, ""):
                    raise
        except LingarithError:
            pass
    if whole and {name: state for name, state, _ in now} != {name: state for name, (state, _) in known.items()}:
        _keep(kind, facts, now)
    return found


def _taken(kind: str, facts: Mapping[str, Any]) -> list[Any] | None:
    """The values that are kept; None where there are none, or they are not what was written."""
    with suppress(OSError, LingarithError, RecursionError, ValueError, KeyError, TypeError):
        head, _, lines = _place(kind, facts).read_bytes().partition(b"\n")
        if json.loads(head)["sha256"] == hashlib.sha256(lines).hexdigest():
            return _values(lines)
    return None


def _keep(kind: str, facts: Mapping[str, Any], values: Iterable[Any]) -> bytes:
    """Write values, a line for each, if that is possible; the lines."""
    lines = b"\n".join(json.dumps(value, ensure_ascii=False).encode() for value in values)
    head = json.dumps({**facts, "sha256": hashlib.sha256(lines).hexdigest()}, ensure_ascii=False).encode()
    with suppress(LingarithError):  # read-only, no space left, or a user without a home
        write_atomically(_place(kind, facts), head + b"\n" + lines)
    return lines


def _place(kind: str, facts: Mapping[str, Any]) -> Path:
    key = json_hash(facts)
    return cache_folder() / kind / f"{key}.jsonl"


def _values(lines: bytes) -> list[Any]:
    found: list[Any] = json.loads(b"[" + lines.replace(b"\n", b",") + b"]")
    return found
