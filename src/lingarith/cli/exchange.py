"""``lingarith import`` and ``export``: between the store and what other programs write and read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .composing import Expression, composed
from .flags import flags
from .opening import DEFAULT_STORE, Json, StorePlace, open_store, print_json


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
    from ..errors import LingarithError
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
        reason, placed = "as --backbone says", on_backbone(vector, model.facts, model.linear_shapes)
    else:
        facts, projections, reason = backbone_of(vector, shelf, like)
        placed = on_backbone(vector, facts, projections)
    digest = shelf.put(placed)
    norms = {path: norm(vector.scaled(path)) for path in vector.terms}
    warnings = [*outliers(vector.terms), *idle(name, norms)]
    for sentence in warnings:
        print(f"warning: {sentence}; the adapter may be damaged", file=sys.stderr)
    bound, base = placed.origin["backbone"], placed.origin["base"]
    if as_json:
        facts = {"name": name, "hash": digest, "scale": placed.scale, "reason": reason, "origin": placed.origin}
        print_json(facts | {"warnings": warnings})
        return
    print(
        f"{name} ({digest[:12]}) is in {shelf.place}: {vector.adapter}, scale {placed.scale:g}, "
        f"{len(placed.terms)} projections"
    )
    if "renamed" in placed.origin:
        print(f"bound by the ends of its paths: {placed.origin['renamed']}")
    named = f"; its folder names {base}" if base not in (None, bound["name"]) else ""
    print(f"backbone {bound['name']} ({bound['fingerprint'][:8]}), {reason}{named}")


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
    from ..errors import LingarithError, did_you_mean
    from ..formats.checkpoints import checkpoint
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
        place = checkpoint(backbone) if backbone else checkpoint(base["name"], base.get("revision"))
        write_merged(composition, place, out, origin=vector.origin)
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
    print(f"{composition.combination}\nin {composition.space}: {vector.adapter}{lost}")
    if format == "merged":
        print(f"added to {backbone or base['name']}; rounding to its type lost {facts['rounding']:.2%} of the update")
    if format == "serving":
        print(f"rank {facts['rank']}: give the server a --max-lora-rank of at least that")
        if task_type == "SEQ_2_SEQ_LM":
            print("note: vLLM and SGLang serve no LoRA on encoder-decoder models; PEFT loads this folder")
    print(f"written to {out}")
