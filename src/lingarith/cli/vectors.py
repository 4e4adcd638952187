"""``lingarith vectors``: what the store holds, and what ways to merge must know of it."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from ..errors import LingarithError, visible
from ..study.study import ADAPT, study_of
from .flags import flags
from .opening import DEFAULT_STORE, TYPED, Json, StorePlace, open_lab, open_store, print_json, print_table, say
from .progress import shown
from .terminal import tell

app = typer.Typer(help="List, show and verify the vectors of a store; measure their inputs.", no_args_is_help=True)


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
        if key == "parts":  # what the fingerprint is made of, for programs that compare
            continue
        several = [f"{k} {v}" for k, v in value.items()] if isinstance(value, dict) else value
        text = ", ".join(several) if isinstance(several, list) else several
        tell(visible(f"{key}: {text}"))


@app.command()
@flags(
    "labels", "text", "plain_field", "characters", "tasks", "fields", "prompt", "chat", "train_limit", "sample_seed",
    "max_input", "max_target", "backbone",
)  # fmt: skip
def gram(
    name: Annotated[str, typer.Argument(help="A name (xlsum[en]), or an older one (xlsum[en]@3f2a).")],
    given: dict[str, Any],
    lang: Annotated[str, typer.Option("--lang", help="The language's code, where the vector does not say it.")] = "",
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Measure what a vector's projections see of its data, which `--method regmean` must know.

    The Gram matrix lies beside the vector; `run`, `adapt` and `choose` make it by themselves. Of an adapter from
    elsewhere say the data: `lingarith vectors gram mine --text 'plain/{language}.txt' --lang pt`
    """
    from ..study.grams import measure_of

    if {"labels", "text"} <= given.keys():
        raise LingarithError("a vector was trained on labels or on plain text; give --labels or --text, not both")
    kind = "task" if "labels" in given else "language" if "text" in given else ""
    with shown() as progress:
        lab = open_lab(study_of("gram", ADAPT, given, TYPED), store, progress, trains=False)
        made = measure_of(lab, name, kind, lang)
    say(lab.notes, stderr=True)
    if as_json:
        print_json({"name": name, "projections": len(made), "tokens": made.tokens, "data": made.data})
    else:
        size = made.file.path.stat().st_size / 1e6
        tell(f"{name}: the inputs of {len(made)} projections over {made.tokens:,} tokens, {size:,.1f} MB beside it")


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
