"""The folder of a backbone, looked at before anything in it is loaded."""

from __future__ import annotations

from pathlib import Path

from ..formats.checkpoints import ADAPTER, CONFIG, INDEX, folder_of, must_be_sound
from ..newsroom import NEWSROOM


def sound(where: str | Path, revision: str | None) -> Path:
    """The folder itself, or for a name of the hub the one in its cache, with what says which files will be read.

    Raises :class:`LingarithError` as :func:`.checkpoints.must_be_sound` does, OSError where the hub does not answer.
    """
    if isinstance(where, Path):
        folder = where
    else:
        from transformers.utils.hub import cached_files

        names = [CONFIG, INDEX, ADAPTER]
        files = cached_files(where, names, revision=revision, _raise_exceptions_for_missing_entries=False)
        if not files:
            raise OSError(f"there is no {CONFIG}, on the hub or, without a network, in its cache")
        folder = Path(files[0]).parent
    if folder != folder_of(NEWSROOM):  # ours, and of links where packages are
        must_be_sound(folder)
    return folder
