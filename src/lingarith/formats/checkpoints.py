"""Where the checkpoint of a backbone lies: in the package, in a folder, or in the hub's cache."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..errors import LingarithError
from ..newsroom import NEWSROOM


def folder_of(name: str) -> Path | None:
    """The folder that a backbone's name means; None where there is none, and it may be one of the hub.

    Raises :class:`LingarithError` where the embedded one is not in this checkout, and for GGUF.
    """
    if name != NEWSROOM:
        folder = Path(name).expanduser()
        must_be_no_gguf(folder)
        return folder if folder.is_dir() else None
    embedded = Path(str(resources.files("lingarith.newsroom") / "backbone"))
    if not (embedded / "model.safetensors").exists():
        raise LingarithError("the newsroom backbone is missing; make it by `python -m tools.pretrain`")
    return embedded


def must_be_no_gguf(place: Path) -> None:
    """Raise :class:`LingarithError` for a file of GGUF's, be it there or not, and for a folder of nothing else.

    Its weights are packed, renamed and in part permuted for llama.cpp, and nothing here undoes that.
    """
    packed = place.suffix.lower() == ".gguf"
    if place.is_dir():
        packed = any(place.glob("*.gguf")) and not any(place.glob("*.safetensors"))
    if packed:
        raise LingarithError(
            f"{place} is GGUF, which is not read; give the folder in safetensors that it was converted from"
        )


def checkpoint(name: str, revision: str | None = None) -> Path:
    """The folder of a backbone, be it one of the hub that is in its cache; nothing is downloaded.

    Raises :class:`LingarithError` when there is none.
    """
    folder = folder_of(name)
    if folder is not None:
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (HFValidationError, LocalEntryNotFoundError):
        raise LingarithError(
            f"there is no folder {name}, and the hub's cache does not hold it; give the backbone's folder, or fetch it "
            f"with `hf download {name}`"
        ) from None
