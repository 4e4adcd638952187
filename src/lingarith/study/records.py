"""What an evaluation leaves behind, from which every table and figure is made: records of outputs, choices of weights,
ingredients, and what was run. Methods have their names here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import LingarithError

BASELINE, ADD, ADD_SUBTRACT, UNCOUPLED = "baseline", "add", "add_subtract", "uncoupled"
MULTILINGUAL, ADD_ALL, ADD_RELATED = "multilingual", "add_all", "add_related"
BEST, BEST_ON_TEST, ADD_SUBTRACT_RELATED = "best", "best_on_test", "add_subtract_related"
LORA, MULTI_LORA, KRONECKER, MULTI_KRONECKER = "lora", "multi_lora", "kronecker", "multi_kronecker"
FULL = "full"
RATES, SCALED, WRONG, RANDOM = "rates", "scaled", "wrong", "random"
MERGED = ("keepnorm", "layers", "lines", "project", "wudi", "regmean", "tsv", "iso", "ties", "dare")
"""Eq. 2 (4) merged otherwise than by the sum, each with its default parameters (:mod:`..adapters.merging`)."""
EQUATIONS = (BASELINE, ADD, ADD_SUBTRACT, UNCOUPLED)
"""What an adaptation compares, in the order of its table."""
CONTROLS = (RATES, SCALED, WRONG, RANDOM)
"""What gains are held against: compositions that know no more of the target than the baseline does."""
JOINT, NAMED, AVERAGED, LINEAR = BASELINES = ("joint", "named", "averaged", "linear")
"""What else a study may name among its controls (:mod:`.baselines`), beside ``few:k``: k labels of the target."""
SUBTRACT, SUBTRACT_OTHER, LANGUAGE, BEST_PAIR = "subtract", "subtract_other", "language", "best_pair"
NEAREST, DRAWN = "nearest", "drawn"
"""Before ``:L``: the average over so many sources (Eq. 3); with a ``+``, which follows, Eq. 4 over them."""
FEW = "few:"
FROZEN, TASK_ON, LANGUAGE_ON = " frozen", "task on language", "language on task"
"""Of vectors that are made to be added: behind a kind whose A is frozen, and what was trained on top of what."""
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
    SUBTRACT: Name("λ · task − (1 − λ) · source language", "Subtract alone", "−S"),
    SUBTRACT_OTHER: Name("Eq. 2, subtracting another source's language", "Subtract another", "Other−S"),
    LANGUAGE: Name("Language term alone, no task vector", "Language alone", "T−S"),
    BEST_PAIR: Name("Best two sources, chosen on test", "Best pair, on test", "Pair†"),
}
"""The rows of all tables, and what they are called there; ``few:k`` has a name for each k."""


def shots(method: str) -> int:
    """How many labels of the target a method takes: k of ``few:k``, which is 1 or more; 0 for all others.

    >>> shots("few:16"), shots("few:0"), shots("few:x"), shots("joint")
    (16, 0, 0, 0)
    """
    count = method.removeprefix(FEW)
    return int(count) if count != method and count.isascii() and count.isdigit() else 0


def counted(method: str) -> tuple[str, int, bool]:
    """What sources a method of the study ``sources`` is over, how many, and whether languages are in the sum (Eq. 4).

    The number is 0 for all other methods.

    >>> counted("nearest:4"), counted("drawn2+:8"), counted("few:16")
    (('nearest', 4, False), ('drawn2', 8, True), ('few', 0, False))
    """
    which, _, count = method.partition(":")
    known = which.startswith((NEAREST, DRAWN, SCALED)) and count.isascii() and count.isdigit()
    return which.removesuffix("+"), int(count) if known else 0, which.endswith("+")


def kind_of(adapter: Mapping[str, Any]) -> str:
    """What an adapter of these facts is called in the rows of a table.

    >>> kind_of({"kind": "lora", "rank": 4}), kind_of({"kind": "kronecker", "m": 48, "n": 32})
    ('LoRA 4', 'Kron 48×32')
    """
    kind = str(adapter["kind"])
    return {LORA: "LoRA {rank}", KRONECKER: "Kron {m}×{n}"}.get(kind, kind).format(**adapter)


def name_of(method: str) -> Name:
    """What a method is called at three lengths.

    >>> name_of("wrong").short, name_of("add_subtract").brief, name_of("few:16").short
    ('Wrong language', 'Add−Sub', '16 labels')
    """
    if count := shots(method):
        return Name(f"Task vector, trained on with {count} labels of the target", f"{count} labels", f"{count} labels")
    which, count, languages = counted(method)
    if count:
        said = METHODS[which].short if which in METHODS else which.capitalize()
        return Name(*3 * (f"{said} {count}{', Eq. 4' if languages else ''}",))
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
    says how many examples each point of the curve rests on, where they are not the same for all;
    ``error`` (0..1) what a cut or merging loses of the composition.
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
    error: float = 0.0


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
    measured: dict[str, dict[str, float]] = field(default_factory=dict)
    """What the table measures beside its records: distances of "source/target", or figures of compositions."""
    grid: Grid | None = None


@dataclass(frozen=True)
class Run:
    """Everything in a run folder."""

    about: About
    examples: list[Example] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    ingredients: list[Ingredient] = field(default_factory=list)


Line = Example | Record | Choice | Ingredient
"""A line of a run folder."""


def must_be_score(score: float, where: str, mend: str) -> None:
    """Raise :class:`LingarithError` ending in ``mend`` for a score outside of 0..100."""
    if not 0 <= score <= 100:
        raise LingarithError(f"{where}: a score of {score:g} is none, which lie in 0..100; {mend}")
