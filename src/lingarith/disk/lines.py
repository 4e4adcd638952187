"""JSON lines: read a few at a time, and added at the end without reading what is there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import LingarithError
from ..plain import DEEPEST, json_object, json_value
from .files import sync, unlinked

BLOCK, AT_ONCE = 4096, DEEPEST - 2
"""Bytes, and lines, that are read at a time."""
SHORT = 40
"""Characters of a text that is likely to come again."""


def objects(path: Path, mend: str, *, whole: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each line stands, for messages, and the object in it; without blank lines, and what was cut off at the end.

    There are none where there is no file. Raises :class:`LingarithError` for a line that is no JSON object, and with
    ``whole`` for a last line that was cut off.
    """
    if not os.path.lexists(path):
        return
    same: dict[str, str] = {}
    """Names, kinds and ids come in thousands of lines and are held once."""
    before = 0
    with open(path, "rb", opener=unlinked) as file:
        while lines := list(islice(file, AT_ONCE)):
            rest = b"" if lines[-1].endswith(b"\n") else lines.pop()
            for number, values in enumerate(_objects(lines, path, before + 1, mend), before + 1):
                for name, one in values.items():
                    if type(one) is str and len(one) < SHORT:
                        values[name] = same.setdefault(one, one)
                if values:
                    yield f"{path}, line {number}", values
            before += len(lines)
            if rest and whole:
                raise LingarithError(f"{path}, line {before + 1}: cut off; run the command again that made it")


def append(path: Path, lines: bytes) -> None:
    """Add lines, on the disk when this returns, in the place of what was cut off at the end. Raises OSError."""
    new = not path.exists()
    with open(path, "a+b", opener=unlinked) as file:
        file.truncate(_end_of_lines(file))
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def _objects(lines: Sequence[bytes], path: Path, first: int, mend: str) -> list[dict[str, Any]]:
    """The JSON object in each line, an empty one where it is blank; all at once, which is quicker, or one by one."""
    with suppress(LingarithError):
        values = json_value(b"[%s]" % b",".join(lines), path, mend)
        if len(values) == len(lines) and all(type(value) is dict for value in values):
            return list(values)
    numbered = ((line, f"{path}, line {number}") for number, line in enumerate(lines, first))
    return [json_object(line, where, mend) if line.strip() else {} for line, where in numbered]


def _end_of_lines(file: BinaryIO) -> int:
    """Where the last whole line ends, from the end on: nothing is read but what was cut off."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0
