"""Tables for a terminal, as Markdown and as LaTeX; every number as CSV; and the files of a report."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from ..disk.files import write_atomically
from ..study.records import Grid
from .figures import pictures
from .findings import Findings
from .page import page
from .paper import METRICS, printed
from .words import NO_TEST, plain_weight

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKDOWN = re.compile(r"[\\`*\[\]|~]|<(?=[A-Za-z/!?])")
"""What Markdown reads otherwise than as itself, wherever it stands."""
FORMULA = re.compile(r"(?![+-]?[\d.]+(e[+-]?\d+)?$)[=+@\t\r-]")
"""How texts begin that spreadsheets compute (https://owasp.org/www-community/attacks/CSV_Injection), unless numbers."""
WIDTH = 80
"""Columns of a terminal: a table that needs more stands closer."""
COLUMNS = (
    "task source target method seeds n score low high gain gain_low gain_high p p_holm weights right right_n "
    "right_gain right_p"
).split()
AMONG = " if right"
"""Behind the name of a figure: of the outputs in the right language alone."""
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "*": r"\textsuperscript{*}", "†": r"\textsuperscript{\dag}",
    "−": "$-$", "–": "--", "·": r"$\cdot$", "λ": r"$\lambda$", "β": r"$\beta$", "<": "$<$", ">": "$>$",
}  # fmt: skip
"""What LaTeX reads otherwise than as itself, or not at all without a font for it."""


def write_report(results: Mapping[str, Findings], folder: Path) -> list[Path]:
    """``report.html``, ``table.md``, ``table.tex`` and ``table.csv`` in the folder, and an answer's figures as SVG and
    PNG, under the run's name too where several runs have one; their paths, in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "report.html": page(*results.values()),
        "table.md": "\n".join(as_markdown(one.tables, one.sentences) for one in results.values()),
        "table.tex": "\n".join(as_latex(one.tables, one.sentences) for one in results.values()),
        "table.csv": as_csv(results),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    answers = {run: one.answer for run, one in results.items() if one.answer}
    drawn = [name for answer in answers.values() for name in answer.charts]
    charts = {
        name if drawn.count(name) == 1 else f"{run.strip('/').replace('/', '-')}-{name}": draw
        for run, answer in answers.items()
        for name, draw in answer.charts.items()
    }
    return [*(folder / name for name in contents), *pictures(charts, folder)]


def as_text(grid: Grid) -> RenderableType:
    """The table for a terminal; what is significantly better is bold."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = [[head, *cells] for head, *cells in zip(grid.heads, *grid.rows, strict=True)]
    needed = sum(max(map(len, column)) + 2 for column in columns) - 2
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, int(needed <= WIDTH), 0, 0))
    for place, (head, figures) in enumerate(zip(grid.heads, _figures(grid), strict=True)):
        table.add_column(Text(head), justify="right" if figures else "left", no_wrap=figures or not place)
    rows = list(_blocks(grid.rows))
    for row, following in zip(rows, [*rows[1:], [""]], strict=True):
        cells = [Text(cell, style="bold" if cell.endswith("*") else "") for cell in row]
        table.add_row(*cells, end_section=rows != list(grid.rows) and bool(following[0]))
    title = [Text(grid.title, style="italic")] if grid.title else []
    return Group(*title, table, Text(grid.caption, style="dim italic"))


def as_markdown(grids: Sequence[Grid], sentences: Sequence[str]) -> str:
    """The tables in GitHub's Markdown, with the verdict below them."""
    lines: list[str] = [] if grids else [NO_TEST, ""]
    for grid in grids:
        lines += [f"## {_escaped(grid.title)}", ""] if grid.title else []
        lines += [_line(grid.heads), "|" + "|".join("---:" if figures else "---" for figures in _figures(grid)) + "|"]
        lines += [*map(_line, _blocks(grid.rows)), "", _escaped(grid.caption), ""]
    return "\n".join([*lines, *(f"- {_escaped(sentence)}" for sentence in sentences), ""])


def as_latex(grids: Sequence[Grid], sentences: Sequence[str]) -> str:
    """The tables for LaTeX with the package booktabs, with the verdict below them as a list."""
    lines = ["% needs \\usepackage{booktabs}"]
    for grid in grids:
        columns = "".join("r" if figures else "l" for figures in _figures(grid))
        caption = " ".join(filter(None, [f"{grid.title}." if grid.title else "", grid.caption]))
        lines += ["", r"\begin{table}", r"\centering", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
        lines += [_row(grid.heads), r"\midrule", *map(_row, _blocks(grid.rows)), r"\bottomrule", r"\end{tabular}"]
        lines += [rf"\caption{{{latex(caption)}}}", r"\end{table}"]
    items = [rf"\item {latex(sentence)}" for sentence in sentences]
    if items:
        lines += ["", r"\begin{itemize}", *items, r"\end{itemize}"]
    return "\n".join([*lines, ""])


def as_csv(results: Mapping[str, Findings]) -> str:
    """Every number, unrounded: a line for each run, task, source, target and method; of listings, their own columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    every = [cell for one in results.values() for cell in one.cells]
    beside = list(dict.fromkeys(name for cell in every for name in cell.beside))
    beside += list(dict.fromkeys(f"{name}{AMONG}" for cell in every for name in cell.among))
    if every:
        writer.writerow(map(_cell, ["run", *COLUMNS, *beside, "paper"]))
    for run, one in results.items():
        paper = printed(one.run.about.table)
        for cell in one.cells:
            same = one.run.about.tasks.get(cell.task) == METRICS.get(cell.task)
            texts = {"weights": " ".join(map(plain_weight, cell.weights)), "right": cell.kinds.get("target")}
            among = {f"{name}{AMONG}": value for name, value in cell.among.items()}
            values = {**cell.beside, **vars(cell), **texts, "right_n": cell.right, **among}
            numbers = [values.get(column) for column in (*COLUMNS, *beside)]
            writer.writerow(
                map(_cell, [run, *numbers, paper.get((cell.task, cell.target, cell.method)) if same else None])
            )
    for one in results.values():
        if one.run.about.grid is not None:
            writer.writerows(map(_cell, row) for grid in one.tables for row in (grid.heads, *grid.rows))
    return text.getvalue()


def latex(text: str) -> str:
    """
    >>> latex("Add_all: +2.4* < 5 %")
    'Add\\\\_all: +2.4\\\\textsuperscript{*} $<$ 5 \\\\%'
    """
    return "".join(LATEX.get(character, character) for character in text)


def _figures(grid: Grid) -> list[bool]:
    """Which columns hold figures, and stand to the right: not the first one, nor any with words."""
    columns = list(zip(*grid.rows, strict=True)) or [() for _ in grid.heads]
    return [place > 0 and not any(cell[:1].isalpha() for cell in cells) for place, cells in enumerate(columns)]


def _blocks(rows: Sequence[Sequence[str]]) -> Iterator[Sequence[str]]:
    """The rows, without what begins a row as it began the one above."""
    yield from rows[:1]
    for above, row in pairwise(rows):
        yield ["", *row[1:]] if row[0] == above[0] else row


def _line(texts: Sequence[str]) -> str:
    return f"| {' | '.join(map(_escaped, texts))} |"


def _escaped(text: str) -> str:
    """A text as one line of Markdown in which no link, picture, tag or cell of a table begins."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(text.splitlines()))


def _cell(value: object) -> object:
    """A value for a spreadsheet, which would compute a text that begins as a formula does.

    >>> _cell("=cmd|' /C calc'!A0"), _cell("-2.5"), _cell("pt")
    ("'=cmd|' /C calc'!A0", '-2.5', 'pt')
    """
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def _row(texts: Sequence[str]) -> str:
    return " & ".join(map(latex, texts)) + r" \\"
