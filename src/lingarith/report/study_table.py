"""The tables of studies as rows of cells, with the paper's numbers beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

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
    Grid,
    Run,
)
from .comparison import Cell, exact
from .pairs import Pair, pairs_table
from .paper import CITATION, printed
from .table import AVERAGE
from .wording import number, p_text, short, signed

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
PAPER = "Paper"
F1 = "F1"
"""The metric beside which exact match is told."""


def listed(run: Run) -> Grid:
    """A table that needed no model, with the paper's column where it is of numbers."""
    grid = Grid(**run.about["grid"])
    paper = {target: f"{size:,.0f}" for (_, target, _), size in printed(str(run.about["table"])).items()}
    if not paper:
        return grid
    rows = [[*row, paper.get(row[1], "–")] for row in grid.rows]
    return Grid(grid.title, [*grid.heads, "Paper: train"], rows, f"{grid.caption} Paper: {CITATION}.")


def pairs_grid(run: Run, of: Sequence[Pair]) -> Grid:
    """Every source with every target."""
    heads, rows = pairs_table(run, of)
    caption = "Change in percent over the source's task vector alone. * better, † worse, p < 0.05 after Holm."
    return Grid(str(run.about["title"]), heads, rows, caption)


def grids(run: Run, of: Sequence[Cell]) -> Iterator[Grid]:
    """For each task: methods by targets, their averages, exact match where answers are scored, and
    the methods that the paper has beside its numbers."""
    reference = short(run.about["methods"][run.about["reference"]])
    for task, metric in run.about["tasks"].items():
        own = [cell for cell in of if cell.task == task]
        methods = methods_of(run, own)
        by_place = {(cell.target, cell.method): cell for cell in own}
        names = list(dict.fromkeys(cell.target for cell in own))
        notes = f"{metric}. * better, † worse than {reference}: paired test, p < 0.05 after Holm over languages."
        if len(run.about["seeds"]) > 1:
            notes += f" Means of {len(run.about['seeds'])} seeds."
        if BEST_ON_TEST in methods:
            notes += f" {HEADS[BEST_ON_TEST]}: chosen on the test split, so not to be compared."

        def scored(target: str, method: str, by_place: Mapping[tuple[str, str], Cell] = by_place) -> str:
            found = by_place.get((target, method))
            return f"{number(found.score)}{found.mark}" if found else "–"

        title = f"{run.about['title']}, {task}"
        yield _grid(title, methods, names, scored, notes)
        whole = [cell for cell in own if cell.target == AVERAGE] or own
        heads = ["Average", str(metric), "95 %", "Gain", "95 %", "p"]
        yield Grid("", heads, [_row(run, cell) for cell in whole], f"Gain: over {reference}.")
        if metric == F1:
            yield _exact(run, task, f"{title}: exact match", methods, names)
        yield from _beside(run, task, own)


def methods_of(run: Run, of: Sequence[Cell]) -> list[str]:
    """The methods that have cells, in the order of the table."""
    return [method for method in run.about["methods"] if any(cell.method == method for cell in of)]


def _grid(
    title: str, methods: Sequence[str], targets: Sequence[str], said: Callable[[str, str], str], caption: str
) -> Grid:
    rows = [[target, *(said(target, method) for method in methods)] for target in targets]
    return Grid(title, ["", *(_head(method) for method in methods)], rows, caption)


def _exact(run: Run, task: str, title: str, methods: Sequence[str], targets: Sequence[str]) -> Grid:
    same = exact(run, task)
    said = "How many of the outputs above are exactly a reference, in percent."
    return _grid(title, methods, targets, lambda target, method: number(same.get((target, method))), said)


def _beside(run: Run, task: str, of: Sequence[Cell]) -> Iterator[Grid]:
    """Our numbers and the paper's in turn, and below them the average gains over the reference."""
    paper = {key[1:]: value for key, value in printed(str(run.about["table"])).items() if key[0] == task}
    ours = {(cell.target, cell.method): cell.score for cell in of}
    methods = [m for m in methods_of(run, of) if any(method == m for _, method in ours.keys() & paper.keys())]
    reference = str(run.about["reference"])
    if not methods:
        return
    rows = [
        [target, *(number(found.get((target, m))) for m in methods for found in (ours, paper))]
        for target in dict.fromkeys(target for target, _ in ours)
    ]
    gains = [
        signed(found[AVERAGE, m] - found[AVERAGE, reference])
        if m != reference and {(AVERAGE, m), (AVERAGE, reference)} <= found.keys()
        else ""
        for m in methods
        for found in (ours, paper)
    ]
    if any(gains):
        rows.append(["gain", *gains])
    heads = ["", *(head for m in methods for head in (_head(m), PAPER))]
    caption = f"{PAPER}: {CITATION}; PaLM 2-S, not this backbone. –: not in its text, or not run."
    if missing := {target for target, _ in paper} - {target for target, _ in ours}:
        caption += f" Its averages are over its own languages, {', '.join(sorted(missing))} among them."
    yield Grid(f"{run.about['title']}, {task}: beside the paper", heads, rows, caption)


def _row(run: Run, cell: Cell) -> list[str]:
    gain = ["", "", ""]
    if cell.gain is not None:
        p = p_text(cell.p).removeprefix("p ").removeprefix("= ")
        gain = [signed(cell.gain), f"{signed(cell.gain_low)} to {signed(cell.gain_high)}", p]
    name = short(run.about["methods"][cell.method])
    return [name, number(cell.score), f"{number(cell.low)}–{number(cell.high)}", *gain]


def _head(method: str) -> str:
    return HEADS.get(method, short(method))
