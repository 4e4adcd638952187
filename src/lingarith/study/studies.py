"""A study: a table or figure of the paper as a TOML file, with a profile for each place where it runs.

The file's own keys hold for all profiles; a table such as ``[newsroom]`` or ``[paper]`` overrides
them. The keys are the fields of :class:`Study`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from ..adapters.dense import Full
from ..adapters.kronecker import Kronecker
from ..adapters.lora import Lora
from ..errors import LingarithError, did_you_mean
from ..languages.codes import SEEN, UNSEEN
from ..languages.related import PRESETS
from ..model.backbone import NEWSROOM
from ..model.options import Adapter, TrainOptions
from ..vectors.realise import Space
from . import choose
from .actions import QUESTIONS, TEXT
from .plan import AdaptOptions, defaults, full_learning_rate, is_path
from .records import CONTROLS, UNCOUPLED

LORA, KRONECKER, FULL = "lora", "kronecker", "full"
ADAPTERS = (LORA, KRONECKER, FULL)
LIMITS = "uriel"
"""For ``related``: the paper's limits on URIEL's distances."""
SETS = {"seen": SEEN, "unseen": UNSEEN}


@dataclass(frozen=True)
class Study:
    """What a table or figure is made from. What is None is as :func:`.plan.defaults` has it."""

    name: str
    table: str = ""
    """Which of :data:`.recipes.RECIPES` it is."""
    backbone: str = NEWSROOM
    dtype: str = "auto"
    task: str = NEWSROOM
    """Labelled summaries: a name or a path pattern."""
    questions: str = NEWSROOM
    """Questions with their answers, where the table has them."""
    text: str = NEWSROOM
    sources: tuple[str, ...] = ("en",)
    targets: tuple[str, ...] = UNSEEN
    question_targets: tuple[str, ...] = ()
    """The targets of the questions."""
    adapter: str = LORA
    """``lora``, ``kronecker``, or ``full``: no adapter, all of the backbone (in ``delta`` alone)."""
    rank: int = 4
    kronecker: tuple[int, ...] = (32, 16)
    """(m, n)."""
    steps: int | None = None
    language_steps: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    language_learning_rate: float | None = None
    full_learning_rate: float | None = None
    """Of full fine-tuning; 0 leaves its row out of Table 6."""
    learning_rates: tuple[float, ...] = ()
    """What is tried beside ``learning_rate`` for the control that has no arithmetic."""
    max_input: int | None = None
    max_target: int | None = None
    max_output: int | None = None
    space: str = "factors"
    rank_out: int | None = None
    """In ``delta``: what sums are cut to."""
    protocol: str = "oracle"
    weights: tuple[float, ...] = ()
    """The λ that are tried; without any, :func:`.choose.grid`."""
    betas: tuple[float, ...] = ()
    """The β that are tried, likewise."""
    controls: tuple[str, ...] = tuple(CONTROLS)
    related: str = PRESETS[0]
    """Which sources are related to a target: a printed table, or ``uriel``."""
    seeds: tuple[int, ...] = (0,)
    """Of order and initialisation; each is a study of its own on the same data."""
    characters: int = 2_000_000
    train_limit: int | None = None
    validation_limit: int | None = 128
    test_limit: int | None = None
    text_field: str = "text"
    """Of labelled data."""
    plain_field: str = "text"
    """Of plain text."""
    summary_field: str = "summary"
    score_model: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @cached_property
    def base(self) -> AdaptOptions:
        """What holds where the study says nothing."""
        return defaults(self.backbone)

    @property
    def sum_space(self) -> Space:
        """Where sums are taken."""
        return Space(self.space, self.rank_out)

    def targets_of(self, kind: str) -> tuple[str, ...]:
        """The targets of a task: summaries or questions."""
        return self.question_targets if kind == QUESTIONS else self.targets

    def labels(self, kind: str, language: str | Sequence[str], split: str) -> dict[str, Any]:
        """The description of labelled data: summaries or questions, of one language or several."""
        limits = {"train": self.train_limit, "validation": self.validation_limit, "test": self.test_limit}
        about = {"kind": kind, "language": language, "split": split, "limit": limits[split]}
        if kind == QUESTIONS:
            return about | {"source": self.questions}
        return about | {"source": self.task, "text_field": self.text_field, "summary_field": self.summary_field}

    def plain(self, language: str) -> dict[str, Any]:
        """The description of plain text."""
        about = {"kind": TEXT, "language": language, "source": self.text, "field": self.plain_field}
        return about | {"limit_characters": self.characters}

    def weights_of(self, method: str) -> tuple[float, ...]:
        """The weights that are tried for a method, sorted, with the one that is the task vector alone."""
        given = self.betas if method == UNCOUPLED else self.weights
        neutral = choose.NEUTRAL.get(method, choose.ALONE)
        return tuple(sorted({*given, neutral})) if given else choose.grid(method, self.space)

    def trained(self, kind: str) -> Adapter:
        """The adapter of a kind: ``lora``, ``kronecker`` or ``full``."""
        if kind == FULL:
            return Full()
        return Kronecker(*self.kronecker) if kind == KRONECKER else Lora(self.rank)

    @property
    def full_rate(self) -> float:
        """The learning rate of full fine-tuning; 0 where it is not wanted."""
        return full_learning_rate(self.backbone) if self.full_learning_rate is None else self.full_learning_rate

    def training(self, seed: int, *, labels: bool, rate: float | None = None, kind: str = "") -> TrainOptions:
        """How a vector is trained: on labels, or on plain text; with another learning rate or adapter, if given."""
        base = self.base.task_training if labels else self.base.language_training
        kind = kind or self.adapter
        if rate is None:
            rate = (kind == FULL and self.full_rate) or self._rate(labels)
        own: dict[str, Any] = {
            "steps": self.steps if labels or self.language_steps is None else self.language_steps,
            "learning_rate": rate,
            "batch_size": self.batch_size,
            "max_input": self.max_input,
            "max_target": self.max_target,
        }
        given = {key: value for key, value in own.items() if value is not None}
        return replace(base, **given, adapter=self.trained(kind), seed=seed, init_seed=seed)

    def _rate(self, labels: bool) -> float | None:
        return self.learning_rate if labels or self.language_learning_rate is None else self.language_learning_rate

    def rates(self) -> tuple[float, ...]:
        """The learning rates of the control without arithmetic, the study's own among them."""
        return tuple(sorted({*self.learning_rates, self.training(0, labels=True).learning_rate}))


KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "int | None": ((int,), "a whole number"),
    "float | None": ((int, float), "a number"),
    "tuple[str, ...]": ((str,), "a list of texts"),
    "tuple[int, ...]": ((int,), "a list of whole numbers"),
    "tuple[float, ...]": ((int, float), "a list of numbers"),
}
"""What values the fields take, by their annotation, and what that is called."""
KEYS = {field.name: str(field.type) for field in fields(Study) if field.name != "name"}


def read_study(which: str, profile: str = NEWSROOM, changes: Sequence[str] = ()) -> Study:
    """The study of a file, or of a name such as ``table1``: those come with the package.

    ``changes`` are texts ``key=value``, where the value is written as in TOML or is a plain word.
    Raises :class:`LingarithError` for a study or profile that is not there, a file that is no TOML,
    an unknown key, and a value that cannot be.
    """
    path, content = _found(which)
    try:
        told = tomllib.loads(content)
    except tomllib.TOMLDecodeError as problem:
        raise LingarithError(f"{path} is no TOML ({problem}); mend that line") from None
    profiles = {key: value for key, value in told.items() if isinstance(value, dict)}
    if profile not in profiles:
        raise LingarithError(f"{path} has no profile '{profile}'{did_you_mean(profile, profiles)}")
    own = {key: value for key, value in told.items() if key not in profiles}
    for each in (own, *profiles.values()):
        for key in each:
            _known(key, str(path))
    given = own | profiles[profile] | dict(_change(text) for text in changes)
    return Study(Path(path).stem, **{key: _value(key, value) for key, value in given.items()})


def _found(which: str) -> tuple[str, str]:
    """The name and content of a study's file."""
    path = Path(which)
    if path.is_file():
        try:
            return which, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise LingarithError(f"{which} is no text in UTF-8; name a TOML file") from None
    shipped = {file.name.removesuffix(".toml"): file for file in (resources.files("lingarith") / "studies").iterdir()}
    if which in shipped:
        return f"{which}.toml", shipped[which].read_text(encoding="utf-8")
    raise LingarithError(
        f"there is no study '{which}'{did_you_mean(path.stem, shipped)}; or give the path of a TOML file"
    )


def _known(key: str, where: str) -> None:
    if key not in KEYS:
        raise LingarithError(f"{where}: a study has no key '{key}'{did_you_mean(key, KEYS)}")


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise LingarithError(f"--set takes key=value, and '{text}' has no '='")
    _known(key.strip(), "--set")
    for written in (value, f"[{value}]"):
        with suppress(tomllib.TOMLDecodeError):
            return key.strip(), tomllib.loads(f"value = {written}")["value"]
    return key.strip(), value.strip()


def _value(key: str, value: Any) -> Any:
    """A value as the field has it. Raises :class:`LingarithError` for one of another type."""
    kinds, what = KINDS[KEYS[key]]
    several = KEYS[key].startswith("tuple")
    if several and isinstance(value, str):
        value = list(SETS.get(value, value.split(",")))
    values = value if several and isinstance(value, list) else [value]
    if not all(isinstance(one, kinds) and not isinstance(one, bool) for one in values):
        raise LingarithError(f"'{key}' is {value!r}; it must be {what}")
    if float in kinds:
        values = [float(one) for one in values]
    return tuple(values) if several else values[0]


def _check(study: Study) -> None:
    """Raise :class:`LingarithError` for what is wrong whatever the data are."""
    _ = study.sum_space
    for key, known in (("adapter", ADAPTERS), ("protocol", choose.PROTOCOLS), ("related", (*PRESETS, LIMITS))):
        if getattr(study, key) not in known:
            raise LingarithError(f"no {key} is named '{getattr(study, key)}'{did_you_mean(getattr(study, key), known)}")
    for control in study.controls:
        if control not in CONTROLS:
            raise LingarithError(f"no control is named '{control}'{did_you_mean(control, CONTROLS)}")
    for key in ("sources", "targets", "seeds"):
        values = getattr(study, key)
        if not values:
            raise LingarithError(f"'{key}' is empty; name at least one")
    for key in ("sources", "targets", "question_targets", "seeds"):
        values = getattr(study, key)
        for value in values:
            if values.count(value) > 1:
                raise LingarithError(f"{value} stands twice in '{key}'; name it once")
    for weight in study.weights:
        if not 0 <= weight <= 1:
            raise LingarithError(f"λ = {weight:g} stands in 'weights'; it must lie in 0..1")
    for beta in study.betas:
        if not 0 <= beta < float("inf"):
            raise LingarithError(f"β = {beta:g} stands in 'betas'; it must be a finite number of at least 0")
    if len(study.kronecker) != 2:
        raise LingarithError(f"'kronecker' is {list(study.kronecker)}; give m and n, such as [32, 16]")
    study.training(0, labels=False)
    for rate in (None, *study.learning_rates):
        for kind in ADAPTERS:
            study.training(0, labels=True, rate=rate, kind=kind)
    for key in ("task", "questions", "text"):
        _check_pattern(key, getattr(study, key), ("language",) if key == "text" else ("language", "split"))


def _check_pattern(key: str, value: str, slots: Sequence[str]) -> None:
    for slot in slots:
        if is_path(value) and f"{{{slot}}}" not in value:
            raise LingarithError(f"'{key}' is '{value}', the same for every {slot}; put {{{slot}}} into the path")


def as_settings(study: Study) -> Mapping[str, Any]:
    """The study as plain values, for records."""
    return {field.name: getattr(study, field.name) for field in fields(study)}
