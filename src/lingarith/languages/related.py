"""Which languages are related to a target: by limits, the nearest few, or as the paper's Table 5 has it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Annotated, Protocol

from ..errors import LingarithError, did_you_mean
from .codes import SEEN, counterpart, language, standard
from .distances import Distances, Uriel, read_table
from .uriel import MEASURES

PRESETS = ("paper-table5",)
FROM_DATA = ("vectors", "hidden-states", "subwords")
"""The measures that are taken from a model and its data (:mod:`..study.relatedness`)."""

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
        known = counterpart(target, self.sets)
        if known is None:
            raise LingarithError(f"{self.name} has no target '{target}'{did_you_mean(target, self.sets)}")
        listed = {standard(source) for source in self.sets[known]}
        found = {source: standard(source) in listed for source in measured}
        return {source: (there, "listed" if there else "not listed") for source, there in found.items()}


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


def printed(targets: Sequence[str], sources: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What Table 5 of the paper has for these targets, by their codes; nothing if the sources are not the paper's."""
    sets = preset(PRESETS[0]).sets if set(sources) == set(SEEN) else {}
    return {target: sets[target] for target in targets if target in sets}


@dataclass(frozen=True)
class RelatedOptions:
    """The rule and the distances that somebody asks for: limits, the nearest few, or a preset.

    Raises :class:`LingarithError` for two rules at once.
    """

    syntactic: Annotated[float | None, "Take what is nearer than this; 0.7 without it."] = None
    geographic: Annotated[float | None, "And nearer than this; 0.3 without it."] = None
    either: Annotated[bool, "One of these limits is enough."] = False
    top: Annotated[int | None, "Not limits: the nearest so many by --measure."] = None
    preset: Annotated[str | None, "Not limits: `paper-table5`, what the paper prints."] = None
    measure: Annotated[
        str | None,
        "Of URIEL: syntactic, geographic, genetic, phonological, inventory, featural. From data: vectors, "
        "hidden-states, subwords. Or a column of --table.",
    ] = None
    table: Annotated[str | None, "Your own distances: CSV with source, target and measures."] = None
    individual: Annotated[bool, "What macro-languages stand for: arb for ar, not ara."] = False
    geographic_decimals: Annotated[int | None, "Round geographic distances; lang2vec gives one decimal."] = None

    def __post_init__(self) -> None:
        if sum([bool(self._limits) or self.either, self.top is not None, self.preset is not None]) > 1:
            raise LingarithError("limits, --top and --preset are different rules; give one of them")

    @property
    def rule(self) -> Rule:
        """The rule."""
        if self.top is not None:
            return Nearest(self.top)
        if self.preset is not None:
            return preset(self.preset)
        return Limits({**Limits().below, **self._limits}, self.either)

    def distances(self, from_data: Callable[[str], Distances]) -> list[Distances]:
        """The distances that the rule goes by, the first one first; ``from_data`` takes those of :data:`FROM_DATA`.

        Raises :class:`LingarithError` for an unknown measure, and one without a limit where the rule is limits.
        """
        tables = read_table(Path(self.table)) if self.table else {}
        limited = list(Limits().below)
        if self.top is None and (self.measure or (tables and not tables.keys() & set(limited))):
            raise LingarithError(
                f"there is no limit on {self.measure or ' and '.join(tables)}, only on syntactic and geographic "
                "distances; say by --top how many languages to take"
            )
        names = [self.measure] if self.measure else list(tables) if self.top and tables else limited
        return [tables[name] if name in tables else self._measured(name, tables, from_data) for name in names]

    @property
    def _limits(self) -> dict[str, float]:
        limits = {"syntactic": self.syntactic, "geographic": self.geographic}
        return {name: limit for name, limit in limits.items() if limit is not None}

    def _measured(self, name: str, tables: Mapping[str, Distances], from_data: Callable[[str], Distances]) -> Distances:
        if name in FROM_DATA:
            return from_data(name)
        if name not in MEASURES:
            known = (*tables, *MEASURES, *FROM_DATA)
            raise LingarithError(f"there is no measure '{name}'{did_you_mean(name, known)}")
        return Uriel(name, self.individual, self.geographic_decimals if name == "geographic" else None)
