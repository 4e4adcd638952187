"""What an evaluation leaves behind: JSON lines, from which every table and figure is made.

A run folder holds ``run.json`` (what was run, written first), ``examples.jsonl`` (each article
once), ``records.jsonl`` (each output), ``choices.jsonl`` (each chosen weight), ``vectors.jsonl``
(origin and cost of each vector). Lines are only ever appended. What stands after the last end of
a line was cut off by a crash: reading leaves it out and the next line takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from ..errors import LingarithError

BASELINE, ADD, ADD_SUBTRACT, UNCOUPLED = "baseline", "add", "add_subtract", "uncoupled"
EQUATIONS = {
    BASELINE: "Baseline (task vector alone)",
    ADD: "Add (Eq. 1)",
    ADD_SUBTRACT: "Add and Subtract (Eq. 2)",
    UNCOUPLED: "Uncoupled (task + β·language)",
}
"""The rows of a table, in their order, and what they are called there."""

MULTILINGUAL, ADD_ALL, ADD_RELATED = "multilingual", "add_all", "add_related"
BEST, BEST_ON_TEST, ADD_SUBTRACT_RELATED = "best", "best_on_test", "add_subtract_related"
LORA, MULTI_LORA, KRONECKER, MULTI_KRONECKER = "lora", "multi_lora", "kronecker", "multi_kronecker"
FULL = "full"
RATES, SCALED, WRONG, RANDOM = "rates", "scaled", "wrong", "random"
CONTROLS = {
    RATES: "Task-only, best learning rate",
    SCALED: "λ · task vector alone",
    WRONG: "A wrong language's vector",
    RANDOM: "A random vector of equal norm",
}
"""What gains are held against: compositions that know no more of the target than the baseline does."""
METHODS = {
    **EQUATIONS,
    BEST: "Best single source",
    BEST_ON_TEST: "Best single source, chosen on test",
    MULTILINGUAL: "Multilingual",
    ADD_ALL: "Add all (Eq. 3)",
    ADD_RELATED: "Add related (Eq. 3)",
    ADD_SUBTRACT_RELATED: "Add and Subtract related (Eq. 4)",
    LORA: "LoRA",
    MULTI_LORA: "Multilingual LoRA",
    KRONECKER: "Kronecker",
    MULTI_KRONECKER: "Multilingual Kronecker",
    FULL: "Full fine-tuning",
    **CONTROLS,
}
"""The rows of the tables of studies, and what they are called there."""


@dataclass(frozen=True)
class Example:
    """One labelled example of a target language: the article and its reference; ``alternatives`` are right too."""

    target: str
    split: str
    id: str
    input: str
    reference: str
    alternatives: tuple[str, ...] = ()
    task: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "alternatives", tuple(self.alternatives))  # JSON has no tuples


@dataclass(frozen=True)
class Record:
    """One output. ``weight`` is λ (Eq. 1, 2) or β (uncoupled), None for the baseline; ``score`` is
    ROUGE-2 (answers: F1) in 0..100; ``kind`` is target, source, other, empty or copied
    (:mod:`..scores.output`). A study has several tasks, sources of one task vector, or seeds: then
    the last three say which."""

    target: str
    split: str
    equation: str
    weight: float | None
    id: str
    output: str
    score: float
    kind: str
    task: str = ""
    source: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Choice:
    """The weight that a protocol chose for an equation and a target, and on what grounds.

    ``value`` is what the protocol maximised at each weight of ``curve`` (oracle and sources: mean
    score; unlabelled: see :mod:`.choose`); ``expression`` is the composition at the weight. In a
    study a weight can also be a learning rate (:data:`RATES`) or the place of a language among the
    run's ``sources`` (:data:`BEST`). ``seen`` says how many examples each point of the curve rests
    on, where they are not the same for all.
    """

    target: str
    equation: str
    protocol: str
    weight: float
    value: float
    expression: str
    curve: list[tuple[float, float]]
    task: str = ""
    source: str = ""
    seed: int = 0
    seen: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        # JSON has no pairs
        object.__setattr__(self, "curve", [(weight, value) for weight, value in self.curve])


@dataclass(frozen=True)
class Ingredient:
    """A vector that the run used: its name, content hash, origin, and what it cost to train."""

    name: str
    hash: str
    seconds: float
    tokens: int
    examples: int
    steps: int
    origin: dict[str, Any]


@dataclass(frozen=True)
class Grid:
    """A finished table: title, heads of columns, rows, and what stands below."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Run:
    """Everything in a run folder. ``about`` is ``run.json``: plain facts, among them task, space,
    protocol, sources, targets, backbone, score (how ROUGE-2 was tokenised, by language)."""

    about: dict[str, Any]
    examples: list[Example] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    ingredients: list[Ingredient] = field(default_factory=list)


Line = Example | Record | Choice | Ingredient
Kind = TypeVar("Kind", Example, Record, Choice, Ingredient)
FILES: dict[str, type] = {
    "examples.jsonl": Example,
    "records.jsonl": Record,
    "choices.jsonl": Choice,
    "vectors.jsonl": Ingredient,
}

TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "float | None": (int, float, type(None)),
    "list": (list,),
    "tuple": (list,),
    "dict": (dict,),
}
"""What a field can be in JSON, by its annotation."""


def append(folder: Path, lines: Iterable[Line]) -> None:
    """Add lines to the file of their type. Raises :class:`LingarithError` when that fails (disk full)."""
    texts: dict[str, list[str]] = {}
    names = {kind: name for name, kind in FILES.items()}
    for line in lines:
        texts.setdefault(names[type(line)], []).append(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    for name, rows in texts.items():
        try:
            with open(folder / name, "ab") as file:
                file.truncate((folder / name).read_bytes().rfind(b"\n") + 1)
                file.write("".join(rows).encode())
        except OSError as problem:
            raise LingarithError(
                f"cannot write {folder / name}: {problem.strerror}; what was there is kept: "
                "mend that and run the same command again"
            ) from problem


def read_lines(path: Path, kind: type[Kind], *, whole: bool = False) -> list[Kind]:
    """The lines of one file; none if it is not there yet.

    Raises :class:`LingarithError` naming file and line where a line is no JSON, lacks a field or has
    a value of another type in it; with ``whole`` also where the last line was cut off.
    """
    if not path.exists():
        return []
    found = []
    *lines, rest = path.read_bytes().split(b"\n")
    if rest and whole:
        raise LingarithError(f"{path}, line {len(lines) + 1}: cut off; run the command again that made it")
    for number, text in enumerate(lines, 1):
        if not text:
            continue
        try:
            values = json.loads(text)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise LingarithError(f"{path}, line {number}: no JSON object; delete that line and run again")
        missing = [f.name for f in fields(kind) if f.name not in values and f.default is f.default_factory is MISSING]
        if missing:
            raise LingarithError(f"{path}, line {number}: no field {missing[0]!r}; delete that line and run again")
        for f in fields(kind):
            if f.name in values and not isinstance(values[f.name], TYPES[str(f.type).split("[")[0]]):
                raise LingarithError(
                    f"{path}, line {number}: {f.name!r} is {values[f.name]!r}; delete that line and run again"
                )
        found.append(kind(**{f.name: values[f.name] for f in fields(kind) if f.name in values}))
    return found


def read_run(folder: Path, *, whole: bool = False) -> Run:
    """Everything in a run folder. Raises :class:`LingarithError` when it is none; see :func:`read_lines`."""
    try:
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        if not isinstance(about, dict):
            raise ValueError
    except (OSError, ValueError):
        raise LingarithError(
            f"{folder} is no run folder: it has no readable run.json; "
            "name one made by `lingarith adapt` or `lingarith run`"
        ) from None
    return Run(
        about,
        read_lines(folder / "examples.jsonl", Example, whole=whole),
        read_lines(folder / "records.jsonl", Record, whole=whole),
        read_lines(folder / "choices.jsonl", Choice, whole=whole),
        read_lines(folder / "vectors.jsonl", Ingredient, whole=whole),
    )
