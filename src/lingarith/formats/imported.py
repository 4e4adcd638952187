"""Adapters that were trained elsewhere, as vectors of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..adapters.lora import LoraTerm
from ..adapters.terms import Term
from ..disk.files import inside, read_json
from ..errors import LingarithError
from ..store.store import Store
from ..vectors.outline import LazyTerms, lora_outline, outline
from ..vectors.vector import Vector
from .folders import CONFIG, ORIGIN
from .lokr import open_lokr
from .peft import open_peft

READERS: Mapping[str, Callable[[Path, str], Vector]] = {"LORA": open_peft, "LOKR": open_lokr}
"""PEFT's name of an adapter, and who reads its folder."""

Shapes = Mapping[str, tuple[int, int]]
"""Path of a projection → (out, in)."""


def open_adapter(folder: Path, name: str) -> Vector:
    """The vector in a folder of PEFT's, LoRA or LoKr; tensors are read when they are asked for.

    Its origin names the backbone as the folder does. The fingerprint is there only where lingarith
    wrote the folder. Raises :class:`LingarithError` as the readers do.
    """
    config = read_json(inside(folder, CONFIG), mend="name a folder that PEFT's save_pretrained wrote")
    kind = str(config.get("peft_type"))
    if kind not in READERS:
        known = " and ".join(READERS)
        raise LingarithError(f"{folder / CONFIG}: an adapter of type {kind!r} cannot be read; {known} can")
    vector = READERS[kind](folder, name)
    if not (folder / ORIGIN).exists():
        return vector
    facts = read_json(inside(folder, ORIGIN))
    composed = {key: facts[key] for key in ("expression", "space", "error", "parents") if key in facts}
    origin = {**vector.origin, "composed": composed}
    match facts.get("backbone"):
        case {"name": str(), "fingerprint": str()} as backbone:
            origin["backbone"] = backbone
    return Vector(name, vector.terms, vector.scale, origin)


def backbone_of(vector: Vector, store: Store, like: str | None = None) -> tuple[Mapping[str, Any], Shapes, str]:
    """What is known of an adapter's backbone without loading it, its projections, and how that is known.

    From the vector of the store that ``like`` names, else from the folder itself, else from the one
    backbone in the store whose projections the adapter fits. Raises :class:`LingarithError` when
    that leaves none, or several.
    """
    if like is not None:
        other = store.open(like)
        return other.origin["backbone"], shapes(other), f"that of {like}"
    base = vector.origin["backbone"]
    if "fingerprint" in base:
        return base, shapes(vector), "as its folder says"
    known: dict[str, Vector] = {}
    for entry in store.entries() if store.exists() else ():
        if entry.backbone not in known:
            known[entry.backbone] = store.open(entry.hash)
    fitting = [other for other in known.values() if _misfit(vector, shapes(other)) is None]
    if len(fitting) == 1:
        return fitting[0].origin["backbone"], shapes(fitting[0]), "the only one in the store that it fits"
    raise LingarithError(
        f"the folder of {vector.name} names its backbone ({base.get('name')!r}) and no fingerprint, and {len(fitting)} "
        f"backbones in {store.place} have its projections; say which by --like VECTOR or --backbone NAME"
    )


def on_backbone(vector: Vector, backbone: Mapping[str, Any], projections: Shapes) -> Vector:
    """The vector bound to a backbone (the facts of one, with its fingerprint) whose projections are these.

    What the adapter leaves alone, such as K and O in PEFT's usual setting, gets a term of zeros, so
    that it can be added to vectors that cover all. Raises :class:`LingarithError` where the adapter
    has a module that is no projection of the backbone, or of another size there, and when its folder
    says that it was made for another.
    """
    misfit = _misfit(vector, projections)
    if misfit is not None:
        raise LingarithError(f"{vector.name} does not fit {backbone['name']}: {misfit}")
    base = vector.origin["backbone"]
    if base.get("fingerprint", backbone["fingerprint"]) != backbone["fingerprint"]:
        raise LingarithError(
            f"{vector.name} was made for backbone {base.get('name')} ({str(base['fingerprint'])[:8]}…), not for "
            f"{backbone['name']} ({str(backbone['fingerprint'])[:8]}…); import it for its own"
        )
    ours = outline(vector.terms)
    first = next(iter(ours.values()))[0]
    rank = len(first.a) if isinstance(first, LoraTerm) else 1  # a vector has one LoRA rank
    zeros = {path: (lora_outline(size, rank),) for path, size in projections.items() if path not in ours}

    def read(path: str) -> tuple[Term, ...]:
        if path in ours:
            return vector.terms[path]
        return tuple(LoraTerm(torch.zeros(term.a.shape), torch.zeros(term.b.shape)) for term in zeros[path])

    origin = {**vector.origin, "backbone": dict(backbone), "base": base.get("name"), "adapted": len(ours)}
    return Vector(vector.name, LazyTerms({**ours, **zeros}, read), vector.scale, origin)


def shapes(vector: Vector) -> Shapes:
    """The sizes of the projections that a vector covers."""
    return {path: terms[0].size for path, terms in outline(vector.terms).items()}


def _misfit(vector: Vector, projections: Shapes) -> str | None:
    """Why a vector cannot sit on these projections, and what to do; None where it can."""
    for path, size in shapes(vector).items():
        if path not in projections:
            return (
                f"{path} is none of its Key, Query, Value and output projections; train the adapter on those alone "
                "(target_modules), or choose the backbone that it belongs to"
            )
        if size != projections[path]:
            return "{} is {} × {} in the adapter and {} × {} there; choose the backbone that it belongs to".format(
                path, *size, *projections[path]
            )
    return None
