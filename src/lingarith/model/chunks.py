"""Chunks of tokens in a file: plain text is tokenised once, and read a chunk at a time.

The tokens of a thousand languages would not fit in memory as Python's numbers, which take nine times the
space; what the system has read lately it keeps by itself.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.files import file_hash, json_hash, write_atomically
from ..text.prefix_lm import chunks
from ..text.rows import fingerprint
from .backbone import Backbone

TOKENS, ENDS, SEAL = "tokens.u4", "ends.i8", "sha256"
"""Little-endian numbers: the tokens of all chunks, one after another, and where each chunk ends. The third file, which
is written last, has the hash of both and of what they were made from."""
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

    A folder belongs to one text, tokenizer and length: where what is there is another's or damaged, it is made
    anew. Without a folder they are kept in memory.
    """
    facts = {"text": fingerprint(documents), "length": length, "backbone": backbone.fingerprint} if folder else {}
    if folder and (kept := _kept(folder, facts)):
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
    write_atomically(folder / SEAL, _seal(folder, facts))
    return Chunks(folder / TOKENS, places)


def _kept(folder: Path, facts: Mapping[str, Any]) -> Chunks | None:
    """What is in the folder, if it is what was written there for this text."""
    with suppress(OSError):
        if (folder / SEAL).read_bytes() == _seal(folder, facts).encode():
            return Chunks(folder / TOKENS, np.fromfile(folder / ENDS, "<i8"))
    return None


def _seal(folder: Path, facts: Mapping[str, Any]) -> str:
    """The hash of the two files and of what they are the tokens of."""
    return json_hash({**facts, **{name: file_hash(folder / name) for name in (TOKENS, ENDS)}})
