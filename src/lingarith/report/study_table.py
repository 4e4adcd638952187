"""The tables of studies as rows of cells, and those as text or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..study.recipes.listings import Grid
from ..study.records import (
    ADD_ALL,
    ADD_RELATED,
    ADD_SUBTRACT,
    ADD_SUBTRACT_RELATED,
    BEST,
    BEST_ON_TEST,
    KRONECKER,
    MULTI_KRONECKER,
    MULTI_LORA,
    MULTILINGUAL,
    RANDOM,
    RATES,
    SCALED,
    WRONG,
    Run,
)
from .comparison import Cell, cells, verdict
from .pairs import pairs, pairs_table, pairs_verdict
from .table import AVERAGE
from .wording import number, p_text, short, signed

if TYPE_CHECKING:
    from rich.console import RenderableType

HEADS = {
    ADD_SUBTRACT: "Add−Sub",
    BEST: "Best",
    BEST_ON_TEST: "Best†",
    MULTILINGUAL: "Multi",
    ADD_ALL: "All",
    ADD_RELATED: "Related",
    ADD_SUBTRACT_RELATED: "Rel−Sub",
    MULTI_LORA: "M-LoRA",
    KRONECKER: "Kron",
    MULTI_KRONECKER: "M-Kron",
    RATES: "Rates",
    SCALED: "λ·task",
    WRONG: "Wrong",
    RANDOM: "Random",
}
"""What methods are called at the head of a column."""


def tables(run: Run) -> tuple[list[Grid], str]:
    """The tables of a study's run, and the verdict in plain words."""
    if "grid" in run.about:
        return [Grid(**run.about["grid"])], ""
    if run.about["by_source"]:
        found = pairs(run)
        heads, rows = pairs_table(run, found)
        caption = "Change in percent over the source's task vector alone. * better, † worse, p < 0.05 after Holm."
        return [Grid(str(run.about["title"]), heads, rows, caption)], pairs_verdict(run, found)
    of = cells(run)
    return list(_grids(run, of)), verdict(run, of)


def _grids(run: Run, of: Sequence[Cell]) -> Iterator[Grid]:
    reference = short(run.about["methods"][run.about["reference"]])
    for task, metric in run.about["tasks"].items():
        own = [cell for cell in of if cell.task == task]
        methods = [method for method in run.about["methods"] if any(cell.method == method for cell in own)]
        by_place = {(cell.target, cell.method): cell for cell in own}
        rows = [
            [
                target,
                *(
                    f"{number(found.score)}{found.mark}" if (found := by_place.get((target, m))) else "–"
                    for m in methods
                ),
            ]
            for target in dict.fromkeys(cell.target for cell in own)
        ]
        notes = f"{metric}. * better, † worse than {reference}: paired test, p < 0.05 after Holm over languages."
        if BEST_ON_TEST in methods:
            notes += f" {HEADS[BEST_ON_TEST]}: chosen on the test split, so not to be compared."
        yield Grid(f"{run.about['title']}, {task}", ["", *(_head(method) for method in methods)], rows, notes)
        whole = [cell for cell in own if cell.target == AVERAGE] or own
        heads = ["Average", str(metric), "95 %", "Gain", "95 %", "p"]
        yield Grid("", heads, [_row(run, cell) for cell in whole], f"Gain: over {reference}.")


def _row(run: Run, cell: Cell) -> list[str]:
    gain = ["", "", ""]
    if cell.gain is not None:
        p = p_text(cell.p).removeprefix("p ").removeprefix("= ")
        gain = [signed(cell.gain), f"{signed(cell.gain_low)} to {signed(cell.gain_high)}", p]
    name = short(run.about["methods"][cell.method])
    return [name, number(cell.score), f"{number(cell.low)}–{number(cell.high)}", *gain]


def _head(method: str) -> str:
    return HEADS.get(method, short(method))


def as_markdown(of: Sequence[Grid], said: str) -> str:
    """The tables in GitHub's Markdown, with the verdict below them."""
    lines: list[str] = []
    for grid in of:
        lines += [f"## {grid.title}", ""] if grid.title else []
        lines += [_line(grid.heads), "|---|" + "---:|" * (len(grid.heads) - 1)]
        lines += [*map(_line, grid.rows), "", _escaped(grid.caption), ""]
    return "\n".join([*lines, *(f"- {_escaped(sentence)}" for sentence in said.splitlines()), ""])


def as_text(of: Sequence[Grid]) -> Iterator[RenderableType]:
    """The tables for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    for grid in of:
        table = Table(
            box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), title=Text(grid.title), title_justify="left",
            caption=Text(grid.caption), caption_justify="left",
        )  # fmt: skip
        for place, head in enumerate(grid.heads):
            figures = place and not any(row[place][:1].isalpha() for row in grid.rows)
            table.add_column(Text(head), justify="right" if figures else "left", no_wrap=not place)
        for row in grid.rows:
            table.add_row(*map(Text, row))
        yield table


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, texts))} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")
