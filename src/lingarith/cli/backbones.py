"""``lingarith backbone``: what a backbone is, and one with a smaller vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import LingarithError
from ..study.options import BackboneOptions
from .flags import flags
from .opening import Json, print_json, print_table, say
from .progress import shown
from .terminal import tell

app = typer.Typer(help="Show a backbone, or make one with a smaller vocabulary.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="As --backbone takes it.")]


@app.command()
def trim(
    name: Name,
    text: Annotated[
        list[str], typer.Option("--text", help="Files of text in all languages that are needed: a pattern; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder to write.", file_okay=False)],
    as_json: Json = False,
) -> None:
    """Keep the pieces of the vocabulary that texts use, with all that these are built from.

    Every text in the rows counts, whatever its field; built-in prompts and names of languages are kept too.

    `lingarith backbone trim gemma-3-270m --text 'summ/*/*.jsonl.gz' --text 'plain/*.jsonl.gz' --out trimmed`
    """
    from ..model.loading import load
    from ..model.memory import prepare
    from ..model.trim import trim
    from ..text.every import every_text

    prepare()
    with shown() as progress:
        result = trim(load(name, device="cpu", progress=progress), lambda: every_text(text), out, progress)
    if as_json:
        print_json(result)
        return
    tell(
        f"{result.pieces:,} of {result.of:,} pieces, {result.parameters / 1e6:.0f} of {result.before / 1e6:.0f} "
        f"million parameters; {result.otherwise:,} of {result.texts:,} texts looked at are cut into other tokens\n"
        f"written to {out}"
    )


@app.command()
@flags(BackboneOptions, without=("backbone",))
def show(
    name: Name,
    given: dict[str, Any],
    lengths: Annotated[str, typer.Option("--lengths", help="Tokens of the steps that are timed; 0: none.")] = "64,128",
    as_json: Json = False,
) -> None:
    """What a backbone is: family, layers, parameters, fingerprint, and what a step of training takes here.

    `lingarith backbone show gemma-3-270m --lengths 64,128,256`
    """
    from ..model.loading import load
    from ..model.memory import prepare
    from ..study.anatomy import BATCH, parts, steps

    if not all(part.strip().isdecimal() for part in lengths.split(",")):
        raise LingarithError(f"--lengths takes numbers of tokens such as 64,128, and not '{lengths}'")
    wanted = [length for length in map(int, lengths.split(",")) if length]
    prepare()
    with shown() as progress:
        backbone = load(name, **given, progress=progress)
        timed = list(steps(backbone, wanted, progress))
    model: Any = backbone.model
    kind = "encoder-decoder" if backbone.encoder_decoder else "decoder-only"
    size, dtype = sum(p.numel() * p.element_size() for p in model.parameters()), str(model.dtype).removeprefix("torch.")
    facts = {
        **backbone.facts, "family": model.config.model_type, "kind": kind, "class": type(model).__name__,
        "dtype": dtype,
        "bytes": size, "pieces": len(backbone.tokenizer), "projections": len(backbone.projections),
        "linears": len(backbone.linears), "chat": bool(getattr(backbone.tokenizer, "chat_template", None)),
        "parts": parts(backbone), "steps": timed,
    }  # fmt: skip
    if as_json:
        print_json(facts)
        return
    tell(f"{name}: {type(model).__name__} ({facts['family']}, {kind}), fingerprint {backbone.fingerprint[:12]}")
    how = [str(backbone.made[key]["how"]) for key in ("gguf", "trimmed") if key in backbone.made]
    if "base" in backbone.made:
        how.insert(0, str(backbone.made["base"]))
    say([", ".join(how)] if how else [])
    tell(
        f"{facts['parameters'] / 1e6:,.1f} million parameters in {dtype}, {size / 1e6:,.0f} MB; "
        f"{facts['pieces']:,} pieces; {'a' if facts['chat'] else 'no'} chat template"
    )
    if "computed" in backbone.made:
        tell(f"computed {backbone.made['computed']}")
    tell(f"{facts['projections']} attention projections, {facts['linears']} linear layers in all")
    rows = [
        [part, f"{count / 1e6:,.1f}", f"{count / facts['parameters']:.0%}"] for part, count in facts["parts"].items()
    ]
    print_table(["Part", "Million", "Share"], rows, ("Million", "Share"))
    if timed:
        tell(f"\nA step of LoRA, rank 4, {BATCH} rows:")
        steps_ = [[str(step.tokens), f"{step.seconds:.2f}", f"{step.peak / 1e9:.2f}"] for step in timed]
        print_table(["Tokens", "Seconds", "GB at most"], steps_, ("Tokens", "Seconds", "GB at most"))
