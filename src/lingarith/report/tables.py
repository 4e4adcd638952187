"""Cells as tables: methods by targets, or one block for each target; and the paper's numbers beside ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

from ..study.records import BEST_ON_TEST, DOSE_CAPTION, DOSE_HEADS, NO_DOSE, Grid, Run, dose, dose_texts, name_of
from .answer import Answer
from .cells import Cell, mark_of
from .paper import CITATION, METRICS, printed
from .retention import retention
from .words import AVERAGE, BITS, beside, number, p_text, percent, plain_weights, signed

MOST_ROWS = 24
"""With more results than this, a table has a column for each method in place of a row for each result."""
PAPER = "Paper"
ORACLE = " Oracle: the weight that the target's own labels would have chosen, and its score."


def tables(run: Run, cells: Sequence[Cell], answer: Answer | None = None) -> list[Grid]:
    """The tables of a run: a listing as it is; every source with every target; or for each task its results,
    in blocks where they are few, and beside the paper's where it has any; or those of a study's answer."""
    if run.about.grid is not None:
        return [_listed(run, run.about.grid)]
    if answer:
        return [*answer.grids, *doses(run)]
    grids = [grid for task in run.about.tasks for grid in tables_of(run, task, [c for c in cells if c.task == task])]
    return [*grids, *doses(run)]


def doses(run: Run) -> list[Grid]:
    """What each language vector of a run learnt of its language, as one table; none where there is no such vector."""
    vectors = [i for i in run.ingredients if i.origin.get("kind") == "language"]
    rows = [[i.name, i.hash[:8], f"{i.steps:,}", *dose_texts(i.origin)] for i in vectors]
    without = [i.name for i in vectors if dose(i.origin) is None]
    caption = DOSE_CAPTION + (f" {NO_DOSE.format(', '.join(without))}" if without else "")
    return (
        [Grid("Dose of the language vectors", ["Vector", "Hash", "Steps", *DOSE_HEADS], rows, caption)] if rows else []
    )


def tables_of(run: Run, task: str, cells: Sequence[Cell], target: str | None = None) -> list[Grid]:
    """The tables of one task, from its cells; without any there is none. ``target``: whose they are, if one's."""
    lost = retention(run, task, target)
    if not cells:
        return lost
    if run.about.by_source:
        return [_pairs(run, task, cells), *lost]
    results = [_blocks(run, task, cells)] if few(cells) else _matrices(run, task, cells)
    return [*results, *_right(run, task, cells), *lost, *_beside_paper(run, task, cells)]


def few(cells: Sequence[Cell]) -> bool:
    """Whether a task has so few results that each has a row in its table."""
    return len(cells) <= MOST_ROWS


def by_target(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The cells by target, the average last."""
    names = sorted(dict.fromkeys(cell.target for cell in cells), key=lambda name: name == AVERAGE)
    return {name: [cell for cell in cells if cell.target == name] for name in names}


def methods_of(run: Run, cells: Sequence[Cell]) -> list[str]:
    """The methods that have cells, in the order of the table."""
    return [method for method in run.about.methods if any(cell.method == method for cell in cells)]


def caption(run: Run, task: str, cells: Sequence[Cell]) -> str:
    """What the numbers of a task's cells are, and what their marks mean."""
    seeds, reference = len(run.about.seeds), name_of(run.about.reference).short
    drawn = "on the test split, with 95 % bootstrap interval"
    if seeds > 1:
        drawn = f"the mean of {seeds} seeds, with 95 % interval over seeds and examples"
    text = f"{run.about.tasks[task]}: {drawn}. "
    by = f"{tested(run)}, " if seeds > 1 else ""
    text += f"Gain: over {reference} on the same examples; * better, † worse, {by}p < 0.05 after Holm."
    right = " Right: outputs in the right language." if all(cell.kinds for cell in cells) else ""
    return text + right + (ORACLE if has_oracle(cells) else "")


def tested(run: Run) -> str:
    """What a p of a run is of: with one seed of its examples, with several of their vectors too."""
    return "paired test" if len(run.about.seeds) == 1 else "test over seeds and examples"


def has_oracle(cells: Sequence[Cell]) -> bool:
    """Whether any cell knows what the target's own labels would have chosen."""
    return any(cell.oracle_weights or cell.oracle_score is not None for cell in cells)


def oracle_text(cell: Cell) -> str:
    """The oracle's weights and score."""
    score = "" if cell.oracle_score is None else number(cell.oracle_score)
    return ": ".join(filter(None, [plain_weights(cell.oracle_weights), score]))


# ---------------------------------------------------------------- one block for each target


Columns = dict[str, Callable[[Cell], str]]
"""What stands in a cell's row, by the head of the column."""


def _columns(metric: str) -> Columns:
    return {
        metric: lambda cell: number(cell.score),
        "95 %": lambda cell: f"{number(cell.low)}–{number(cell.high)}",
        "Gain": lambda cell: "" if cell.gain is None else signed(cell.gain) + cell.mark,
        # The blank tells this column from the other interval, and is not printed.
        "95 % ": lambda cell: "" if cell.gain is None else f"{signed(cell.gain_low)} to {signed(cell.gain_high)}",
    }


def _blocks(run: Run, task: str, cells: Sequence[Cell]) -> Grid:
    """A row for each target and method, with interval, gain and what comes out."""
    columns: Columns = {"λ, β": lambda cell: plain_weights(cell.weights)} | _columns(run.about.tasks[task])
    if all(cell.kinds for cell in cells):
        columns["Right"] = lambda cell: percent(cell.kinds["target"])
    for name in cells[0].beside:
        columns[name] = lambda cell, name=name: beside(cell.beside.get(name), name)  # type: ignore[misc]
    if has_oracle(cells):
        columns["Oracle"] = oracle_text
    crowded = len(columns) > 6  # more than 80 columns of a terminal hold beside longer names
    rows = [
        [target, name.brief if crowded else name.short, *(text(cell) for text in columns.values())]
        for target, members in by_target(cells).items()
        for cell in members
        for name in [name_of(cell.method)]
    ]
    heads = ["", "Method", *(name.strip() for name in columns)]
    return Grid(_title(run, task), heads, rows, caption(run, task, cells))


# ---------------------------------------------------------------- methods by targets


def _matrices(run: Run, task: str, cells: Sequence[Cell]) -> Iterator[Grid]:
    """Scores with their marks, averages with interval and gain, and the figures that stand beside the metric."""
    metric, methods, reference = run.about.tasks[task], methods_of(run, cells), name_of(run.about.reference).short
    notes = f"{metric}. * better, † worse than {reference}: {tested(run)}, p < 0.05 after Holm over languages."
    if len(run.about.seeds) > 1:
        notes += f" Means of {len(run.about.seeds)} seeds."
    if BEST_ON_TEST in methods:
        notes += f" {name_of(BEST_ON_TEST).brief}: chosen on the test split, so not to be compared."
    title = f"{run.about.title}, {task}"
    yield _matrix(title, methods, cells, lambda cell: number(cell.score) + cell.mark, notes)
    columns = _columns(metric) | {
        "Gain": lambda cell: "" if cell.gain is None else signed(cell.gain),
        "p": lambda cell: p_text(cell.p).removeprefix("p ").removeprefix("= "),
    }
    averages = [cell for cell in cells if cell.target == AVERAGE] or cells
    rows = [[name_of(cell.method).short, *(text(cell) for text in columns.values())] for cell in averages]
    yield Grid("", ["Average", *(head.strip() for head in columns)], rows, f"Gain: over {reference}.")
    for name in cells[0].beside:

        def figure(cell: Cell, name: str = name) -> str:
            return beside(cell.beside.get(name), name)

        notes = f"{name} of the outputs above{', 0 to 100' if name != BITS else ''}."
        yield _matrix(f"{title}: {name}", methods, cells, figure, notes)


def _matrix(title: str, methods: Sequence[str], cells: Sequence[Cell], text: Callable[[Cell], str], notes: str) -> Grid:
    by_place = {(cell.target, cell.method): text(cell) for cell in cells}
    targets = dict.fromkeys(cell.target for cell in cells)
    rows = [[target, *(by_place.get((target, method), number(None)) for method in methods)] for target in targets]
    return Grid(title, ["", *(name_of(method).brief for method in methods)], rows, notes)


def _pairs(run: Run, task: str, cells: Sequence[Cell]) -> Grid:
    """Every source with every target: what the first method that is tried changes."""
    tried = [cell for cell in cells if cell.method == run.about.tried[0]]
    by_place = {(cell.source, cell.target): f"{signed(cell.change)}{cell.mark}" for cell in tried}
    targets, metric = run.about.targets, run.about.tasks[task]
    rows = [[source, *(by_place.get((source, target), "") for target in targets)] for source in run.about.sources]
    notes = f"Change in percent over the source's task vector alone ({metric}). * better, † worse, p < 0.05 after Holm."
    return Grid(_title(run, task), ["from / to", *targets], rows, notes)


def _right(run: Run, task: str, cells: Sequence[Cell]) -> Iterator[Grid]:
    """How many outputs are in the right language, and the scores of these alone; nothing where a task writes labels."""
    if any(cell.right is None for cell in cells):
        return
    base, title = name_of(run.about.reference).short, f"{_title(run, task)}: outputs in the right language"
    notes = f"Gain: points of a hundred more than {base}; * better, † worse, {tested(run)}, p < 0.05 after Holm. "
    notes += "Scores are of the outputs in the right language alone, which differ from method to method."

    def share(cell: Cell) -> str:
        return percent(cell.kinds["target"])

    def gain(cell: Cell) -> str:
        return "" if cell.right_gain is None else signed(cell.right_gain) + mark_of(cell.right_gain, cell.right_p)

    names = list(dict.fromkeys(name for cell in cells for name in cell.among))
    if few(cells):
        columns: Columns = {"Right": share, "Gain": gain, "Outputs": lambda cell: f"{cell.right:,}"}
        columns |= {name: lambda cell, name=name: number(cell.among.get(name)) for name in names}  # type: ignore[misc]
        rows = [
            [target, name_of(cell.method).short, *(text(cell) for text in columns.values())]
            for target, members in by_target(cells).items()
            for cell in members
        ]
        yield Grid(title, ["", "Method", *columns], rows, notes)
        return
    methods = methods_of(run, cells)
    yield _matrix(title, methods, cells, lambda cell: " ".join(filter(None, [share(cell), gain(cell)])), notes)
    for name in names:
        notes = f"{name} of the outputs in the right language alone; in brackets how many these are."

        def among(cell: Cell, name: str = name) -> str:
            return f"{number(cell.among.get(name))} ({cell.right})"

        yield _matrix(f"{title}, {name}", methods, cells, among, notes)


# ---------------------------------------------------------------- listings, and the paper


def _listed(run: Run, grid: Grid) -> Grid:
    """A table that needed no model, with the paper's column where it is of numbers."""
    paper = {target: f"{size:,.0f}" for (_, target, _), size in printed(run.about.table).items()}
    if not paper:
        return grid
    rows = [[*row, paper.get(row[1], "–")] for row in grid.rows]
    return Grid(grid.title, [*grid.heads, f"{PAPER}: train"], rows, f"{grid.caption} Paper: {CITATION}.")


def _beside_paper(run: Run, task: str, cells: Sequence[Cell]) -> Iterator[Grid]:
    """Our numbers and the paper's in turn, and below them the average gains over the reference."""
    paper = {key[1:]: value for key, value in printed(run.about.table).items() if key[0] == task}
    ours = {(cell.target, cell.method): cell.score for cell in cells}
    methods = [m for m in methods_of(run, cells) if any(method == m for _, method in ours.keys() & paper.keys())]
    if not methods or run.about.tasks[task] != METRICS.get(task):
        return
    columns = list(product(methods, (ours, paper)))
    targets = dict.fromkeys(target for target, _ in ours)
    rows = [[target, *(number(scores.get((target, m))) for m, scores in columns)] for target in targets]
    base = (AVERAGE, run.about.reference)
    gains = [
        signed(scores[AVERAGE, m] - scores[base])
        if m != run.about.reference and {(AVERAGE, m), base} <= scores.keys()
        else ""
        for m, scores in columns
    ]
    if any(gains):
        rows.append(["gain", *gains])
    heads = ["", *(head for m in methods for head in (name_of(m).brief, PAPER))]
    notes = f"{PAPER}: {CITATION}; PaLM 2-S, not this backbone. –: not in its text, or not run."
    if missing := {target for target, _ in paper} - targets.keys():
        notes += f" Its averages are over its own languages, {', '.join(sorted(missing))} among them."
    yield Grid(f"{run.about.title}, {task}: beside the paper", heads, rows, notes)


def _title(run: Run, task: str) -> str:
    return f"{run.about.title}, {task}" if len(run.about.tasks) > 1 else run.about.title
