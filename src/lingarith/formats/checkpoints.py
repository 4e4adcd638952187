"""Where a backbone's checkpoint lies: in the package, in a folder, or in the hub's cache; and whether it is sound."""

from __future__ import annotations

import stat
from importlib import resources
from pathlib import Path
from typing import Any

from ..disk.files import arrived, expanded, paths_in, read_json, reading
from ..disk.tensors import TensorFile
from ..errors import LingarithError
from ..newsroom import NEWSROOM
from ..progress import Progress, quiet
from .gguf import dequantised

INDEX, SINGLE, CONFIG, ADAPTER = (
    "model.safetensors.index.json",
    "model.safetensors",
    "config.json",
    "adapter_config.json",
)
MEND = "download or save the backbone again"
CODE = "implementation"
"""How keys of a configuration end that may name code on the hub, in place of a function of transformers."""


def folder_of(name: str, revision: str | None = None, progress: Progress = quiet) -> Path | None:
    """The folder that a backbone's name means; None where there is none, and it may be one of the hub.

    Of GGUF it is the one in the cache, made now if need be. Raises :class:`LingarithError` where the embedded one is
    not in this checkout, and as :func:`.gguf.dequantised` does.
    """
    if name != NEWSROOM:
        folder = dequantised(name, revision, progress) or expanded(name)
        return folder if folder.is_dir() else None
    embedded = Path(str(resources.files("lingarith.newsroom") / "backbone"))
    if not (embedded / "model.safetensors").exists():
        raise LingarithError("the newsroom backbone is missing; make it by `python -m tools.pretrain`")
    return embedded


def must_be_no_gguf(place: Path) -> None:
    """Raise :class:`LingarithError` for an adapter in GGUF: a file, be it there or not, or a folder of nothing else.

    Its weights are packed, renamed and in part permuted for llama.cpp, and for adapters nothing here undoes that.
    """
    packed = place.suffix.lower() == ".gguf"
    if place.is_dir():
        packed = any(place.glob("*.gguf")) and not any(place.glob("*.safetensors"))
    if packed:
        raise LingarithError(
            f"{place} is GGUF, which is not read; give the folder in safetensors that it was converted from"
        )


def must_be_sound(folder: Path) -> None:
    """Raise :class:`LingarithError` unless a backbone's folder is read alone, and as it looks.

    That is without what a link or its index brings in from elsewhere, pipes and devices, pickles, an adapter that
    transformers would load along with the weights, and code of the hub that a configuration names.
    """
    for path in paths_in(folder):
        with reading(path, MEND):
            kind = arrived(folder, path.name).stat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            raise LingarithError(f"{path} is a pipe or a device and no file; delete it")
    if (folder / ADAPTER).exists():
        raise LingarithError(
            f"{folder} holds {ADAPTER} too, and the adapter would be loaded with the weights; give a folder without "
            "it, and put the adapter into a store by `lingarith import`"
        )
    if code := _code_named(read_json(folder / CONFIG, mend="give the folder that save_pretrained wrote")):
        raise LingarithError(f"{folder / CONFIG} names code on the hub ({code}), which is never run; take that key out")
    _files_named(folder)


def _code_named(configuration: Any, key: str = "") -> str:
    """The first key, at any depth, that names a function by a place on the hub ("org/kernel")."""
    if isinstance(configuration, dict):
        inner = ((one, f"{key}.{name}" if CODE in key else str(name)) for name, one in configuration.items())
        return next(filter(None, (_code_named(one, name) for one, name in inner)), "")
    return f"{key}: {configuration}" if isinstance(configuration, str) and CODE in key and "/" in configuration else ""


def weight_files(folder: Path) -> list[TensorFile]:
    """The files that hold a backbone's weights. Raises :class:`LingarithError` where it has none that can be read."""
    return [TensorFile(arrived(folder, name), MEND) for name in _files_named(folder)]


def _files_named(folder: Path) -> list[str]:
    """The one file with all weights, or those that the index names. Raises :class:`LingarithError` as above."""
    if (folder / SINGLE).exists() or not (folder / INDEX).exists():  # as transformers has it
        return [SINGLE]
    listed = read_json(folder / INDEX, mend=MEND).get("weight_map")
    names = {str(name) for name in listed.values()} if isinstance(listed, dict) else set()
    strange = sorted(name for name in names if Path(name).name != name or Path(name).suffix != ".safetensors")
    if strange or not names:
        raise LingarithError(f"{folder / INDEX} names {strange or 'no file'}, not the files beside it; {MEND}")
    return sorted(names)


def checkpoint(name: str, revision: str | None = None) -> Path:
    """The folder of a backbone, be it one of the hub that is in its cache; nothing is downloaded.

    Raises :class:`LingarithError` when there is none.
    """
    folder = folder_of(name, revision)
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
