"""Files that may be gzipped: opened as what they hold, and refused where they unpack to what fills a machine."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any, BinaryIO, cast

from ..disk.files import regular
from ..errors import LingarithError

GZIP = b"\x1f\x8b"
DENSEST, SMALL = 100, 2**26
"""What unpacks to this many times its size is no text, which packs to a tenth or a quarter of it, but made to fill a
machine; so many bytes are nothing."""
PIECE = 2**20


def opened(path: Path) -> BinaryIO:
    """The content of a file, unpacked if it is called ``.gz`` or is so."""
    file = open(path, "rb", opener=regular)  # noqa: SIM115  # whoever reads it closes it
    if not path.name.lower().endswith(".gz") and file.peek(2)[:2] != GZIP:
        return file
    unpacked: Any = gzip.GzipFile(fileobj=file)
    unpacked.myfileobj = file  # which it closes with itself
    return cast(BinaryIO, io.BufferedReader(unpacked, 2**16))  # lines come quicker


def is_packed(file: BinaryIO) -> bool:
    """Whether an opened file is unpacked while it is read."""
    return isinstance(getattr(file, "raw", None), gzip.GzipFile)


def must_be_text(path: Path, packed: int, unpacked: int) -> None:
    """Raise :class:`LingarithError` where a file holds far more than text can be packed to (both in bytes)."""
    if unpacked > max(SMALL, DENSEST * packed):
        raise LingarithError(
            f"{path} unpacks to more than {DENSEST} times its size, as no text does; unpack it and look what it holds"
        )


def must_begin_as_text(path: Path) -> None:
    """Raise :class:`LingarithError` where the first part of a gzipped file is far more than text can be packed to.

    Reading it line by line would find that out as well, after as many lines as a part of :data:`SMALL` bytes can have.
    """
    with opened(path) as file:
        packed, unpacked = 0, 0
        # What took more than this is allowed to be SMALL, so an ordinary file is not unpacked twice.
        while is_packed(file) and max(packed * DENSEST, unpacked) <= SMALL and (piece := file.read(PIECE)):
            packed, unpacked = file.raw.fileobj.tell(), unpacked + len(piece)  # type: ignore[attr-defined]
        must_be_text(path, packed, unpacked)
