"""``lingarith import`` and ``export``: between the store and what other programs write and read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import LingarithError, did_you_mean
from .composing import Expression, composed
from .flags import flags
from .opening import DEFAULT_STORE, Json, StorePlace, open_store, print_json
from .terminal import tell

if TYPE_CHECKING:
    from ..vectors.vector import Vector


def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A LoRA or LoKr adapter that PEFT saved.")],
    name: Annotated[str, typer.Option("--name", help="What expressions call it, such as 'task[en]'.")],
    backbone: Annotated[
        str | None, typer.Option("--backbone", "-b", help="Load this backbone, to bind the vector to it.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="VECTOR", help="Bind it to the backbone of this vector instead.")
    ] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Put an adapter of PEFT's into the store, as a vector for expressions.

    `lingarith import adapter-en --name 'task[en]' --like 'mc4[en]'`
    """
    from ..adapters.terms import norm
    from ..formats.imported import backbone_of, on_backbone, open_adapter
    from ..store.store import check_name
    from ..vectors.outline import idle, outliers

    check_name(name)
    if backbone and like:
        raise LingarithError("--backbone and --like both say what the vector belongs to; leave out one of them")
    vector, shelf = open_adapter(folder, name), open_store(store)
    if backbone:
        from ..model.backbone import load
        from ..model.memory import prepare

        prepare()
        model = load(backbone)
        reason, placed = "as --backbone says", on_backbone(vector, model.facts, model.linear_shapes, model.parts)
    else:
        facts, projections, reason = backbone_of(vector, shelf, like)
        placed = on_backbone(vector, facts, projections)
    digest = shelf.put(placed)
    norms = {path: norm(vector.scaled(path)) for path in vector.terms}
    warnings = [*outliers(vector.terms), *idle(name, norms)]
    for sentence in warnings:
        tell(f"warning: {sentence}; the adapter may be damaged", stderr=True)
    bound, base = placed.origin["backbone"], placed.origin["base"]
    if as_json:
        facts = {"name": name, "hash": digest, "scale": placed.scale, "reason": reason, "origin": placed.origin}
        print_json(facts | {"warnings": warnings})
        return
    tell(
        f"{name} ({digest[:12]}) is in {shelf.place}: {vector.adapter}, scale {placed.scale:g}, "
        f"{len(placed.terms)} projections"
    )
    if "renamed" in placed.origin:
        tell(f"bound by the ends of its paths: {placed.origin['renamed']}")
    named = f"; its folder names {base}" if base not in (None, bound["name"]) else ""
    tell(f"backbone {bound['name']} ({bound['fingerprint'][:8]}), {reason}{named}")


@flags("sums")
def export(
    expression: Expression,
    given: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", file_okay=False)],
    format: Annotated[str, typer.Option("--format", help="peft, serving, lokr or merged.")] = "peft",
    backbone: Annotated[
        str | None,
        typer.Option("--backbone", "-b", help="For merged: its folder or name; without it that of the vectors."),
    ] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Write a sum of vectors for other programs; the backbone is not loaded.

    `peft`: a LoRA folder, exact. `serving`: the same for vLLM and SGLang. `lokr`: one Kronecker product as PEFT's
    LoKr. `merged`: the backbone's checkpoint with the sum added.

    `lingarith export '0.6*xlsum[en] + 0.4*(mc4[pt] - mc4[en])' --space delta --rank-out 8 --format serving --out pt`
    """
    from ..disk.files import read_json
    from ..formats.folders import ORIGIN, task_type_of
    from ..formats.lokr import write_lokr
    from ..formats.merged import write_merged
    from ..formats.peft import write_peft
    from ..formats.serving import write_serving

    adapters: dict[str, Any] = {"peft": write_peft, "serving": write_serving, "lokr": write_lokr}
    if format not in (*adapters, "merged"):
        raise LingarithError(f"no format named {format!r}{did_you_mean(format, [*adapters, 'merged'])}")
    if backbone and format != "merged":
        raise LingarithError(f"--backbone goes with --format merged, and {format} needs none; leave it out")
    composition, parents = composed(expression, given, open_store(store))
    vector = composition.vector(str(composition.combination), parents)
    facts: dict[str, Any] = {"format": format, "folder": str(out), "adapter": vector.adapter}
    base, task_type = vector.origin["backbone"], task_type_of(composition.paths)
    if format == "merged":
        write_merged(composition, _base(vector, backbone), out, origin=vector.origin)
    else:
        written = adapters[format](
            composition, out, base_model=base["name"], task_type=task_type, origin=vector.origin
        )  # fmt: skip
        facts |= {"rank": written} if format == "serving" else {}
    facts = read_json(out / ORIGIN) | facts
    if as_json:
        print_json(facts)
        return
    lost = f", {facts['error']:.2%} of it lost by the cut" if facts["error"] else ""
    tell(f"{composition.combination}\nin {composition.space}: {vector.adapter}{lost}")
    if format == "merged":
        tell(f"added to {backbone or base['name']}; rounding to its type lost {facts['rounding']:.2%} of the update")
    if format == "serving":
        tell(f"rank {facts['rank']}: give the server a --max-lora-rank of at least that")
        if task_type == "SEQ_2_SEQ_LM":
            tell("note: vLLM and SGLang serve no LoRA on encoder-decoder models; PEFT loads this folder")
    tell(f"written to {out}")


def _base(vector: Vector, backbone: str | None) -> Path:
    """The folder of the checkpoint that a sum is added to: its vectors' backbone, by its fingerprint.

    Raises :class:`LingarithError` for another, and for a folder that nobody but the vectors names.
    """
    from ..formats.checkpoints import checkpoint, folder_of
    from ..model.fingerprint import identity_in
    from ..newsroom import NEWSROOM
    from ..store.parts import same_backbone

    base = vector.origin["backbone"]
    if not backbone and base["name"] != NEWSROOM and folder_of(base["name"]):
        raise LingarithError(
            f"these vectors name the folder {base['name']} as their backbone, and its files would be copied; say so by "
            f"--backbone {base['name']}"
        )
    place = checkpoint(backbone) if backbone else checkpoint(base["name"], base.get("revision"))
    found, parts = identity_in(place)
    if not same_backbone(vector.origin, found, parts):
        raise LingarithError(
            f"{backbone or base['name']} ({found[:16]}) is not the backbone of these vectors, which is "
            f"{base['fingerprint'][:16]}; give that one's folder by --backbone"
        )
    return place
