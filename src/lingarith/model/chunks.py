"""Chunks of tokens in a file: plain text is tokenised once, and read a chunk at a time.

The tokens of a thousand languages would not fit in memory as Python's numbers, which take nine times the
space; what the system has read lately it keeps by itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk.files import write_atomically
from ..text.prefix_lm import chunks
from .backbone import Backbone

TOKENS, ENDS = "tokens.u4", "ends.i8"
"""Little-endian numbers: the tokens of all chunks, one after another, and where each chunk ends."""
BLOCK = 1000
"""Documents that are tokenised at a time."""


@dataclass(frozen=True, eq=False)
class Chunks:
    """Lists of tokens by number, from a file or from memory."""

    tokens: Path | NDArray[np.uint32]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, number: int) -> list[int]:
        start, end = int(self.ends[number - 1]) if number else 0, int(self.ends[number])
        if isinstance(self.tokens, Path):
            chunk: list[int] = np.fromfile(self.tokens, "<u4", end - start, offset=4 * start).tolist()
        else:
            chunk = self.tokens[start:end].tolist()
        return chunk


def tokenised(backbone: Backbone, documents: Sequence[str], length: int, folder: Path | None = None) -> Chunks:
    """The chunks of at most ``length`` tokens (:func:`.prefix_lm.chunks`), in ``folder``, where they may be already.

    A folder belongs to one text, tokenizer and length. Without one they are kept in memory.
    """
    if folder and (kept := _kept(folder)):
        return kept
    tokens, ends = array("I"), array("q")
    for start in range(0, len(documents), BLOCK):
        for chunk in chunks(backbone.encode(documents[start : start + BLOCK]), length):
            tokens.extend(chunk)
            ends.append(len(tokens))
    numbers, places = np.array(tokens, "<u4"), np.array(ends, "<i8")
    if folder is None:
        return Chunks(numbers, places)
    write_atomically(folder / TOKENS, numbers.tobytes())
    write_atomically(folder / ENDS, places.tobytes())
    return Chunks(folder / TOKENS, places)


def _kept(folder: Path) -> Chunks | None:
    """What is in the folder, if it is whole."""
    with suppress(OSError, ValueError):
        ends = np.fromfile(folder / ENDS, "<i8")
        if len(ends) and (folder / TOKENS).stat().st_size == 4 * int(ends[-1]):
            return Chunks(folder / TOKENS, ends)
    return None
