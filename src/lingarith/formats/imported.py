"""Adapters that were trained elsewhere, as vectors of a backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..disk.files import arrived, read_json
from ..errors import LingarithError
from ..store.parts import same_backbone
from ..store.store import Store
from ..vectors.outline import LazyTerms, outline
from ..vectors.vector import Vector
from .checkpoints import must_be_no_gguf
from .folders import CONFIG, ORIGIN
from .lokr import open_lokr
from .paths import Shapes, binding, renamed
from .peft import open_peft

READERS: Mapping[str, Callable[[Path, str], Vector]] = {"LORA": open_peft, "LOKR": open_lokr}
"""PEFT's name of an adapter, and who reads its folder."""


def open_adapter(folder: Path, name: str) -> Vector:
    """The vector in a folder of PEFT's, LoRA or LoKr; tensors are read when they are asked for.

    Its origin names the backbone as the folder does. The fingerprint is there only where lingarith
    wrote the folder. Raises :class:`LingarithError` for a folder of another program, and as the readers do.
    """
    must_be_no_gguf(folder)
    config = read_json(arrived(folder, CONFIG), mend="name a folder that PEFT's save_pretrained wrote")
    kind = str(config.get("peft_type"))
    if kind not in READERS:
        raise LingarithError(
            f"{folder / CONFIG}: {_stranger(config)} cannot be read; PEFT's {' and '.join(READERS)} can"
        )
    vector = READERS[kind](folder, name)
    if not (folder / ORIGIN).exists():
        return vector
    facts = read_json(arrived(folder, ORIGIN))
    composed = {key: facts[key] for key in ("expression", "space", "error", "parents") if key in facts}
    origin = {**vector.origin, "composed": composed}
    match facts.get("backbone"):
        case {"name": str(), "fingerprint": str()} as backbone:
            origin["backbone"] = backbone
    return Vector(name, vector.terms, vector.scale, origin)


def _stranger(config: Mapping[str, Any]) -> str:
    """Whose adapter has a configuration without a type that is read."""
    if config.get("peft_type"):
        return f"an adapter of type {config['peft_type']!r}"
    if "fine_tune_type" in config or "lora_parameters" in config:
        return f"an adapter of MLX (fine_tune_type {config.get('fine_tune_type', 'lora')!r}, adapters.safetensors)"
    if isinstance(config.get("config"), dict):
        return f"an adapter of AdapterHub (architecture {config['config'].get('architecture')!r}, a pickle)"
    return "an adapter that says no peft_type"


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
    fitting = []
    for facts, projections in _backbones(store):
        with suppress(LingarithError):
            bound = binding(shapes(vector), projections)
            fitting.append((facts, projections, renamed(bound)))
    fitting = [one for one in fitting if not one[2]] or fitting  # as they are, before paths are renamed
    if len(fitting) == 1:
        return *fitting[0][:2], "the only one in the store that it fits"
    raise LingarithError(
        f"the folder of {vector.name} names its backbone ({base.get('name')!r}) and no fingerprint, and {len(fitting)} "
        f"backbones in {store.place} have its projections; say which by --like VECTOR or --backbone NAME"
    )


def _backbones(store: Store) -> list[tuple[Mapping[str, Any], Shapes]]:
    """The backbones of a store, with the projections that its vectors name of each."""
    known: dict[str, tuple[Mapping[str, Any], dict[str, tuple[int, int]]]] = {}
    alike: set[tuple[str, str]] = set()
    for manifest, _ in store.objects.manifests() if store.exists() else ():
        origin = manifest["origin"]
        trained = origin.get("kind") in (
            "task",
            "language",
        )  # all of these that name the same projections have them all
        which = (origin["backbone"]["fingerprint"], str(origin.get("projections")) if trained else manifest["hash"])
        if which not in alike:
            alike.add(which)
            _, projections = known.setdefault(which[0], (origin["backbone"], {}))
            projections.update(shapes(store.open(manifest["hash"])))
    return list(known.values())


def on_backbone(
    vector: Vector, backbone: Mapping[str, Any], projections: Shapes, parts: Mapping[str, Any] = MappingProxyType({})
) -> Vector:
    """The vector bound to a backbone (the facts of one, with its fingerprint) whose projections are these.

    Paths may begin otherwise in the adapter (see :mod:`.paths`); what was done to them its origin says
    under ``renamed``. Raises :class:`LingarithError` where the adapter has a module that is no projection
    of the backbone, or of another size there, and when its folder says that it was made for another; one with another
    part of its vocabulary is none.
    """
    try:
        bound = binding(shapes(vector), projections)
    except LingarithError as problem:
        raise LingarithError(f"{vector.name} does not fit {backbone['name']}: {problem}") from None
    base = vector.origin["backbone"]
    kin = _vocabularies(base) & _vocabularies(backbone)  # layers are the same, whichever pieces are left
    if "fingerprint" in base and not kin and not same_backbone(vector.origin, backbone["fingerprint"], parts):
        raise LingarithError(
            f"{vector.name} was made for backbone {base.get('name')} ({str(base['fingerprint'])[:8]}…), not for "
            f"{backbone['name']} ({str(backbone['fingerprint'])[:8]}…); import it for its own"
        )
    theirs = {name: path for path, name in bound.items()}
    shaped = outline(vector.terms)
    terms = LazyTerms({name: shaped[theirs[name]] for name in sorted(theirs)}, lambda name: vector.terms[theirs[name]])
    origin = {**vector.origin, "backbone": dict(backbone), "base": base.get("name")}
    if said := renamed(bound):
        origin["renamed"] = said
    return Vector(vector.name, terms, vector.scale, origin)


def _vocabularies(backbone: Mapping[str, Any]) -> set[str]:
    """The fingerprints of a backbone, and of the whole one where its vocabulary was trimmed."""
    return {facts["fingerprint"] for facts in (backbone, backbone.get("trimmed") or {}) if "fingerprint" in facts}


def shapes(vector: Vector) -> Shapes:
    """The sizes of the projections that a vector covers."""
    return {path: terms[0].size for path, terms in outline(vector.terms).items()}
