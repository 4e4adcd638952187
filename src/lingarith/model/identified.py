"""What a backbone's folder is known by, kept while none of its files changes: then no transformers is loaded for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .. import __version__
from ..disk.files import paths_in
from ..disk.kept import kept
from .snapshot import sound


def identified(folder: Path) -> tuple[str, dict[str, Any]]:
    """The fingerprint of a checkpoint's folder and its parts, as :func:`.fingerprint.identity_in` finds them.

    Raises :class:`LingarithError` as it does, and as :func:`.snapshot.sound` does at every call.
    """

    def look() -> tuple[str, dict[str, Any]]:
        from .fingerprint import identity_in

        return identity_in(folder)

    sound(folder, None)
    return keep(state(folder, "*"), look)


def keep(files: dict[str, Any], look: Callable[[], tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any]]:
    """What is kept of a folder whose files are in this :func:`state`; if nothing is, what ``look`` says of them."""
    fingerprint, parts = kept("identities", {"version": __version__, **files}, look)
    return fingerprint, parts


def state(folder: Path, names: str = "*.safetensors*") -> dict[str, Any]:
    """What tells that the files of a folder are what they were, for whoever cannot set the system's times."""
    states = [(path.name, path.stat()) for path in paths_in(folder, names)]
    files = [[name, s.st_size, s.st_ino, s.st_mtime_ns, s.st_ctime_ns] for name, s in states]
    return {"folder": str(folder.resolve()), "files": files, "transformers": version("transformers")}
