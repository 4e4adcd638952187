"""Which lines of a run a report speaks of: its targets, what was chosen, what was tested."""

from __future__ import annotations

from collections.abc import Iterable

from ..study.records import EQUATIONS, Choice, Record, Run


def targets(run: Run) -> list[str]:
    """The targets of a run: first those it was asked for, then any other that it has lines of."""
    lines: Iterable[Record | Choice] = [*run.records, *run.choices]
    return list(dict.fromkeys([*run.about.get("targets", []), *(line.target for line in lines)]))


def equations(run: Run) -> list[str]:
    """The equations a run has lines of, in the order of a table."""
    lines: Iterable[Record | Choice] = [*run.records, *run.choices]
    seen = dict.fromkeys(line.equation for line in lines)
    return [name for name in EQUATIONS if name in seen] + [name for name in seen if name not in EQUATIONS]


def protocol(run: Run) -> str:
    """The protocol that chose the weights of a run, or an empty string."""
    return str(run.about.get("protocol", ""))


def choice(run: Run, target: str, equation: str, by: str) -> Choice | None:
    """The weight that the protocol ``by`` chose; the last one where a run was repeated."""
    found = [c for c in run.choices if (c.target, c.equation, c.protocol) == (target, equation, by)]
    return found[-1] if found else None


def on_test(run: Run, target: str, equation: str, weight: float | None) -> dict[str, Record]:
    """The test records of one equation at one weight, by id."""
    return {
        r.id: r
        for r in run.records
        if (r.split, r.target, r.equation) == ("test", target, equation) and same_weight(r.weight, weight)
    }


def same_weight(a: float | None, b: float | None) -> bool:
    """Whether two weights are one number up to rounding; None equals only None.

    >>> same_weight(0.1 + 0.2, 0.3), same_weight(None, 0.0)
    (True, False)
    """
    return a is b or (a is not None and b is not None and abs(a - b) < 1e-9)
