"""What a run found, in plain words: one sentence or two per target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..study.records import BASELINE, Run
from .selection import choice, equations, protocol, targets
from .table import Row, rows
from .wording import number, p_text, short, weight_text

HELPS, HURTS, OPEN, NOTHING = "helps", "hurts", "no difference", "nothing to evaluate on"
UNSURE = "helps, not above a control"
"""The outcomes; the last where a study's controls do as well."""


@dataclass(frozen=True)
class Finding:
    """What the test says of one target: ``outcome`` is one of those above, ``text`` the sentences."""

    target: str
    outcome: str
    text: str


def verdict(run: Run) -> str:
    """A line per target: what composition gains over the plain task vector on the test split, with
    interval and p after Holm, or that it does not, and which adapter is handed over.

    The composition spoken of is the one that validation put first, never the test.
    """
    return "\n".join(finding.text for finding in findings(run, rows(run)))


def findings(run: Run, of: Sequence[Row]) -> list[Finding]:
    """The verdict target by target, from rows that are already there."""
    return [_finding(run, of, target) for target in targets(run)]


def composition(run: Run, target: str) -> str | None:
    """The equation to speak of: the one handed over, or where that is the baseline, the one with
    the best validation value under the run's protocol; None where nothing was chosen."""
    handed = run.about.get("handed_over", {}).get(target)
    if handed not in (None, BASELINE):
        return str(handed)
    found = [choice(run, target, equation, protocol(run)) for equation in equations(run)]
    chosen = [c for c in found if c is not None and c.equation != BASELINE]
    return max(chosen, key=lambda c: c.value).equation if chosen else None


def _finding(run: Run, of: Sequence[Row], target: str) -> Finding:
    equation = composition(run, target)
    row = next((r for r in of if (r.target, r.equation) == (target, equation)), None)
    if row is not None and row.gain is not None and row.gain_low is not None and row.gain_high is not None:
        outcome = OPEN if not row.significant else HELPS if row.gain > 0 else HURTS
        said = _compared(row, row.gain, row.gain_low, row.gain_high, outcome)
    else:
        outcome, said = NOTHING, _not_compared(of, target)
    return Finding(target, outcome, f"{target}: {said}{_handed_over(run, target, outcome)}")


def _compared(row: Row, gain: float, low: float, high: float, outcome: str) -> str:
    size = number(abs(gain))
    more = "as much as" if size == "0.0" else f"{size} {'more' if gain > 0 else 'less'} than"
    conclusion = {
        HELPS: "composition helps",
        HURTS: "composition hurts",
        OPEN: f"no difference that {row.n} examples can show",
    }[outcome]
    return (
        f"{_named(row.equation, row.weight)} scores {number(row.score)} ROUGE-2, {more} the task vector alone "
        f"(95 % interval of the difference {number(low)} to {number(high)}, {p_text(row.p_holm)} after Holm): "
        f"{conclusion}."
    )


def _not_compared(of: Sequence[Row], target: str) -> str:
    scored = next((row for row in of if row.target == target), None)
    if scored is None:
        return "nothing to evaluate on: there are no labelled test examples."
    return (
        f"{short(scored.equation)} scores {number(scored.score)} ROUGE-2 "
        f"(95 % interval {number(scored.low)} to {number(scored.high)}); there is nothing to compare it with."
    )


def _handed_over(run: Run, target: str, outcome: str) -> str:
    handed = run.about.get("handed_over", {}).get(target)
    if handed is None:
        return ""
    chosen = choice(run, target, handed, protocol(run))
    name = "the task vector alone" if handed == BASELINE else _named(handed, chosen.weight if chosen else None)
    unexpected = (outcome, handed == BASELINE) in {(HELPS, True), (HURTS, False)}
    return f" Handed over{', as validation decided before the test' if unexpected else ''}: {name}."


def _named(equation: str, weight: float | None) -> str:
    return short(equation) + ("" if weight is None else f" ({weight_text(equation, weight)})")
