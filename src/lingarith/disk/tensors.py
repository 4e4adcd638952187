"""safetensors files, read without trust one tensor at a time, and written while the tensors are made.

A file is the length of its header (8 bytes, little-endian), the header (a JSON object: name → type,
shape, offsets), and the tensors one after another (https://huggingface.co/docs/safetensors). What a
header says is checked before anything is allocated. Tensors are read into memory of their own, since
pages of a mapped file would stay with the process.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor

from ..errors import LingarithError
from ..plain import without_repeats
from .files import MEND, reading, regular, write_atomically
from .freed import give_back

PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".zip", ".npz"}
LONGEST_HEADER = 16 * 2**20
MOST_TENSORS = 65_536
LONGEST_NAME = 512
MOST_DIMENSIONS = 8
AHEAD = 2**19
"""Bytes that are read at a time where tensors are smaller: those that lie beside each other are asked for together."""
HELD = 2**24
"""Bytes that are read before freed memory is given back: tensors that come and go leave holes, which glibc keeps."""
NAME = re.compile(r"[\w-]+(\.[\w-]+)*")
"""Paths of modules: no slash, no empty part, nothing that a terminal would act on."""

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
CODES = {dtype: code for code, dtype in DTYPES.items()}


class Place(NamedTuple):
    """Where a tensor is in its file, and what it is."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int


class TensorFile(Mapping[str, Tensor]):
    """The tensors of a safetensors file by name, each read when it is asked for, float and finite.

    Only the header is read here. Raises :class:`LingarithError` ending in ``mend`` for a pickle or
    an archive (also under another name), and when the file is missing, damaged, truncated or absurd
    in its header; reading a tensor, when it holds NaN or Inf, or the file has changed meanwhile.
    """

    _since = 0
    """Bytes that were read, of all files, since memory was given back."""

    def __init__(self, path: Path, mend: str = MEND) -> None:
        self.path, self.mend = path, mend
        self._state: tuple[int, int] | None = None
        self._ahead: tuple[int, memoryview] = 0, memoryview(b"")
        """The last bytes that were read together, and where they begin."""
        self._finite: set[str] = set()
        """Tensors that were looked at."""
        if path.suffix.lower() in PICKLES:
            raise _pickle(path)
        with self._opened() as handle:
            size = os.fstat(handle).st_size
            self.places, self.metadata = _header(handle, size, path, mend)
        self._size = size

    def __getitem__(self, name: str) -> Tensor:
        place = self.places[name]
        tensor = torch.empty(place.shape, dtype=place.dtype)
        memory = memory_of(tensor)
        if len(memory) > AHEAD // 2:
            self._fill(memory, place.start)
        else:
            begin, held = self._ahead
            if not begin <= place.start <= begin + len(held) - len(memory):
                begin, held = place.start, memoryview(bytearray(min(AHEAD, self._size - place.start)))
                self._fill(held, begin)
                self._ahead = begin, held
            memory[:] = held[place.start - begin :][: len(memory)]
        if name not in self._finite:
            must_be_finite(name, tensor, self.path, self.mend)
            self._finite.add(name)
        return tensor

    def _fill(self, memory: memoryview, start: int) -> None:
        """Read as many bytes as the memory has, from there."""
        TensorFile._since += len(memory)
        if TensorFile._since > HELD:
            TensorFile._since = 0
            give_back()
        with self._opened() as handle:
            done = 0
            while done < len(memory) and (count := _read(handle, memory[done:], start + done)):
                done += count  # the system gives 2 GB at most

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """A handle for one read: a process may have a few hundred at once, and a sum as many vectors.

        Raises :class:`LingarithError` where the file is not the one that was opened first.
        """
        with reading(self.path, self.mend):
            handle = regular(self.path)
            try:
                self._must_be_as_before(os.fstat(handle))
                yield handle
                self._must_be_as_before(os.fstat(handle))
            finally:
                os.close(handle)

    def _must_be_as_before(self, status: os.stat_result) -> None:
        self._state = self._state or (status.st_size, status.st_mtime_ns)
        if self._state != (status.st_size, status.st_mtime_ns):
            raise LingarithError(f"{self.path} was changed while it was in use; run the same command again")

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def outline(self) -> dict[str, Tensor]:
        """Types and shapes of all tensors, as tensors without numbers (on the meta device)."""
        return {name: without_numbers(p.shape, p.dtype) for name, p in self.places.items()}


@lru_cache(1024)
def without_numbers(shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor on the meta device; the same one for all of a shape, since outlines of many vectors hold thousands."""
    return torch.empty(shape, dtype=dtype, device="meta")


def read_safetensors(path: Path, *, mend: str = MEND) -> dict[str, Tensor]:
    """All tensors of a file, on the CPU. Raises :class:`LingarithError` as :class:`TensorFile` does."""
    return dict(TensorFile(path, mend))


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors atomically. Raises :class:`LingarithError` on NaN, Inf or a full disk."""
    write_atomically(path, safetensors_bytes(tensors, path, metadata))


def safetensors_bytes(tensors: Mapping[str, Tensor], where: object, metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file. Raises :class:`LingarithError` as :func:`pieces` does."""
    # Wide types first, so that each tensor begins at a multiple of its element's size.
    order = sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0]))
    return b"".join(pieces(dict(order), order, where, metadata))


def pieces(
    outline: Mapping[str, Tensor],
    tensors: Iterable[tuple[str, Tensor]],
    where: object,
    metadata: Mapping[str, str] | None = None,
) -> Iterator[bytes | memoryview]:
    """The content of a safetensors file piece by piece: each tensor is taken when it is written.

    ``outline`` gives names, types and shapes, such as tensors on the meta device; ``tensors`` gives
    the numbers in its order. Raises :class:`LingarithError` naming ``where`` and the tensor that
    holds NaN or Inf, and ValueError when a tensor is not what the outline said.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, like in outline.items():
        begin, end = end, end + like.nbytes
        header[name] = {"dtype": CODES[like.dtype], "shape": list(like.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    made = iter(tensors)
    for name, like in outline.items():
        given, tensor = next(made, ("", like))
        if (given, tensor.dtype, tensor.shape) != (name, like.dtype, like.shape):
            raise ValueError(
                f"{given or 'nothing'} {tuple(tensor.shape)} is not {name} {tuple(like.shape)} as the header says"
            )
        must_be_finite(name, tensor, where, "train again with a lower learning rate")
        yield memory_of(tensor)
        del tensor  # before the next one is made: one is held, where zip would hold two
    for given, _ in made:
        raise ValueError(f"{given} is in no header")


def _header(handle: int, size: int, path: Path, mend: str) -> tuple[dict[str, Place], dict[str, str]]:
    head = _bytes(handle, 9, 0)
    length = int.from_bytes(head[:8], "little")
    if head[8:] != b"{" and (head[:2] == b"PK" or (head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"))):
        raise _pickle(path)
    if len(head) < 9 or length > size - 8 or head[8:] != b"{":
        raise LingarithError(f"{path} is damaged: truncated, or no safetensors file at all; {mend}")
    if length > LONGEST_HEADER:
        raise LingarithError(
            f"{path} is no vector: its header takes {length} bytes, {LONGEST_HEADER} is the most; {mend}"
        )
    text = _bytes(handle, length, 8)
    # A tensor takes one brace and two brackets; what a parser makes of more would take much memory.
    if text.count(b"{") + text.count(b"[") > 3 * MOST_TENSORS + 2:
        raise LingarithError(f"{path} is no vector: it holds more than {MOST_TENSORS} tensors; {mend}")
    try:
        header = json.loads(text, object_pairs_hook=without_repeats)
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("its metadata are no texts")
        return _places(header, 8 + length, size), metadata
    except (ValueError, RecursionError) as problem:
        raise LingarithError(f"{path} is damaged: {problem}; {mend}") from None


def _read(handle: int, memory: memoryview, start: int) -> int:
    """Fill memory from a place of a file; how many bytes came."""
    if hasattr(os, "preadv"):
        return os.preadv(handle, [memory], start)
    os.lseek(handle, start, os.SEEK_SET)  # Windows
    content = os.read(handle, min(len(memory), LONGEST_HEADER))
    memory[: len(content)] = content
    return len(content)


def _bytes(handle: int, length: int, start: int) -> bytes:
    content = bytearray(length)
    return bytes(content[: _read(handle, memoryview(content), start)])


def _places(header: Mapping[str, Any], start: int, size: int) -> dict[str, Place]:
    """Where the tensors are. Raises ValueError unless they fill the file from ``start`` without gaps."""
    found = {}
    for name, about in header.items():
        if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
            raise ValueError(f"{name[:60]!r} is no name of a tensor")
        if not isinstance(about, dict):
            raise ValueError(f"tensor {name!r} has no description")
        dtype, shape, offsets = about.get("dtype"), about.get("shape"), about.get("data_offsets")
        if not isinstance(dtype, str) or dtype not in DTYPES:
            raise ValueError(f"tensor {name!r} has the type {str(dtype)[:20]!r}; known are {', '.join(DTYPES)}")
        if not _counts(shape) or len(shape) > MOST_DIMENSIONS or math.prod(n or 1 for n in shape) >= 2**62:
            raise ValueError(f"tensor {name!r} has an absurd shape")
        if not _counts(offsets) or len(offsets) != 2:
            raise ValueError(f"tensor {name!r} has no offsets")
        if offsets[1] - offsets[0] != math.prod(shape) * DTYPES[dtype].itemsize:
            raise ValueError(f"tensor {name!r} does not take the bytes that its shape says")
        found[name] = (offsets, Place(DTYPES[dtype], tuple(shape), start + offsets[0]))
    end = 0
    for name, (offsets, _) in sorted(found.items(), key=lambda item: item[1][0]):
        if offsets[0] != end:
            raise ValueError(f"tensor {name!r} overlaps another or leaves a gap")
        end = offsets[1]
    if start + end != size:
        raise ValueError(f"truncated or too long: {size} bytes where its header says {start + end}")
    return {name: place for name, (_, place) in found.items()}


def _counts(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)


def _pickle(path: Path) -> LingarithError:
    return LingarithError(
        f"{path} is a pickle or an archive, which can run code when read; convert it to .safetensors first"
    )


def memory_of(tensor: Tensor) -> memoryview:
    """The bytes of a tensor in the order of its elements: its own memory, where it is contiguous and on the CPU."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data


def must_be_finite(name: str, tensor: Tensor, where: object, mend: str) -> None:
    """Raise :class:`LingarithError` naming ``where`` and the tensor where one of its numbers is NaN or Inf."""
    if not tensor.is_floating_point() or not tensor.numel():
        return
    # Both ends are NaN if any number is: one pass, and nothing of the tensor's size is allocated.
    low, high = (tensor.float() if tensor.element_size() == 1 else tensor).aminmax()
    if not (math.isfinite(low.item()) and math.isfinite(high.item())):
        raise LingarithError(f"{where}: tensor {name!r} holds NaN or Inf; {mend}")
