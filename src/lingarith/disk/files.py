"""Files and folders that appear whole or not at all, and reads that stay inside their folder.

Everything is written under a temporary name beside its place, synced, and renamed. Whoever reads
sees what was there before or what is there now. A process that is killed leaves at most something
called ``.tmp-…``, which nobody reads and the next command deletes (:func:`.temporary.sweep`).
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ..errors import LingarithError, Unreadable
from ..plain import json_object
from .temporary import lock, temporary

LARGEST_JSON, MOST_VALUES = 64 * 2**20, 2**22
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF, errno.ENOSYS)
"""What drives of a network (CIFS, FUSE) answer when a folder is to be synced."""
MEND = "make it again or restore it from a copy"


def write_atomically(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> None:
    """Put ``content`` at ``path``, on the disk when this returns; missing folders are made.

    Content that comes in pieces is written as they are made. Raises :class:`LingarithError` when it
    cannot be written (no space, no permission); what was at ``path`` is then still there.
    """
    new = temporary(path.parent)
    with naming(path):
        make_folder(path.parent)
        try:
            with _written(new, content):
                new.replace(path)
            sync(path.parent)
        except BaseException:
            new.unlink(missing_ok=True)
            raise


def write_file(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> None:
    """Make a file, on the disk when this returns: one of a folder that is not in its place yet.

    Raises OSError, which :func:`naming` turns into a sentence about that place.
    """
    with _written(path, content):
        pass


@contextmanager
def _written(path: Path, content: bytes | str | Iterable[bytes | memoryview]) -> Iterator[None]:
    """A new file, whole and on the disk in the block, and locked until it ends."""
    if isinstance(content, str):
        content = content.encode()
    with open(path, "xb") as file:
        lock(file.fileno())
        file.writelines([content] if isinstance(content, bytes) else content)
        file.flush()
        os.fsync(file.fileno())
        if os.name == "nt":  # which moves nothing that is open
            file.close()
        yield


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, on the disk when this returns."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync(place.parent)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A folder to fill, which is put in place of the folder ``path`` (if any) when the block ends.

    The old one is moved away only when the new one is complete, and moved back if that fails.
    Raises :class:`LingarithError` when it cannot be written, and leaves nothing behind.
    """
    with naming(path), temporary_folder(path.parent) as folder:
        yield folder
        replace_folder(folder, path)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """A folder to fill and to move to a place in ``parent``; what is not moved is gone afterwards."""
    make_folder(parent)
    folder, handle = temporary(parent), None
    try:
        folder.mkdir()
        if os.name != "nt":
            handle = os.open(folder, os.O_RDONLY)
            lock(handle)
        yield folder
    finally:
        if handle is not None:
            os.close(handle)
        shutil.rmtree(folder, ignore_errors=True)


def place_folder(folder: Path, path: Path) -> bool:
    """Move a complete folder to ``path``: True; or False if a folder with something in it is there.

    What is there is kept: two processes may make one folder, and the first one wins.
    """
    sync(folder)
    try:
        folder.rename(path)
    except OSError as problem:
        if problem.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    sync(path.parent)
    return True


def replace_folder(folder: Path, path: Path) -> None:
    """Move a complete folder to ``path``, in place of the one that is there; see :func:`replacing`.

    The two change places in one step, where system and drive can do that. Else the old one is moved away
    first, and for a moment nothing is at ``path``.
    """
    old = temporary(path.parent)
    sync(folder)
    if _exchanged(folder, path):
        sync(path.parent)
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        while not place_folder(folder, path):
            with suppress(FileNotFoundError):  # another process moved it first
                path.rename(old)
    except BaseException:
        if old.exists() and not path.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places: renameat2 with RENAME_EXCHANGE, and on macOS renamex_np with RENAME_SWAP."""
    names = os.fsencode(one), os.fsencode(other)
    try:
        library = ctypes.CDLL(None)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, 2) == 0)
        here = -100  # AT_FDCWD: paths as they are
        return bool(library.renameat2(here, names[0], here, names[1], 2) == 0)
    except (AttributeError, OSError, TypeError):  # a system without them
        return False


@contextmanager
def naming(path: Path) -> Iterator[None]:
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


def regular(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """The handle of a file, for ``open(…, opener=regular)``: of a pipe or a device one would wait for ever.

    Raises OSError, as :func:`unlinked` does, which follows no link either: for what is written in a folder of others.
    """
    handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0), 0o666)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "it is no file", str(path))


def unlinked(path: str | Path, flags: int = os.O_RDONLY) -> int:
    """As :func:`regular`, unless there is a link."""
    if os.path.islink(path):  # where the system has no such flag, and for what it would say
        raise OSError(errno.ELOOP, "it is a link", str(path))
    return regular(path, flags | getattr(os, "O_NOFOLLOW", 0))


def paths_in(folder: Path, pattern: str = "*") -> list[Path]:
    """What a folder holds, sorted, for patterns such as ``*/*.json`` and ``**`` (all that is below it).

    Nothing where there is no folder; ``**`` follows no links. Raises :class:`Unreadable` where a folder
    cannot be read, for which globs hold nothing.
    """
    first, _, rest = pattern.partition("/")
    with reading(folder, ""):
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        if first == "**":
            below = [
                path for entry in entries if entry.is_dir(follow_symlinks=False) for path in paths_in(Path(entry), "**")
            ]
            return [*map(Path, entries), *below]
        found = [entry for entry in entries if fnmatchcase(entry.name, first)]
    return [path for entry in found for path in (paths_in(Path(entry), rest) if rest else [Path(entry)])]


def must_be_plain(folder: Path) -> None:
    """Raise :class:`LingarithError` where a folder in which we write holds a link, a pipe or a device, at any depth."""
    for path in (folder, *paths_in(folder, "**")):
        with suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise LingarithError(f"{path} is a link, a pipe or a device, and is not followed; delete it")


def inside(folder: Path, *parts: str | Path) -> Path:
    """A place in a folder. Raises :class:`LingarithError` when ``..`` or a link on the way leads out of it."""
    path, place = folder.joinpath(*parts), str(folder)
    names = path.parts[len(folder.parts) :]
    # Where no part of the way is a link nothing leads out, and to follow the whole path takes ten times as long.
    plain = folder.joinpath(*names) == path and ".." not in names and "\0" not in str(path)
    if plain and not any(os.path.islink(place := os.path.join(place, name)) for name in names):
        return path
    if not _followed(path).is_relative_to(_followed(folder)):
        raise LingarithError(f"{path} leads out of {folder}; put the file itself there, and no link")
    return path


def listed(folder: Path) -> list[str]:
    """The names of what is in a folder, sorted; none where there is none. See :func:`paths_in`, which takes longer."""
    with reading(folder, ""):
        try:
            return sorted(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return []


def arrived(folder: Path, name: str) -> Path:
    """A file of a folder that others made, which may be one of the hub's cache. Raises as :func:`inside`.

    There ``snapshots/<revision>/<name>`` is a link to a file right in ``blobs`` of the same repository
    (https://huggingface.co/docs/huggingface_hub/guides/manage-cache), and such links alone are followed.
    """
    path, whole = folder / name, _followed(folder)
    blobs = [place.parent / "blobs" for place in (whole, *whole.parents) if place.name == "snapshots"]
    return path if _followed(path).parent in blobs else inside(folder, name)


def _followed(path: Path) -> Path:
    """Where a path leads. Raises :class:`LingarithError` for a circle of links, or a name that can be none."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as problem:
        raise LingarithError(f"{str(path)!r} cannot be followed: {problem}; delete that link") from None


def expanded(place: str) -> Path:
    """A path that a user typed, with the home that ``~`` means. Raises :class:`LingarithError` where there is none."""
    try:
        return Path(place).expanduser()
    except RuntimeError:
        raise LingarithError(f"{place} begins in a home that is not known; write the whole path") from None


def must_be_ours(folder: Path, names: Collection[str], mark: str) -> None:
    """Raise :class:`LingarithError` unless a folder can be replaced: not there, empty, or written here.

    Then it holds nothing but files called ``names``, and among them ``mark``.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LingarithError(f"{folder} is a file; name a folder")
    found = sorted(path.name for path in folder.iterdir())
    strangers = [name for name in found if name not in names or mark not in found]
    if strangers:
        raise LingarithError(
            f"{folder} holds {strangers[0]}, which was not written here; name another folder or move it away"
        )


def json_bytes(value: Any) -> bytes:
    """``value`` as readable JSON. Raises ValueError or TypeError when it is not plain JSON (NaN is not)."""
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def json_hash(value: Any) -> str:
    """sha256 (hex) of ``value`` as JSON, whatever the order of its keys; what is not plain JSON counts as its text."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_hash(path: Path) -> str:
    """sha256 (hex) of a file. Raises OSError."""
    with open(path, "rb", opener=regular) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, *, mend: str = MEND) -> dict[str, Any]:
    """The JSON object in a file. Raises :class:`LingarithError` ending in ``mend`` when it holds none."""
    with reading(path, mend), open(path, "rb", opener=regular) as file:
        content = file.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise LingarithError(f"{path} takes more than {LARGEST_JSON:,} bytes; {mend}")
    if sum(map(content.count, (b"[", b"{", b","))) > MOST_VALUES:  # what a parser makes of more takes much memory
        raise LingarithError(f"{path} holds more than {MOST_VALUES:,} values; {mend}")
    return json_object(content, path, mend)


@contextmanager
def reading(path: Path, mend: str) -> Iterator[None]:
    """Turn the system's errors of a read into one sentence about ``path``.

    It ends in ``mend`` only where there is nothing, or nothing that could be one of ours; else nothing is known to be
    wrong with the file.
    """
    try:
        yield
    except FileNotFoundError:
        raise LingarithError(f"{path} does not exist; {mend}") from None
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise LingarithError(f"{path} cannot be read: {problem.strerror}; {mend}") from None
        raise Unreadable(
            f"{path} cannot be read: {problem.strerror}; mend that and run the same command again"
        ) from None


def sync(folder: Path) -> None:
    """Put a folder's entries on the disk: a rename is there only then. Where folders are not synced, the file was."""
    if os.name == "nt":  # which opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno not in UNSYNCED:
            raise
    finally:
        os.close(handle)
