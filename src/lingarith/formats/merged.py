"""A whole checkpoint of the backbone with ΔW added to its weights: what any program loads.

Its files, shards, names and types are those of the base. A weight is added to in float32 and stored
in its own type, which loses what that type cannot hold; how much is measured. One tensor is in
memory at a time, and no model is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..disk.files import arrived, must_be_ours, paths_in, read_json, replacing, write_file
from ..disk.tensors import TensorFile, pieces
from ..errors import LingarithError
from ..vectors.composition import Composition, relative_error
from ..vectors.outline import Terms
from .checkpoints import CONFIG, INDEX, SINGLE, weight_files
from .folders import ORIGIN, describe, ours, task_type_of
from .gguf import ABOUT
from .paths import beginnings, nearest
from .snippets import TRANSFORMERS

COPIED = {".json", ".jinja", ".model", ".tiktoken"}
"""What stands beside the weights: configuration, tokenizer, templates."""
NAMED = ("vocab", "merges", "LICENSE", "LICENCE", "NOTICE")
"""How other files begin that are copied."""
TYPES = (torch.float32, torch.bfloat16, torch.float16)
ROWS = 512


def write_merged(
    composition: Composition,
    base: Path,
    folder: Path,
    *,
    base_model: str | None = None,
    origin: Mapping[str, Any] | None = None,
) -> float:
    """Write the backbone in the folder ``base`` with a composition added, for ``from_pretrained(folder)``.

    ``base_model`` is what the card calls that backbone, if not by its folder.
    Full fine-tuning's changes of other parameters are added too, a tied one wherever the base stores it.
    Returns what rounding to the base's type lost of the update, ‖stored − base − ΔW‖/‖ΔW‖ over all
    that is changed; it goes into ``lingarith.json`` with ``origin`` and the error of the space's cut.
    Raises :class:`LingarithError` when the base is quantised, damaged, no checkpoint in safetensors
    or not the composition's, when ``folder`` holds anything that was not written here, on NaN or
    Inf, or on a full disk; the old folder is then still there.
    """
    folder = folder.resolve()
    shards = shards_of(base)
    beside = _others(base)
    names = {*(shard.path.name for shard in shards), *(path.name for path in beside), ORIGIN}
    must_be_ours(folder, ours(folder, *names, *files_written(folder)), ORIGIN)
    if folder == base.resolve():
        raise LingarithError(f"{folder} is the backbone itself; name another folder")
    paths = {name: path for path, name in weights(composition.outline, shards).items()}
    others = parameters(composition.rest.outline, paths, shards)
    rounding = _Rounding()
    with replacing(folder) as temporary:
        for shard in shards:
            tensors = _added(shard, lambda name: _change(name, paths, others, composition), rounding)
            content = pieces(_in_order(shard), tensors, f"update for {folder}", shard.metadata)
            write_file(temporary / shard.path.name, content)
        for path in beside:
            write_file(temporary / path.name, arrived(base, path.name).read_bytes())
        lost = relative_error(rounding.lost, rounding.whole)
        said = {"base_model_name_or_path": base_model or str(base), "task_type": task_type_of(composition.paths)}
        describe(temporary, composition, origin, said, TRANSFORMERS, rounding=lost, files=sorted(names))
    return lost


def weights(outline: Terms, shards: list[TensorFile]) -> dict[str, str]:
    """Path of each projection → the tensor that holds its weight.

    A checkpoint may leave out, add or change the beginning of the paths in the model. So the tensor
    is the one of the right shape whose name is :func:`.paths.nearest` to ``<path>.weight``. Raises
    :class:`LingarithError` where there is not exactly one, or its type is none that can be added to.
    """
    folder = shards[0].path.parent
    places = {name: place for shard in shards for name, place in shard.places.items()}
    alike: dict[str, list[str]] = {}
    for name in places:
        alike.setdefault(_end(name), []).append(name)
    tensors: dict[str, str] = {}
    for path, terms in outline.items():
        wanted = f"{path}.weight"
        fitting = [name for name in alike.get(_end(wanted), []) if places[name].shape == terms[0].size]
        best = nearest(wanted, fitting)
        if len(best) != 1:
            raise LingarithError(
                f"{folder} is not the backbone of these vectors, or names its weights in another way: {len(best)} "
                "tensors fit {} ({} × {}); give that backbone's own checkpoint".format(path, *terms[0].size)
            )
        tensors[path] = name = best[0]
        dtype = places[name].dtype
        if dtype not in TYPES:
            raise LingarithError(
                f"{name} in {folder} is stored as {str(dtype).removeprefix('torch.')}, to which nothing can be "
                "added; give the backbone as it was before it was quantised"
            )
    if len(set(tensors.values())) < len(tensors):
        raise LingarithError(f"{folder} holds one tensor for several projections; give that backbone's own checkpoint")
    return tensors


def parameters(rest: Mapping[str, Tensor], paths: Mapping[str, str], shards: list[TensorFile]) -> dict[str, str]:
    """Tensor → the parameter of ``rest`` whose change is added to it.

    A name begins in the checkpoint as those of the projections do (``paths``: tensor → projection).
    What is left over once every parameter has its tensor is no parameter of its own: where it equals
    one to the bit, it is the same one, tied and stored twice. Raises :class:`LingarithError` where
    there is no tensor of that name and shape, or its type is none that can be added to.
    """
    places = {name: shard for shard in shards for name in shard.places}
    added_to: dict[str, str] = {}
    begins = {beginnings(f"{path}.weight", name) for name, path in paths.items()}
    for parameter, change in rest.items():
        renamed = [end + parameter.removeprefix(begin) for begin, end in begins if parameter.startswith(begin)]
        name = next((name for name in (parameter, *sorted(renamed)) if name in places), None)
        if name is None or (place := places[name].places[name]).shape != change.shape or place.dtype not in TYPES:
            raise LingarithError(
                f"{shards[0].path.parent} has no tensor for {parameter} ({' × '.join(map(str, change.shape))}) to "
                "which something can be added; give the checkpoint of the backbone that was fine-tuned in full"
            )
        added_to[name] = parameter
    for name in places.keys() - added_to.keys() - paths.keys() if rest else ():
        alike = [known for known in added_to if places[known].places[known][:2] == places[name].places[name][:2]]
        twin = next((known for known in alike if torch.equal(places[known][known], places[name][name])), None)
        if twin is not None:
            added_to[name] = added_to[twin]
    return added_to


@dataclass
class _Rounding:
    """The squared norm of what storing lost, and that of all that was added."""

    lost: float = 0.0
    whole: float = 0.0


def _change(name: str, paths: Mapping[str, str], others: Mapping[str, str], composition: Composition) -> Tensor | None:
    """What is added to a tensor of the checkpoint; None where it stays."""
    if name in others:
        return composition.rest[others[name]]
    if name not in paths:
        return None
    first, *more = composition.terms[paths[name]]
    change = first.delta()
    for term in more:
        change += term.delta()
    return change


def _added(
    shard: TensorFile, change: Callable[[str], Tensor | None], rounding: _Rounding
) -> Iterator[tuple[str, Tensor]]:
    for name in _in_order(shard):
        tensor, added = shard[name], change(name)
        if added is not None:
            _add(tensor, added, rounding)
        del added  # neither is held while the next tensor is read
        yield name, tensor
        del tensor


def _add(weight: Tensor, change: Tensor, rounding: _Rounding) -> None:
    """Add ΔW to a weight in its place, a few rows at a time so that little else is held."""
    for rows, added in zip(weight.split(ROWS), change.split(ROWS), strict=True):
        base = rows.to(torch.float32, copy=True)
        rows.copy_(base + added)
        rounding.whole += _squared(added)
        rounding.lost += _squared((rows.float() - base).sub_(added))


def _in_order(shard: TensorFile) -> dict[str, Tensor]:
    """The outline of a file in the order of its bytes."""
    outline = shard.outline()
    return {name: outline[name] for name in sorted(outline, key=lambda name: shard.places[name].start)}


def _squared(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


def _end(name: str) -> str:
    return ".".join(name.split(".")[-2:])


def shards_of(base: Path) -> list[TensorFile]:
    """The files with the base's weights. Raises :class:`LingarithError` where it has none that can be read."""
    if "quantization_config" in read_json(base / CONFIG, mend="give the folder that save_pretrained wrote"):
        raise LingarithError(
            f"{base} is quantised, and an update cannot be added to packed weights; give the backbone as it was before"
        )
    if not (base / INDEX).exists() and not (base / SINGLE).exists():
        raise LingarithError(
            f"{base} has no {SINGLE} and no {INDEX}, and other files are not read since a pickle can run code; "
            "save the backbone again with save_pretrained"
        )
    return weight_files(base)


def _others(base: Path) -> list[Path]:
    """The files to copy: what the weights need beside them, and what they may be used for."""
    return sorted(
        path
        for path in paths_in(base)
        if path.is_file() and path.name not in (ORIGIN, ABOUT)  # of the base alone
        and (path.suffix in COPIED or path.name.startswith(NAMED))
        and (not path.name.endswith(".index.json") or path.name == INDEX)
    )  # fmt: skip


def files_written(folder: Path) -> set[str]:
    """What an earlier call wrote into the folder, by its own account, beside the card."""
    if not (folder / ORIGIN).is_file():
        return set()
    files = read_json(folder / ORIGIN).get("files")
    return set(map(str, files)) if isinstance(files, list) else set()
