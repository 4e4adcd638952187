"""Grids as text for a terminal, as Markdown and as LaTeX."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..study.records import Grid

if TYPE_CHECKING:
    from rich.console import RenderableType

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "*": r"\textsuperscript{*}", "†": r"\textsuperscript{\dag}",
    "−": "$-$", "–": "--", "·": r"$\cdot$", "λ": r"$\lambda$", "β": r"$\beta$", "<": "$<$", ">": "$>$",
}  # fmt: skip
"""What LaTeX reads otherwise than as itself, or not at all without a font for it."""


def as_markdown(of: Sequence[Grid], said: str) -> str:
    """The tables in GitHub's Markdown, with the verdict below them."""
    lines: list[str] = []
    for grid in of:
        lines += [f"## {grid.title}", ""] if grid.title else []
        lines += [_line(grid.heads), "|---|" + "---:|" * (len(grid.heads) - 1)]
        lines += [*map(_line, grid.rows), "", _escaped(grid.caption), ""]
    return "\n".join([*lines, *(f"- {_escaped(sentence)}" for sentence in said.splitlines()), ""])


def as_latex(of: Sequence[Grid], said: str) -> str:
    """The tables for LaTeX with the package booktabs, with the verdict below them as a list."""
    lines = ["% needs \\usepackage{booktabs}"]
    for grid in of:
        lines += [
            "",
            r"\begin{table}",
            r"\centering",
            rf"\begin{{tabular}}{{l{'r' * (len(grid.heads) - 1)}}}",
            r"\toprule",
        ]
        lines += [_row(grid.heads), r"\midrule", *map(_row, grid.rows), r"\bottomrule", r"\end{tabular}"]
        caption = " ".join(filter(None, [f"{grid.title}." if grid.title else "", grid.caption]))
        lines += [rf"\caption{{{_latex(caption)}}}", r"\end{table}"]
    sentences = [rf"\item {_latex(sentence)}" for sentence in said.splitlines()]
    if sentences:
        lines += ["", r"\begin{itemize}", *sentences, r"\end{itemize}"]
    return "\n".join([*lines, ""])


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


def _row(texts: Sequence[str]) -> str:
    return " & ".join(map(_latex, texts)) + r" \\"


def _latex(text: str) -> str:
    """
    >>> _latex("Add_all: +2.4* < 5 %")
    'Add\\\\_all: +2.4\\\\textsuperscript{*} $<$ 5 \\\\%'
    """
    return "".join(LATEX.get(character, character) for character in text)
