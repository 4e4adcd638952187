"""``lingarith inspect``: what a composition does, before it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .composing import Expression, study_typed
from .flags import flags
from .opening import DEFAULT_STORE, Json, StorePlace, open_store, print_json


@flags("sums")
def inspect(
    expression: Expression,
    given: dict[str, Any],
    per_module: Annotated[bool, typer.Option("--per-module", help="A line for each projection too.")] = False,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write a page with heat maps to this file.", dir_okay=False)
    ] = None,
    store: StorePlace = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """What a composition really does in each space, or in the one that is named, from the vectors alone.

    `lingarith inspect '0.6*headlines[en] + 0.4*(news[pt] - news[en])' --page inspection.html`
    """
    from rich import print as show

    from ..algebra import parse
    from ..disk.files import write_atomically
    from ..inspection.measure import inspect as look
    from ..inspection.page import page as drawn
    from ..inspection.words import as_text, facts
    from ..vectors.composition import SPACES, Space

    combination = parse(expression)
    shelf = open_store(store)
    vectors = {name: shelf.get(name) for name in combination.names}
    spaces = [] if "space" in given else [Space(name) for name in SPACES]
    if given:
        spaces.append(study_typed({"space": "delta"} | given).sums.value)
    found = look(combination, vectors, spaces)
    if page is not None:
        write_atomically(page, drawn(found))
    if as_json:
        print_json(facts(found))
        return
    show(as_text(found, per_module=per_module))
    if page is not None:
        print(f"heat maps in {page}")
