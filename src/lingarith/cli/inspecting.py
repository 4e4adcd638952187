"""``lingarith inspect``: what a composition does, before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import options as o
from .composing import Expression
from .opening import open_store, print_json


def inspect(
    expression: Expression,
    space: Annotated[
        str | None, typer.Option("--space", help="Only factors, anchored, delta or peft-linear; all without it.")
    ] = None,
    rank_out: o.Rank = None,
    kronecker_out: o.KroneckerOut = None,
    per_module: Annotated[bool, typer.Option("--per-module", help="A line for each projection too.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page with heat maps to this file.", dir_okay=False)
    ] = None,
    store: o.StorePlace = o.DEFAULT_STORE,
    as_json: o.Json = False,
) -> None:
    """What a composition really does in each space, from the vectors alone.

    `lingarith inspect '0.6*headlines[en] + 0.4*(news[pt] - news[en])' --page inspection.html`
    """
    from rich import print as show

    from ..algebra import parse
    from ..disk.files import write_atomically
    from ..inspection.measure import inspect as look
    from ..inspection.page import page as drawn
    from ..inspection.words import as_text, facts
    from ..vectors.realise import SPACES, Space

    combination = parse(expression)
    shelf = open_store(store)
    vectors = {name: shelf.get(name) for name in combination.names}
    spaces = [Space(name) for name in SPACES if space is None]
    if space is not None or rank_out is not None or kronecker_out is not None:
        spaces.append(o.space_of(space or "delta", rank_out, kronecker_out))
    found = look(combination, vectors, spaces)
    if page is not None:
        write_atomically(page, drawn(found))
    if as_json:
        print_json(facts(found))
        return
    show(as_text(found, per_module=per_module))
    if page is not None:
        print(f"heat maps in {page}")
