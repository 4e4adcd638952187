"""Files and folders that appear whole or not at all, and tensors read without trusting the file.

Everything is written under a temporary name beside its place, synced, and renamed. Whoever reads
sees what was there before or what is there now. A process that is killed leaves at most something
called ``.tmp-…``, which nobody reads.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from ..errors import LingarithError

TEMPORARY = ".tmp-"
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt"}
LONGEST_HEADER = 16 * 2**20
MOST_TENSORS = 65_536
MEND = "make it again or restore it from a copy"


def write_atomically(path: Path, content: bytes | str) -> None:
    """Put ``content`` at ``path``, on the disk when this returns; missing folders are made.

    Raises :class:`LingarithError` when it cannot be written (no space, no permission); what was at
    ``path`` is then still there.
    """
    temporary = _beside(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(temporary, content.encode() if isinstance(content, str) else content)
            temporary.replace(path)
            _sync(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_folder(path: Path, files: Mapping[str, bytes]) -> bool:
    """Make the folder ``path`` of these files (name → content): True; or False if it is taken.

    What is there already is kept: two processes may write one folder, and the first one wins.
    Raises :class:`LingarithError` when it cannot be written, and leaves nothing behind.
    """
    with _naming(path), _filled(path, files) as temporary:
        return _moved(temporary, path)


def replace_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder ``path`` of these files in place of the folder that is there, if any.

    The old one is moved away only when the new one is complete, and moved back if that fails.
    Raises :class:`LingarithError` when it cannot be written.
    """
    old = _beside(path)
    with _naming(path), _filled(path, files) as temporary:
        try:
            while not _moved(temporary, path):
                with suppress(FileNotFoundError):  # another process moved it first
                    path.rename(old)
        except BaseException:
            if old.exists() and not path.exists():
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def json_bytes(value: Any) -> bytes:
    """``value`` as readable JSON. Raises ValueError or TypeError when it is not plain JSON (NaN is not)."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def read_json(path: Path, *, mend: str = MEND) -> dict[str, Any]:
    """The JSON object in a file. Raises :class:`LingarithError` ending in ``mend`` when it holds none."""
    try:
        value = json.loads(_bytes(path, mend))
    except (ValueError, RecursionError) as problem:
        raise LingarithError(f"{path} is damaged: not JSON ({problem}); {mend}") from None
    if not isinstance(value, dict):
        raise LingarithError(f"{path} is damaged: no JSON object; {mend}")
    return value


def safetensors_bytes(tensors: Mapping[str, Tensor], where: object, metadata: Mapping[str, str] | None = None) -> bytes:
    """The content of a safetensors file. Raises :class:`LingarithError` naming ``where`` and the
    tensor that holds NaN or Inf."""
    # Copies, since the format refuses tensors that share memory.
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    _must_be_finite(plain, where, "train again with a lower learning rate")
    return safetensors.torch.save(plain, dict(metadata) if metadata else None)


def write_safetensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write named tensors atomically. Raises :class:`LingarithError` on NaN, Inf or a full disk."""
    write_atomically(path, safetensors_bytes(tensors, path, metadata))


def read_safetensors(path: Path, *, mend: str = MEND) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; pickles are refused unread.

    Raises :class:`LingarithError` ending in ``mend`` when the file is missing, damaged, truncated,
    absurdly large in its header, or holds NaN or Inf.
    """
    if path.suffix.lower() in PICKLES:
        raise LingarithError(f"{path} is a pickle, which can run code when read; convert it to .safetensors first")
    content = _bytes(path, mend)
    _check_header(path, content, mend)
    try:
        tensors = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as problem:
        raise LingarithError(f"{path} is damaged: {problem}; {mend}") from None
    _must_be_finite(tensors, path, mend)
    return tensors


def _check_header(path: Path, content: bytes, mend: str) -> None:
    """Refuse before anything is allocated: the header's length and its number of tensors."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > len(content) - 8:
        raise LingarithError(f"{path} is damaged: truncated, or no safetensors file at all; {mend}")
    if length > LONGEST_HEADER:
        raise LingarithError(
            f"{path} is no vector: its header takes {length} bytes, {LONGEST_HEADER} is the most; {mend}"
        )
    # Every tensor has this key once; text in names and metadata can only make the count larger.
    count = content.count(b'"data_offsets"', 8, 8 + length)
    if count > MOST_TENSORS:
        raise LingarithError(f"{path} is no vector: it holds {count} tensors, {MOST_TENSORS} is the most; {mend}")


def _must_be_finite(tensors: Mapping[str, Tensor], where: object, mend: str) -> None:
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all():
            raise LingarithError(f"{where}: tensor {name!r} holds NaN or Inf; {mend}")


def _bytes(path: Path, mend: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise LingarithError(f"{path} does not exist; {mend}") from None
    except OSError as problem:
        raise LingarithError(f"{path} cannot be read: {problem.strerror}; {mend}") from None


def _beside(path: Path) -> Path:
    return path.parent / f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(6)}"


def _write(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """A rename is on the disk only when its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _filled(path: Path, files: Mapping[str, bytes]) -> Iterator[Path]:
    """A temporary folder beside ``path`` that holds the files, written in their order; gone afterwards."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        temporary.mkdir()
        for name, content in files.items():
            _write(temporary / name, content)
        _sync(temporary)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _moved(temporary: Path, path: Path) -> bool:
    """Rename a folder to its place; False when a folder with something in it is there."""
    try:
        temporary.rename(path)
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    _sync(path.parent)
    return True


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn the system's errors of a write into one sentence about ``path``."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LingarithError(
                f"no space left to write {path} (disk full or quota reached); what was there is unchanged: "
                "free some space and run the same command again"
            ) from problem
        raise LingarithError(
            f"cannot write {path}: {problem.strerror}; mend that or choose another folder"
        ) from problem
