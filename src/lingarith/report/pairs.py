"""Every source with every target: how much arithmetic changes over the source's task vector (Figure 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np

from ..scores.resample import holm, paired_test
from ..study.records import Run
from .comparison import DRAWS, scores
from .table import SIGNIFICANT
from .wording import number, signed


@dataclass(frozen=True)
class Pair:
    """A source and a target: mean scores (0..100) with and without arithmetic, and the paired test.

    ``change`` is in percent of ``alone``, None where that is 0; ``p_holm`` is corrected over all pairs.
    """

    source: str
    target: str
    alone: float
    composed: float
    change: float | None
    p: float
    p_holm: float

    @property
    def mark(self) -> str:
        """``*`` for significantly better, ``†`` for worse."""
        if self.p_holm >= SIGNIFICANT or self.composed == self.alone:
            return ""
        return "*" if self.composed > self.alone else "†"


def pairs(run: Run, method: str | None = None, *, draws: int = DRAWS) -> list[Pair]:
    """All pairs of a run, for its first tried method or another: a control."""
    method, reference = method or run.about["tried"][0], run.about["reference"]
    by_place = scores(run)
    found = []
    for (task, target, name, source), composed in by_place.items():
        alone = by_place.get((task, target, reference, source))
        if name != method or alone is None:
            continue
        before, after = float(alone.mean()), float(composed.mean())
        p = paired_test((composed - alone).mean(0), np.zeros(composed.shape[1]), draws=draws)
        change = 100 * (after - before) / before if before else None
        found.append(Pair(source, target, before, after, change, p, p))
    corrected = holm({f"{pair.source} {pair.target}": pair.p for pair in found}) if found else {}
    return [replace(pair, p_holm=corrected[f"{pair.source} {pair.target}"]) for pair in found]


def pairs_table(run: Run, of: Sequence[Pair]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: a row for each source, a column for each target."""
    by_place = {(pair.source, pair.target): pair for pair in of}
    rows = []
    for source in run.about["sources"]:
        own = [by_place.get((source, target)) for target in run.about["targets"]]
        rows.append([source, *(f"{signed(pair.change)}{pair.mark}" if pair else "" for pair in own)])
    return ["from / to", *run.about["targets"]], rows


def pairs_verdict(run: Run, of: Sequence[Pair]) -> str:
    """What the figure shows, in plain words, and what the controls show in its place."""
    if not of:
        return "Nothing was tested."
    names = run.about["methods"]
    sentences = [_counted(names[run.about["tried"][0]].split(" (")[0], of)]
    for control in run.about["against"]:
        sentences.append(_counted(f"Control: {names[control]}", pairs(run, control)))
    return "\n".join(sentences)


def _counted(name: str, of: Sequence[Pair]) -> str:
    better, worse = (sum(pair.mark == mark for pair in of) for mark in "*†")
    gain = fmean(pair.composed - pair.alone for pair in of)
    return (
        f"{name}: significantly better than the task vector alone in {better} of {len(of)} pairs, worse in {worse}; "
        f"{signed(gain)} points on average (from {number(fmean(pair.alone for pair in of))})."
    )
