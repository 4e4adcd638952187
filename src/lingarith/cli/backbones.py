"""``lingarith backbone``: what a backbone is, and one with a smaller vocabulary."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .opening import Json, print_json
from .progress import shown

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
    from ..model.backbone import load
    from ..model.memory import prepare
    from ..model.trim import trim
    from ..text.every import every_text

    prepare()
    with shown() as progress:
        result = trim(load(name, device="cpu", progress=progress), lambda: every_text(text), out, progress)
    if as_json:
        print_json(result)
        return
    print(
        f"{result.pieces:,} of {result.of:,} pieces, {result.parameters / 1e6:.0f} of {result.before / 1e6:.0f} "
        f"million parameters; {result.otherwise:,} of {result.texts:,} texts looked at are cut into other tokens\n"
        f"written to {out}"
    )
