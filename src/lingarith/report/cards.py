"""The cards of adapters that a run handed over: how λ was chosen, and what the test found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from ..disk.files import read_json, write_atomically
from ..formats.card import CARD, EVALUATED, Measured, card, evaluated
from ..formats.folders import CONFIG, ORIGIN
from ..study.records import adapter_folder
from .cells import Cell
from .findings import Findings, handed_over
from .runs import chosen
from .tables import tables_of
from .words import PROTOCOLS, named, number
from .writing import as_markdown

ZERO_SHOT = {"oracle": False, "sources": True, "unlabelled": True}
"""Whether no label of the target was seen, by protocol."""


def write_cards(results: Findings, out: Path) -> None:
    """Write the card of each adapter that lies in the run folder ``out``, with its results.

    Raises :class:`LingarithError` where an adapter is not there any more.
    """
    about = results.run.about
    for task in about.tasks:
        for target in about.targets:
            method = handed_over(results.run, task, target)
            if method is None:
                continue
            folder = out / adapter_folder(about.tasks, task, target)
            there = [cell for cell in results.cells if (cell.task, cell.target) == (task, target)]
            grids = tables_of(results.run, task, there, target)
            said = [finding.text for finding in results.verdict if (finding.task, finding.target) == (task, target)]
            source = next((str(t["source"]) for t in about.study.get("tasks", []) if t["name"] == task), "")
            tested = [_tested(about.tasks[task], cell, source, about.seeds) for cell in there if cell.method == method]
            facts = read_json(folder / ORIGIN)
            text = card(
                read_json(folder / CONFIG), facts, chosen=_chosen(results, task, target, method),
                results=as_markdown(grids, [*said, *about.notes]).replace("## ", "### "), tested=tested,
            )  # fmt: skip
            write_atomically(folder / CARD, text)
            if entries := evaluated(tested, datetime.now().date().isoformat()):
                write_atomically(folder / EVALUATED / "lingarith.yaml", entries)


def _tested(metric: str, cell: Cell, source: str, seeds: Sequence[int]) -> Measured:
    notes = f"95 % interval {number(cell.low)} to {number(cell.high)}, {cell.n} examples"
    if len(seeds) > 1:
        notes += f"; mean of the seeds {', '.join(map(str, seeds))}, of which the adapter is that of {seeds[0]}"
    return Measured(metric, cell.score, source, cell.target, "test", notes)


def _chosen(results: Findings, task: str, target: str, method: str) -> str:
    """How the weight was chosen, and whether that saw labels of the target."""
    about = results.run.about
    choices = [
        c
        for c in chosen(results.run).values()
        if (c.task, c.target, c.protocol) == (task, target, about.protocol) and c.method in about.tried
    ]
    if not choices:
        return "None was chosen: it is the task vector alone. Zero-shot: yes, no label of the target was seen."
    own = [c.weight for c in choices if c.method == method]
    tried = max(len(c.curve) for c in choices)
    grounds = PROTOCOLS.get(about.protocol, about.protocol)
    zero = ZERO_SHOT.get(about.protocol)
    said = "" if zero is None else f" Zero-shot: {'yes' if zero else 'no'}."
    return f"{named(method, own)}, from up to {tried} weights of each method by `{about.protocol}`: {grounds}.{said}"
