"""What an evaluation leaves behind: JSON lines, from which every table and figure is made.

A run folder holds ``run.json`` (what was run, written first), ``examples.jsonl`` (each article
once), ``records.jsonl`` (each output), ``choices.jsonl`` (each chosen weight), ``vectors.jsonl``
(origin and cost of each vector). Lines are only ever appended. What stands after the last end of
a line was cut off by a crash: reading leaves it out and the next line takes its place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .. import plain
from ..disk import lines
from ..disk.files import inside, listed, read_json, write_atomically
from ..disk.locks import alone
from ..disk.temporary import TEMPORARY, sweep
from ..errors import LingarithError

BASELINE, ADD, ADD_SUBTRACT, UNCOUPLED = "baseline", "add", "add_subtract", "uncoupled"
MULTILINGUAL, ADD_ALL, ADD_RELATED = "multilingual", "add_all", "add_related"
BEST, BEST_ON_TEST, ADD_SUBTRACT_RELATED = "best", "best_on_test", "add_subtract_related"
LORA, MULTI_LORA, KRONECKER, MULTI_KRONECKER = "lora", "multi_lora", "kronecker", "multi_kronecker"
FULL = "full"
RATES, SCALED, WRONG, RANDOM = "rates", "scaled", "wrong", "random"
MERGED = ("keepnorm", "layers", "lines", "project", "wudi", "tsv", "iso", "ties", "dare")
"""Eq. 2 (4) merged otherwise than by the sum, each with its default parameters (:mod:`..adapters.merging`)."""
EQUATIONS = (BASELINE, ADD, ADD_SUBTRACT, UNCOUPLED)
"""What an adaptation compares, in the order of its table."""
CONTROLS = (RATES, SCALED, WRONG, RANDOM)
"""What gains are held against: compositions that know no more of the target than the baseline does."""
JOINT, NAMED, AVERAGED, LINEAR = BASELINES = ("joint", "named", "averaged", "linear")
"""What else a study may name among its controls (:mod:`.baselines`), beside ``few:k``: k labels of the target."""
FEW = "few:"
RETENTION = "retention"
"""The split of records about a source's own test data, which ``source`` names."""


class Name(NamedTuple):
    """What a method is called: in full, in a sentence or a row, and at the head of a column."""

    full: str
    short: str
    brief: str


METHODS = {
    BASELINE: Name("Baseline (task vector alone)", "Baseline", "Baseline"),
    ADD: Name("Add (Eq. 1)", "Add", "Add"),
    ADD_SUBTRACT: Name("Add and Subtract (Eq. 2)", "Add and Subtract", "Add−Sub"),
    UNCOUPLED: Name("Uncoupled (task + β·language)", "Uncoupled", "Uncoupled"),
    BEST: Name("Best single source", "Best source", "Best"),
    BEST_ON_TEST: Name("Best single source, chosen on test", "Best source, on test", "Best†"),
    MULTILINGUAL: Name("Multilingual", "Multilingual", "Multi"),
    ADD_ALL: Name("Add all (Eq. 3)", "Add all", "All"),
    ADD_RELATED: Name("Add related (Eq. 3)", "Add related", "Related"),
    ADD_SUBTRACT_RELATED: Name("Add and Subtract related (Eq. 4)", "Add and Subtract related", "Rel−Sub"),
    LORA: Name("LoRA", "LoRA", "LoRA"),
    MULTI_LORA: Name("Multilingual LoRA", "Multilingual LoRA", "M-LoRA"),
    KRONECKER: Name("Kronecker", "Kronecker", "Kron"),
    MULTI_KRONECKER: Name("Multilingual Kronecker", "Multilingual Kronecker", "M-Kron"),
    FULL: Name("Full fine-tuning", "Full fine-tuning", "Full"),
    RATES: Name("Task-only, best learning rate", "Best learning rate", "Rates"),
    SCALED: Name("λ · task vector alone", "λ · task alone", "λ·task"),
    WRONG: Name("A wrong language's vector", "Wrong language", "Wrong"),
    RANDOM: Name("A random vector of equal norm", "Random vector", "Random"),
    **{name: Name(f"Add and Subtract by {name}", f"By {name}", name) for name in MERGED},
    JOINT: Name("Labels and plain text in one adapter", "Joint training", "Joint"),
    NAMED: Name("Task-only, the prompt names the language", "Named in prompt", "Named"),
    AVERAGED: Name("Task-only, runs of several seeds averaged", "Seeds averaged", "Averaged"),
    LINEAR: Name("Task-only, on all linear layers", "All linear layers", "Linear"),
}
"""The rows of all tables, and what they are called there; ``few:k`` has a name for each k."""


def shots(method: str) -> int:
    """How many labels of the target a method takes: k of ``few:k``, which is 1 or more; 0 for all others.

    >>> shots("few:16"), shots("few:0"), shots("few:x"), shots("joint")
    (16, 0, 0, 0)
    """
    count = method.removeprefix(FEW)
    return int(count) if count != method and count.isascii() and count.isdigit() else 0


def name_of(method: str) -> Name:
    """What a method is called at three lengths.

    >>> name_of("wrong").short, name_of("add_subtract").brief, name_of("few:16").short
    ('Wrong language', 'Add−Sub', '16 labels')
    """
    if count := shots(method):
        return Name(f"Task vector, trained on with {count} labels of the target", f"{count} labels", f"{count} labels")
    return METHODS.get(method, Name(method, method, method))


Weight = float | str
"""What a protocol chooses: λ, β or a learning rate; or a source language, by its code (:data:`BEST`)."""


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example of a target language: the article and its reference; ``alternatives`` are right too."""

    target: str
    split: str
    id: str
    input: str
    reference: str
    alternatives: tuple[str, ...] = ()
    task: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One output. ``weight`` is None for a method without one; ``score`` is in 0..100; ``kind`` is target,
    source, other, empty or copied (:mod:`..scores.output`), or nothing where the task writes labels. A study
    has several tasks, sources of one task vector, or seeds: then the last three say which."""

    target: str
    split: str
    method: str
    weight: Weight | None
    id: str
    output: str
    score: float
    kind: str
    task: str = ""
    source: str = ""
    seed: int = 0


@dataclass(frozen=True)
class Choice:
    """The weight that a protocol chose for a method and a target, and on what grounds.

    ``value`` is what the protocol maximised at each weight of ``curve`` (oracle and sources: mean
    score; unlabelled: see :mod:`.choose`); ``expression`` is the composition at the weight. ``seen``
    says how many examples each point of the curve rests on, where they are not the same for all.
    """

    target: str
    method: str
    protocol: str
    weight: Weight
    value: float
    expression: str
    curve: list[tuple[Weight, float]]
    task: str = ""
    source: str = ""
    seed: int = 0
    seen: list[int] = field(default_factory=list)


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


def adapter_folder(tasks: Collection[str], task: str, target: str) -> str:
    """What the folder of an adapter is called that a study of these tasks hands over.

    >>> adapter_folder(["topics"], "topics", "pt"), adapter_folder(["summaries", "topics"], "topics", "pt")
    ('pt', 'topics-pt')
    """
    return target if len(tasks) == 1 else f"{task}-{target}"


def dose(origin: Mapping[str, Any]) -> tuple[float, float] | None:
    """Bits per byte of held-out text of a vector's language before and after its training; None where it has no dose.

    >>> dose({"dose": {"before": 1.5, "after": 1.2}}), dose({})
    ((1.5, 1.2), None)
    """
    kept = origin.get("dose")
    before, after = (kept.get("before"), kept.get("after")) if isinstance(kept, Mapping) else (None, None)
    if isinstance(before, int | float) and isinstance(after, int | float):
        return before, after
    return None


def dose_said(origin: Mapping[str, Any]) -> str:
    """The dose of a language vector in words; empty where there is none."""
    if dose(origin) is None:
        return ""
    before, after, change = dose_texts(origin)
    return f"{before} → {after} bits per byte of held-out text of its language ({change})"


def dose_texts(origin: Mapping[str, Any]) -> list[str]:
    """Bits per byte before, after, and the difference, as tables have them; dashes where there is no dose.

    >>> dose_texts({"dose": {"before": 1.5, "after": 1.2}}), dose_texts({})
    (['1.500', '1.200', '−0.300'], ['–', '–', '–'])
    """
    pair = dose(origin)
    return [f"{one:.3f}".replace("-", "−") for one in (*pair, pair[1] - pair[0])] if pair else ["–"] * 3


DOSE_HEADS = ("Before", "After", "Change")
DOSE_CAPTION = "Dose: bits per byte of held-out text of its language, before and after the vector was trained."
NO_DOSE = "No dose is known of {}: no text was held out, or the vector is from before doses were measured. "
NO_DOSE += "Nothing is claimed of what a vector without dose brings."


@dataclass(frozen=True)
class Grid:
    """A finished table: title, heads of columns, rows, and what stands below."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str


@dataclass(frozen=True)
class Fixed:
    """A composition without a weight to choose, which therefore has no line among the choices."""

    task: str
    target: str
    method: str
    source: str
    seed: int
    expression: str


@dataclass(frozen=True)
class About:
    """``run.json``: all that the lines of a run do not say themselves.

    ``study`` holds every key of the study, flat, as TOML has it. ``tasks`` maps each task to what its
    metric is called in print, ``methods`` each method to its full name in the order of the table.
    ``reference`` is the method that all others are compared with, ``tried`` those that the verdict speaks
    of, ``against`` the controls and baselines that they have to beat. ``by_source`` says that each source
    has results of its own. ``score`` says by task and target how outputs were scored, ``data`` holds the
    fingerprint of the test data by "task/target". ``handed_over`` names the method of the adapter that was
    written for each target. A listing, which tests nothing, has a ``grid`` in place of results.
    """

    identity: str
    """Of all that the results depend on: a folder belongs to one run."""
    title: str
    table: str
    """The recipe: "adapt", "table1" …"""
    study: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    sources_of: dict[str, list[str]] = field(default_factory=dict)
    """The sources that are combined for a target, where those are not all."""
    writes: dict[str, str] = field(default_factory=dict)
    """The language of a task's right outputs, where that is not the target's: "en" of translations into English."""
    seeds: list[int] = field(default_factory=lambda: [0])
    methods: dict[str, str] = field(default_factory=dict)
    reference: str = BASELINE
    tried: list[str] = field(default_factory=list)
    against: list[str] = field(default_factory=list)
    by_source: bool = False
    fixed: list[Fixed] = field(default_factory=list)
    backbone: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    space: str = ""
    protocol: str = ""
    """Which chose the weights that are tested; ``protocols`` are all that chose any."""
    protocols: list[str] = field(default_factory=list)
    score: dict[str, dict[str, str]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries."""
    command: str = ""
    handed_over: dict[str, str] = field(default_factory=dict)
    grid: Grid | None = None


@dataclass(frozen=True)
class Run:
    """Everything in a run folder."""

    about: About
    examples: list[Example] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    ingredients: list[Ingredient] = field(default_factory=list)


LOCK = ".run"
"""What a command that writes into a run folder locks there."""
Line = Example | Record | Choice | Ingredient
Kind = TypeVar("Kind", Example, Record, Choice, Ingredient)
FILES: Mapping[type[Line], tuple[str, Callable[[Any], tuple[Any, ...]]]] = {
    Example: ("examples.jsonl", attrgetter("task", "target", "split", "id")),
    Record: ("records.jsonl", attrgetter("task", "target", "split", "method", "source", "seed", "weight", "id")),
    Choice: ("choices.jsonl", attrgetter("task", "target", "method", "source", "seed", "protocol")),
    Ingredient: ("vectors.jsonl", attrgetter("name", "hash")),
}
"""Where lines of a kind stand, and what tells them apart: a folder holds each once."""


# ---------------------------------------------------------------- read


def read_run(folder: Path, *, whole: bool = False) -> Run:
    """Everything in a run folder. Raises :class:`LingarithError` when it is none; see :func:`read_lines`."""
    mend = f"{folder} is no run folder; name one made by `lingarith adapt` or `lingarith run`"
    values = read_json(inside(folder, "run.json"), mend=mend)
    return Run(
        plain.record(About, values, str(folder / "run.json"), mend="run the command again that made it"),
        read_lines(folder, Example, whole=whole),
        read_lines(folder, Record, whole=whole),
        read_lines(folder, Choice, whole=whole),
        read_lines(folder, Ingredient, whole=whole),
    )


def read_lines(folder: Path, kind: type[Kind], *, whole: bool = False) -> list[Kind]:
    """The lines of one kind in a run folder; none if their file is not there yet.

    Raises :class:`LingarithError` naming file and line where a line is no JSON or does not fit (see
    :func:`.plain.record`); with ``whole`` also where the last line was cut off.
    """
    seen: dict[tuple[Any, ...], Kind] = {}
    mend = "delete that line and run again"
    return [
        _checked(plain.record(kind, values, where, mend=mend), seen, where, mend)
        for where, values in lines.objects(folder / FILES[kind][0], mend, whole=whole)
    ]


def _checked(line: Kind, seen: dict[tuple[Any, ...], Kind], where: str, mend: str) -> Kind:
    """The line itself. Raises :class:`LingarithError` for a score that is none, and what was said otherwise before."""
    if isinstance(line, Record):
        must_be_score(line.score, where, mend)
    if isinstance(line, Record | Example) and seen.setdefault(_key(line), line) != line:
        raise LingarithError(f"{where}: this line stood there before and said something else; {mend}")
    return line


def must_be_score(score: float, where: str, mend: str) -> None:
    """Raise :class:`LingarithError` ending in ``mend`` for a score outside of 0..100."""
    if not 0 <= score <= 100:
        raise LingarithError(f"{where}: a score of {score:g} is none, which lie in 0..100; {mend}")


# ---------------------------------------------------------------- written


def append(folder: Path, added: Iterable[Line]) -> None:
    """Add lines to the file of their kind. Raises :class:`LingarithError` when that fails (disk full)."""
    texts: dict[str, list[str]] = {}
    for line in added:
        texts.setdefault(FILES[type(line)][0], []).append(json.dumps(asdict(line), ensure_ascii=False) + "\n")
    for name, rows in texts.items():
        try:
            lines.append(folder / name, "".join(rows).encode())
        except OSError as problem:
            raise LingarithError(
                f"cannot write {folder / name}: {problem.strerror}; what was there is kept: "
                "mend that and run the same command again"
            ) from problem


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: lines are added once, and only by the run that it belongs to."""

    path: Path
    written: set[tuple[Any, ...]] = field(default_factory=set)
    """What tells apart the lines that are there."""

    def open(self, about: About) -> Run:
        """What is there already. Raises :class:`LingarithError` if it belongs to another run."""
        if (self.path / "run.json").exists():
            run = read_run(self.path)
            if run.about.identity != about.identity:
                raise LingarithError(
                    f"{self.path} holds another run (other data, options or backbone); choose another --out"
                )
            there: list[Line] = [*run.examples, *run.records, *run.choices, *run.ingredients]
            self.written.update(map(_key, there))
            return run
        self.must_be_free()
        self.close(about)
        return read_run(self.path)

    def must_be_free(self) -> None:
        """Raise :class:`LingarithError` unless a run can be there: a run is, or nothing yet."""
        if self.path.exists() and not self.path.is_dir():
            raise LingarithError(f"{self.path} is a file; choose another --out")
        names = listed(self.path)
        if "run.json" not in names and any(not name.startswith((TEMPORARY, LOCK)) for name in names):
            raise LingarithError(f"{self.path} is not empty and holds no run; choose another --out")

    @contextmanager
    def alone(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Context that one command at a time is in: of two, the second one waits, and finds all lines there.

        Raises :class:`LingarithError` as :meth:`must_be_free` does, and where nothing can be written.
        """
        self.must_be_free()
        with alone(self.path / LOCK, waiting):
            sweep(self.path)
            yield

    def close(self, about: About) -> None:
        """Write ``run.json``, whole or not at all."""
        write_atomically(self.path / "run.json", json.dumps(asdict(about), ensure_ascii=False, indent=1))

    def add(self, added: Sequence[Line]) -> None:
        """Append the lines that are not there yet."""
        new = {_key(line): line for line in added if _key(line) not in self.written}
        append(self.path, new.values())
        self.written.update(new)


def _key(line: Line) -> tuple[Any, ...]:
    return FILES[type(line)][1](line)
