"""Distances between languages: one interface, whatever they are measured by."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Protocol

from ..errors import LingarithError, did_you_mean
from . import uriel
from .codes import counterpart, language, standard

LANGUAGES = ("source", "target")
"""The columns of a table that hold languages; every other column is a measure."""
SHIPPED = "uriel.csv"


class Distances(Protocol):
    """A measure of how far languages are from each other; ``str`` says where it comes from."""

    @property
    def name(self) -> str:
        """What the measure is called: ``syntactic``, ``hidden-states``."""

    def between(self, one: str, other: str) -> float | None:
        """The distance of two languages by their BCP-47 codes, 0 or more; None where it is not known.

        Never 0 for what is missing.
        """


@dataclass(frozen=True)
class Uriel:
    """One of URIEL's measures; see :mod:`.uriel` for the formulas.

    The languages of the paper are in a table that comes with the package; others are computed if
    ``lang2vec`` is installed. ``individual`` says whose features stand for a code that means a
    macro-language (see :func:`~.codes.language`): those of the macro-language, or of the
    individual one, about which URIEL knows less. ``decimals`` rounds: lang2vec serves geographic
    distances to one decimal. Raises :class:`LingarithError` for a name that is
    none of :data:`.uriel.MEASURES`.

    >>> Uriel("syntactic").between("pt", "en")
    0.4821
    """

    name: str
    individual: bool = False
    decimals: int | None = None

    def __post_init__(self) -> None:
        if self.name not in uriel.MEASURES:
            raise LingarithError(f"URIEL has no measure '{self.name}'{did_you_mean(self.name, uriel.MEASURES)}")

    def __str__(self) -> str:
        whose = " of individual languages" if self.individual else ""
        return f"{self.name} (URIEL{whose}{'' if self.decimals is None else f', rounded to {10**-self.decimals:g}'})"

    def between(self, one: str, other: str) -> float | None:
        """See :class:`Distances`. Raises :class:`LingarithError` where lang2vec is needed and is not installed."""
        a, b = (language(code, individual=self.individual).iso639_3 for code in (one, other))
        if a == b:
            return 0.0
        if (a, b) in _shipped():
            value = _shipped()[a, b][self.name]
        elif uriel.installed():
            value = uriel.distance(self.name, a, b)
        else:
            raise LingarithError(
                f"URIEL's distance between {one} and {other} does not come with lingarith; to compute it, "
                "run pip install 'lingarith[uriel]'"
            )
        return value if value is None or self.decimals is None else round(value, self.decimals)


@cache
def _shipped() -> Mapping[tuple[str, str], Mapping[str, float | None]]:
    """The table in the package, by ISO 639-3 codes, both ways round."""
    found = {}
    content = (resources.files(__package__) / SHIPPED).read_text(encoding="utf-8")
    for row in csv.DictReader(content.splitlines()):
        a, b = (row.pop(column) for column in LANGUAGES)
        found[a, b] = found[b, a] = {name: float(value) if value else None for name, value in row.items()}
    return found


@dataclass(frozen=True)
class Table:
    """Distances known pair by pair. ``pairs`` holds each pair once, in either order; None: not known.

    ``origin`` says where they come from, for messages.
    """

    name: str
    pairs: Mapping[frozenset[str], float | None]
    origin: str

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"

    def between(self, one: str, other: str) -> float | None:
        """See :class:`Distances`. Raises :class:`LingarithError` for a pair that the table does not have."""
        pair = frozenset((one, other))
        if pair not in self.pairs:
            known = {code for pair in self.pairs for code in pair}
            pair = frozenset(counterpart(code, known) or standard(code) for code in pair)
        if len(pair) == 1:
            return 0.0
        if pair not in self.pairs:
            raise LingarithError(
                f"{self.origin} has no pair {one} and {other}; add it (with no number if that is not known), "
                "or leave one of the two out"
            )
        return self.pairs[pair]


def read_table(path: Path) -> dict[str, Table]:
    """The measures in a CSV file, by their names.

    Its first line names the columns: ``source``, ``target`` and one or more measures. A distance
    counts both ways. An empty cell, and a 0 between two languages, mean that it is not known.
    Raises :class:`LingarithError`, with the line, for what is no table, a language that is none, a
    distance that is negative or no number, and a pair with two distances.
    """
    if not path.is_file():
        raise LingarithError(f"there is no file {path}; give a CSV file with the columns source, target and a measure")
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            return _tables(path, csv.reader(file, strict=True))
        except (UnicodeDecodeError, csv.Error) as problem:
            raise LingarithError(f"{path} is no CSV file in UTF-8 ({problem}); save it as one") from problem


def _tables(path: Path, rows: Iterator[list[str]]) -> dict[str, Table]:
    columns = [name.strip() for name in next(rows, [])]
    measures = [name for name in columns if name not in LANGUAGES]
    if not measures or not set(LANGUAGES) <= set(columns) or len(set(columns)) < len(columns) or "" in columns:
        raise LingarithError(
            f"{path}, line 1: the columns are {', '.join(columns) or 'missing'}; "
            "they must be source, target and at least one measure, each once"
        )
    pairs: dict[str, dict[frozenset[str], float | None]] = {name: {} for name in measures}
    for number, cells in enumerate(rows, start=2):
        if not cells:
            continue
        where = f"{path}, line {number}"
        if len(cells) != len(columns):
            raise LingarithError(f"{where} has {len(cells)} columns where line 1 has {len(columns)}; mend that line")
        row = dict(zip(columns, map(str.strip, cells), strict=True))
        one, other = (_language(row[column], where) for column in LANGUAGES)
        for name in measures:
            value = _distance(row[name], where, name)
            if one == other:
                continue
            pair = frozenset((one, other))
            if pairs[name].get(pair, value) != value:
                raise LingarithError(
                    f"{where}: {name} of {one} and {other} is {value} here and {pairs[name][pair]} above; keep one"
                )
            pairs[name][pair] = value
    return {name: Table(name, found, str(path)) for name, found in pairs.items()}


def _language(given: str, where: str) -> str:
    try:
        return language(given).code
    except LingarithError as problem:
        raise LingarithError(f"{where}: {problem}") from None


def _distance(given: str, where: str, name: str) -> float | None:
    try:
        value = float(given or 0)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise LingarithError(
            f"{where}: {name} is {given!r}, and a distance is a number of 0 or more; leave the cell empty "
            "where it is not known"
        )
    return value or None
