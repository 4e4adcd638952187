"""What takes a while to make and is always the same: made once, and kept in this machine's cache for later commands.

Nothing rests on it. A file that is missing, cut off or changed is made anew, and where nothing can be written
nothing is kept. Several processes may make one file: each puts a whole one in its place, and all of them are equal.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import LingarithError
from .files import expanded, json_hash, write_atomically


def cache_folder() -> Path:
    """What this machine may forget: ``$LINGARITH_CACHE`` or ``~/.cache/lingarith``. See :func:`.files.expanded`."""
    own = os.environ.get("LINGARITH_CACHE")
    return Path(own) if own else expanded("~/.cache/lingarith")


def kept(kind: str, facts: Mapping[str, Any], make: Callable[[], Iterable[Any]]) -> list[Any]:
    """The values that ``make`` gives for these facts, plain JSON both; from the folder ``kind`` of the cache if there.

    ``facts`` must hold all that the values depend on, the version of the program that makes them too. The first line
    of a file says them, and the hash of the lines that follow, one for each value.
    """
    with suppress(OSError, LingarithError, RecursionError, ValueError, KeyError, TypeError):
        head, _, lines = _place(kind, facts).read_bytes().partition(b"\n")
        if json.loads(head)["sha256"] == hashlib.sha256(lines).hexdigest():
            return _values(lines)
    lines = b"\n".join(json.dumps(value, ensure_ascii=False).encode() for value in make())
    head = json.dumps({**facts, "sha256": hashlib.sha256(lines).hexdigest()}, ensure_ascii=False).encode()
    with suppress(LingarithError):  # read-only, no space left, or a user without a home
        write_atomically(_place(kind, facts), head + b"\n" + lines)
    return _values(lines)


def _place(kind: str, facts: Mapping[str, Any]) -> Path:
    key = json_hash(facts)
    return cache_folder() / kind / f"{key}.jsonl"


def _values(lines: bytes) -> list[Any]:
    found: list[Any] = json.loads(b"[" + lines.replace(b"\n", b",") + b"]")
    return found
