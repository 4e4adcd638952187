"""The Gram matrix of a vector: E[x·xᵀ] of the inputs of each projection on its data, on the bare backbone (RegMean).

A file of its own beside the vector, no part of its hash: projection path → (in × in), float32, symmetric. Its metadata
say of which backbone and data (fingerprints) it is, and of how many tokens. Last comes a row of each matrix's hash,
since no manifest knows what measuring rounds to here and there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..disk.tensors import TensorFile, pieces, without_numbers
from ..errors import LingarithError
from .outline import Lazy
from .vector import content_hash

HASHES = "sha256"
"""The tensor of hashes (projections × 32 bytes), in the order of the others."""


class Gram(Lazy[Tensor]):
    """By path a matrix that is read when it is asked for; ``data`` is the fingerprint of what it was measured on."""

    def __init__(self, file: TensorFile, data: str, tokens: int) -> None:
        super().__init__({path: like for path, like in file.outline().items() if path != HASHES}, self._read)
        self.file, self.data, self.tokens = file, data, tokens

    @cached_property
    def _hashes(self) -> dict[str, bytes]:
        return {path: bytes(row.tolist()) for path, row in zip(self, self.file[HASHES], strict=True)}

    def _read(self, path: str) -> Tensor:
        gram = self.file[path]  # in × in
        if _hash(self.file.metadata, path, gram) != self._hashes[path]:
            raise LingarithError(f"{self.file.path} is damaged: {path!r} is not what was written; {self.file.mend}")
        return gram


def gram_in(path: Path, backbone: str, mend: str) -> Gram:
    """The Gram matrix in a file, which must be that of the backbone with this fingerprint.

    Raises :class:`LingarithError` ending in ``mend`` as :class:`TensorFile` does, for another file or backbone, and
    for matrices of another type or shape; reading one, where it is not symmetric.
    """
    file = TensorFile(path, mend)
    its, data, tokens = (file.metadata.get(key, "") for key in ("backbone", "data", "tokens"))
    hashes = file.places.get(HASHES)
    if not its or not data or not (tokens.isascii() and tokens.isdigit()) or not hashes:
        raise LingarithError(f"{path} is no Gram matrix of a vector: it does not say what it was measured on; {mend}")
    if its != backbone:
        raise LingarithError(f"{path} is of another backbone ({its[:8]}…, the vector's is {backbone[:8]}…); {mend}")
    for name, place in file.places.items():
        square = place.dtype == torch.float32 and len(place.shape) == 2 and place.shape[0] == place.shape[1]
        if not square and name != HASHES:
            raise LingarithError(f"{path} is no Gram matrix: {name!r} is not square in float32; {mend}")
    if (hashes.dtype, hashes.shape) != (torch.uint8, (len(file) - 1, 32)):
        raise LingarithError(f"{path} is damaged: its hashes are not those of {len(file) - 1} matrices; {mend}")
    return Gram(file, data, int(tokens))


def gram_file(
    sizes: Mapping[str, int], grams: Iterable[tuple[str, Tensor]], backbone: str, data: str, tokens: int
) -> Iterator[bytes | memoryview]:
    """The content of such a file, piece by piece; ``sizes`` gives ``in`` of each projection, in the order of ``grams``.

    Raises :class:`LingarithError` on NaN or Inf.
    """
    outline = {path: without_numbers((size, size)) for path, size in sizes.items()}
    outline[HASHES] = without_numbers((len(sizes), 32), torch.uint8)
    about = {"backbone": backbone, "data": data, "tokens": str(tokens)}

    def hashed() -> Iterator[tuple[str, Tensor]]:
        hashes = []
        for path, gram in grams:
            hashes.append(list(_hash(about, path, gram)))
            yield path, gram
        yield HASHES, torch.tensor(hashes, dtype=torch.uint8).reshape(-1, 32)

    return pieces(outline, hashed(), "the Gram matrix", about)


def _hash(about: Mapping[str, str], path: str, gram: Tensor) -> bytes:
    """sha256 of a matrix, of its projection's path, and of what it was measured on."""
    return bytes.fromhex(content_hash({"\0".join([path, *(f"{key} {about[key]}" for key in sorted(about))]): gram}))
