"""``lingarith vectors``: what the store holds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from .opening import DEFAULT_STORE, Json, StorePlace, open_store, print_json, print_table

app = typer.Typer(help="List, show and verify the vectors of a store.", no_args_is_help=True)


@app.command("list")
def list_(store: StorePlace = DEFAULT_STORE, as_json: Json = False) -> None:
    """Every vector: name, hash, kind, steps, size and the backbone it belongs to."""
    from dataclasses import asdict

    entries = open_store(store).entries()
    if as_json:
        print_json([asdict(entry) for entry in entries])
        return
    rows = []
    for entry in entries:
        name, size = entry.name if entry.current else f"{entry.name}@{entry.hash[:6]}", f"{entry.size_bytes / 1000:.0f}"
        rows.append([name, entry.hash[:12], entry.kind or "", str(entry.steps or ""), size, entry.backbone[:8]])
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

    vectors = open_store(store)
    vector = vectors.get(name)
    digest = name if HASH.fullmatch(name) else vectors.resolve(name)
    norms = {path: norm(vector.scaled(path)) for path in vector.terms}
    norms |= {name: vector.scale * float(change.double().norm()) for name, change in vector.rest.items()}
    if as_json:
        print_json(
            {"name": vector.name, "hash": digest, "scale": vector.scale, "origin": dict(vector.origin), "norms": norms}
        )
        return
    print(f"{vector.name}  {digest}")
    whole = sum(norm * norm for norm in norms.values()) ** 0.5
    others = f" and {len(vector.rest)} other parameters" if vector.rest else ""
    print(f"{vector.adapter}, scale {vector.scale:g}, {len(vector.terms)} projections{others}, |ΔW| {whole:.4g}")
    for key, value in vector.origin.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        print(f"{key}: {text}")


@app.command()
def verify(store: StorePlace = DEFAULT_STORE, as_json: Json = False) -> None:
    """Read every vector and compare it with its hash; exit code 2 if anything is wrong."""
    vectors = open_store(store)
    problems = vectors.verify()
    if as_json:
        print_json({"vectors": len(vectors.entries()), "problems": problems})
    else:
        print("\n".join(problems) or f"{len(vectors.entries())} vectors, all as they were written")
    if problems:
        sys.exit(2)
