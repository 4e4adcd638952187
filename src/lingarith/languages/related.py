"""Which languages are related to a target: by limits, the nearest few, or as the paper's Table 5 has it."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Protocol

from ..errors import LingarithError, did_you_mean
from .codes import language
from .distances import Distances, Uriel

PRESETS = ("paper-table5",)

Measured = Mapping[str, Mapping[str, float | None]]
"""Distances to the target by candidate and measure; None where one is not known."""
Verdict = tuple[bool, str]
"""Whether a candidate is in, and why."""


class Rule(Protocol):
    """Decides which candidates are related; ``str(rule)`` is the rule in words."""

    def judge(self, target: str, measured: Measured) -> Mapping[str, Verdict]:
        """A verdict for every candidate. Candidates come nearest first."""


@dataclass(frozen=True)
class Limits:
    """In is what is nearer than every limit (``either``: than any). What is not known is not near.

    The defaults are the paper's (section 5.4). Raises :class:`LingarithError` for a limit below which no
    distance lies, or that is no number.
    """

    below: Mapping[str, float] = field(default_factory=lambda: {"syntactic": 0.7, "geographic": 0.3})
    either: bool = False

    def __post_init__(self) -> None:
        for name, limit in self.below.items():
            if not (limit > 0 and math.isfinite(limit)):
                raise LingarithError(
                    f"the limit {limit:g} on '{name}' must be a positive number; no distance is below 0"
                )

    def __str__(self) -> str:
        return f" {'or' if self.either else 'and'} ".join(f"{name} < {limit:g}" for name, limit in self.below.items())

    def judge(self, target: str, measured: Measured) -> Mapping[str, Verdict]:
        """See :class:`Rule`. Raises :class:`LingarithError` where a limit is on what was not measured."""
        return {source: self._verdict(distances) for source, distances in measured.items()}

    def _verdict(self, distances: Mapping[str, float | None]) -> Verdict:
        near, far = [], []
        for name, limit in self.below.items():
            if name not in distances:
                raise LingarithError(
                    f"there is a limit on '{name}' and no such distances{did_you_mean(name, distances)}"
                )
            value = distances[name]
            if value is None:
                far.append(f"{name} not known")
            elif value < limit:
                near.append(f"{name} < {limit:g}")
            else:
                far.append(f"{name} ≥ {limit:g}")
        chosen = bool(near) if self.either else not far
        return chosen, ", ".join(near if chosen else far)


@dataclass(frozen=True)
class Nearest:
    """In are the nearest ``count`` by the first measure."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise LingarithError(f"the nearest {self.count} languages are none; ask for 1 or more")

    def __str__(self) -> str:
        return f"the nearest {self.count}"

    def judge(self, target: str, measured: Measured) -> Mapping[str, Verdict]:
        """See :class:`Rule`."""
        found: dict[str, Verdict] = {}
        for place, (source, distances) in enumerate(measured.items(), start=1):
            name, value = next(iter(distances.items()))
            found[source] = (False, f"{name} not known") if value is None else (place <= self.count, f"number {place}")
        return found


@dataclass(frozen=True)
class Printed:
    """In is what a printed table lists. ``sets`` maps targets to their sources."""

    name: str
    sets: Mapping[str, Sequence[str]]

    def __str__(self) -> str:
        return self.name

    def judge(self, target: str, measured: Measured) -> Mapping[str, Verdict]:
        """See :class:`Rule`. Raises :class:`LingarithError` for a target that the table does not have."""
        if target not in self.sets:
            raise LingarithError(f"{self.name} has no target '{target}'{did_you_mean(target, self.sets)}")
        listed = self.sets[target]
        return {source: (source in listed, "listed" if source in listed else "not listed") for source in measured}


def preset(name: str) -> Printed:
    """A printed table by its name: ``paper-table5`` is Table 5 of the paper.

    Raises :class:`LingarithError` for another name.

    >>> preset("paper-table5").sets["pt"]
    ['en', 'ru', 'ar']
    """
    if name not in PRESETS:
        raise LingarithError(f"there is no preset '{name}'{did_you_mean(name, PRESETS)}")
    content = (resources.files(__package__) / f"{name}.csv").read_text(encoding="utf-8")
    return Printed(name, {row["target"]: row["sources"].split() for row in csv.DictReader(content.splitlines())})


@dataclass(frozen=True)
class Candidate:
    """A source language: its distances to the target by measure (None: not known), and the verdict."""

    language: str
    distances: Mapping[str, float | None]
    chosen: bool
    why: str


@dataclass(frozen=True)
class Related:
    """The sources judged for a target, nearest first by the first measure.

    ``rule`` is the rule in words, ``measures`` the distances and where they come from. ``note``
    says, where no source met the rule, which one was taken.
    """

    target: str
    rule: str
    measures: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    note: str = ""

    @property
    def chosen(self) -> tuple[str, ...]:
        """The related languages, nearest first; never empty."""
        return tuple(candidate.language for candidate in self.candidates if candidate.chosen)


def related(
    target: str, sources: Sequence[str], rule: Rule | None = None, *, distances: Sequence[Distances] = ()
) -> Related:
    """Which of the sources are related to the target.

    Languages are BCP-47 codes or English names. ``rule`` is the paper's limits by default, and
    ``distances`` URIEL's syntactic and geographic ones. Where no source meets the rule, the nearest
    is taken. Raises :class:`LingarithError` for no sources, the target among them, and where no
    distance is known from which the nearest could be told.

    >>> related("pt", ["ar", "en", "ja", "ru"]).chosen
    ('en', 'ru', 'ar')
    """
    rule = rule or Limits()
    distances = distances or (Uriel("syntactic"), Uriel("geographic"))
    target = language(target).code
    codes = list(dict.fromkeys(language(source).code for source in sources))
    if not codes:
        raise LingarithError(f"there are no languages among which to look for relatives of {target}; name some")
    if target in codes:
        raise LingarithError(f"{target} is the target and no source of its own; leave it out of the sources")
    measured = {code: {each.name: each.between(target, code) for each in distances} for code in codes}
    ordered = dict(sorted(measured.items(), key=lambda item: [(v is None, v or 0.0) for v in item[1].values()]))
    verdicts = rule.judge(target, ordered)
    candidates = tuple(Candidate(code, ordered[code], *verdicts[code]) for code in ordered)
    made = Related(target, str(rule), tuple(map(str, distances)), candidates)
    return made if made.chosen else _with_nearest(made, distances[0].name)


def _with_nearest(made: Related, name: str) -> Related:
    first, *others = made.candidates
    distance = first.distances[name]
    if distance is None:
        raise LingarithError(
            f"no source meets '{made.rule}' for {made.target}, and no {name} distance is known by which the nearest "
            "could be taken; name the related languages yourself, or use another measure"
        )
    note = f"no source meets the rule; {first.language} is taken, the nearest by {name} ({distance:g})"
    nearest = replace(first, chosen=True, why=f"the nearest, but {first.why}")
    return replace(made, candidates=(nearest, *others), note=note)
