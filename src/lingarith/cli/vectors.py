"""``lingarith vectors``: what the store holds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ..errors import visible
from .opening import DEFAULT_STORE, Json, StorePlace, open_store, print_json, print_table
from .progress import shown
from .terminal import tell

app = typer.Typer(help="List, show and verify the vectors of a store.", no_args_is_help=True)


@app.command("list")
def list_(store: StorePlace = DEFAULT_STORE, as_json: Json = False) -> None:
    """Every vector: name, hash, kind, steps, size and the backbone it belongs to."""
    entries = open_store(store).entries()
    if as_json:
        print_json(entries)
        return
    rows = []
    for one in entries:
        name, size = one.name if one.current else f"{one.name}@{one.hash[:6]}", f"{one.size_bytes / 1000:.0f}"
        rows.append([name, one.hash[:12], str(one.kind or ""), str(one.steps or ""), size, one.backbone[:8]])
    print_table(["Name", "Hash", "Kind", "Steps", "kB", "Backbone"], rows)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A name (xlsum[en]), an older one (xlsum[en]@3f2a), or a hash.")],
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """One vector: where it comes from, and how large its update is in each projection (and other parameter)."""
    from ..adapters.terms import norm
    from ..store.objects import HASH
    from ..study.records import NO_DOSE, dose_said
    from ..vectors.outline import idle

    vectors = open_store(store)
    vector = vectors.get(name)
    digest = name if HASH.fullmatch(name) else vectors.resolve(name)
    norms = {path: norm(vector.scaled(path)) for path in vector.terms}
    warnings = idle(vector.name, norms)
    norms |= {name: vector.scale * float(change.double().norm()) for name, change in vector.rest.items()}
    if as_json:
        facts = {"name": vector.name, "hash": digest, "scale": vector.scale, "origin": dict(vector.origin)}
        print_json(facts | {"norms": norms, "warnings": warnings})
        return
    tell(f"{vector.name}  {digest}")
    whole = sum(norm * norm for norm in norms.values()) ** 0.5
    others = f" and {len(vector.rest)} other parameters" if vector.rest else ""
    tell(f"{vector.adapter}, scale {vector.scale:g}, {len(vector.terms)} projections{others}, |ΔW| {whole:.4g}")
    for sentence in warnings:
        tell(f"warning: {sentence}")
    if said := dose_said(vector.origin):
        tell(said)
    elif vector.origin.get("kind") == "language":
        tell(NO_DOSE.format(vector.name))
    for key, value in vector.origin.items():
        several = [f"{k} {v}" for k, v in value.items()] if isinstance(value, dict) else value
        text = ", ".join(several) if isinstance(several, list) else several
        tell(visible(f"{key}: {text}"))


@app.command()
def verify(store: StorePlace = DEFAULT_STORE, as_json: Json = False) -> None:
    """Read every vector and compare it with its hash; exit code 2 if anything is wrong."""
    vectors, problems = open_store(store), []
    with shown() as progress:
        for problem in vectors.problems(lambda done, total: progress("verifying", done, total)):
            problems.append(problem)
            if not as_json:
                tell(problem)
    if as_json:
        print_json({"vectors": len(vectors.entries()), "problems": problems})
    elif not problems:
        tell(f"{len(vectors.entries())} vectors, all as they were written")
    if problems:
        sys.exit(2)
