"""The Gram matrix of a vector: E[x·xᵀ] of the inputs of each projection on its data, on the bare backbone (RegMean).

A file of its own beside the vector, no part of its hash: projection path → (in × in), float32, symmetric. Its metadata
say of which backbone and data (fingerprints) it is, and of how many tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..disk.tensors import TensorFile, pieces, without_numbers
from ..errors import LingarithError
from .outline import Lazy


class Gram(Lazy[Tensor]):
    """By path a matrix that is read when it is asked for; ``data`` is the fingerprint of what it was measured on."""

    def __init__(self, file: TensorFile, data: str, tokens: int) -> None:
        super().__init__(file.outline(), self._read)
        self.file, self.data, self.tokens = file, data, tokens

    def _read(self, path: str) -> Tensor:
        gram = self.file[path]  # in × in
        if not torch.equal(gram, gram.T) or bool((gram.diagonal() < 0).any()):
            raise LingarithError(
                f"{self.file.path} is damaged: {path!r} is no Gram matrix, which is symmetric; {self.file.mend}"
            )
        return gram


def gram_in(path: Path, backbone: str, mend: str) -> Gram:
    """The Gram matrix in a file, which must be that of the backbone with this fingerprint.

    Raises :class:`LingarithError` ending in ``mend`` as :class:`TensorFile` does, for another file or backbone, and
    for matrices of another type or shape; reading one, where it is not symmetric.
    """
    file = TensorFile(path, mend)
    its, data, tokens = (file.metadata.get(key, "") for key in ("backbone", "data", "tokens"))
    if not its or not data or not (tokens.isascii() and tokens.isdigit()):
        raise LingarithError(f"{path} is no Gram matrix of a vector: it does not say what it was measured on; {mend}")
    if its != backbone:
        raise LingarithError(f"{path} is of another backbone ({its[:8]}…, the vector's is {backbone[:8]}…); {mend}")
    for name, place in file.places.items():
        if place.dtype != torch.float32 or len(place.shape) != 2 or place.shape[0] != place.shape[1]:
            raise LingarithError(f"{path} is no Gram matrix: {name!r} is not square in float32; {mend}")
    return Gram(file, data, int(tokens))


def gram_file(
    sizes: Mapping[str, int], grams: Iterable[tuple[str, Tensor]], backbone: str, data: str, tokens: int
) -> Iterator[bytes | memoryview]:
    """The content of such a file, piece by piece; ``sizes`` gives ``in`` of each projection, in the order of ``grams``.

    Raises :class:`LingarithError` on NaN or Inf.
    """
    outline = {path: without_numbers((size, size)) for path, size in sizes.items()}
    return pieces(outline, grams, "the Gram matrix", {"backbone": backbone, "data": data, "tokens": str(tokens)})
