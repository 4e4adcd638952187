"""A study: a table or figure of the paper, or an adaptation, as keys and values.

A study comes from a TOML file with a profile for each place where it runs, from flags, or from both. The file's own
keys hold for all profiles; a table such as ``[newsroom]`` or ``[paper]`` overrides them. The keys are the fields of
:data:`GROUPS`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from .. import plain
from ..errors import LingarithError, did_you_mean
from ..languages.codes import SEEN, UNSEEN
from ..model.options import ATTENTION, Decoding, TrainOptions
from ..newsroom import NEWSROOM
from ..text.sources import TAGS, TOKENS
from ..text.tasks import Task, task_of
from . import options as o
from . import weights as w
from .records import UNCOUPLED

ADAPT = "adapt"
"""The recipe of ``lingarith adapt``; the others are tables and figures of the paper."""
HALF_TEXT = re.compile("(?<!\\\\)\\\\u0000|[\ud800-\udfff]")
"""What is no text in JSON that keeps its letters: NUL, which ends names of files, and halves of characters."""
SETS = {"seen": SEEN, "unseen": UNSEEN}
GROUPS: Mapping[str, type] = {
    "languages": o.LanguageOptions,
    "data": o.DataOptions,
    "backbone": o.BackboneOptions,
    "vectors": o.VectorOptions,
    "training": TrainOptions,
    "sums": o.SumOptions,
    "choice": o.ChoiceOptions,
    "writing": Decoding,
}
"""Which options there are, in the order in which help and docs show them."""
NAMED_TASK, READ_TASK = ":named", ":likelihood"
"""Behind the name of a task: the same under a prompt that names the language, or judged by how likely a composition
finds the references."""
USUAL: Mapping[str, Any] = {
    "projections": ATTENTION,
    "freeze_a": False,
    "merging": None,
    "few_steps": o.FEW_STEPS,
    "named_prompt": None,
    "retention": False,
    "variants": (),
}
"""Keys that there were not always: what runs say that are older."""
NO_KEYS = ("adapter", "seed", "init_seed")
"""Fields of :class:`TrainOptions` that the options of vectors set."""


@dataclass(frozen=True)
class Labels:
    """A task of a study: what is asked, where its labelled data are, and of which targets."""

    task: Task
    source: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """What is to be found out, from which data, how. Made by :func:`study_of` or :func:`read_study`.

    ``task_training`` and ``language_training`` are those of the task and language vectors, but for seeds and adapter.
    """

    name: str
    table: str
    keys: Mapping[str, Any]
    """What was given, as plain values: with it :func:`study_of` makes the same study anywhere."""
    tasks: Mapping[str, Labels]
    languages: o.LanguageOptions = field(default_factory=o.LanguageOptions)
    data: o.DataOptions = field(default_factory=o.DataOptions)
    backbone: o.BackboneOptions = field(default_factory=o.BackboneOptions)
    vectors: o.VectorOptions = field(default_factory=o.VectorOptions)
    task_training: TrainOptions = field(default_factory=TrainOptions)
    language_training: TrainOptions = field(default_factory=TrainOptions)
    sums: o.SumOptions = field(default_factory=o.SumOptions)
    choice: o.ChoiceOptions = field(default_factory=o.ChoiceOptions)
    writing: Decoding = field(default_factory=Decoding)

    @property
    def only_task(self) -> str:
        """The name of the one task. Raises :class:`LingarithError` where there are several."""
        if len(self.tasks) > 1:
            raise LingarithError(f"one task at a time, and not {' and '.join(self.tasks)}; name one by --task")
        return next(iter(self.tasks))

    def training(
        self,
        seed: int,
        *,
        labels: bool,
        rate: float | None = None,
        kind: str = "",
        projections: str = "",
        start: int | None = None,
    ) -> TrainOptions:
        """How a vector is trained: on labels, or on plain text; with another learning rate or adapter, if given.

        ``start`` is the seed whose factors it begins with, if another.
        """
        base, kind = self.task_training if labels else self.language_training, kind or self.vectors.kind
        if rate is None:
            # What is said of adapters does for full fine-tuning only where nothing else is trained.
            usual = kind != o.FULL or (self.vectors.kind == o.FULL and "learning_rate" in self.keys)
            rate = base.learning_rate if usual else self.full_rate or base.learning_rate
        usual_start = seed if start is None else start
        begun = usual_start if self.vectors.init_seed is None else self.vectors.init_seed
        where = ATTENTION if kind == o.FULL else projections or base.projections
        adapter = self.vectors.of(kind)
        return replace(
            base, learning_rate=rate, adapter=adapter, projections=where, seed=seed, init_seed=begun,
            freeze_a=base.freeze_a and kind == o.LORA,
        )  # fmt: skip

    def varied(self, variant: str) -> Study:
        """The study with other keys, as ``rank=1`` or ``adapter=lora rank=1`` says them; itself where nothing is said.

        Raises :class:`LingarithError` as :func:`study_of` does.
        """
        changes = dict(map(_change, variant.split()))
        without = ("adapter", "rank", "alpha") if "kronecker" in changes else ()
        kept = {key: value for key, value in self.keys.items() if key not in without}
        return study_of(self.name, self.table, kept | changes, "variants") if changes else self

    @property
    def full_rate(self) -> float:
        """The learning rate of full fine-tuning, which takes less than an adapter; 0 where it is not wanted.

        On the newsroom it is the best of 1e-4, 3e-4, 1e-3 and 3e-3, by the loss on validation labels of Japanese.
        """
        usual = 1e-3 if self.backbone.backbone == NEWSROOM else 1e-4
        return usual if self.vectors.full_learning_rate is None else self.vectors.full_learning_rate

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates of the control without arithmetic, the study's own among them."""
        return tuple(sorted({*self.choice.learning_rates, self.task_training.learning_rate}))

    def weights_of(self, method: str) -> tuple[float, ...]:
        """The weights that are tried for a method, sorted, with the one that is the task vector alone."""
        given = self.choice.betas if method == UNCOUPLED else self.choice.weights
        neutral = w.neutral(method)
        return tuple(sorted({*given, neutral})) if given else w.grid(method, self.sums.space)

    def settings(self) -> dict[str, Any]:
        """Every key with its value, as plain JSON, for records."""
        keys: dict[str, Any] = {}
        for name, group in GROUPS.items():
            options = self.task_training if name == "training" else getattr(self, name)
            keys = {key: getattr(options, key) for key in keys_of(group)} | keys
        keys = {key: value for key, value in keys.items() if key not in USUAL or value != USUAL[key]}
        keys |= {
            "tasks": [
                asdict(labels.task) | {"source": labels.source, "targets": labels.targets}
                for labels in self.tasks.values()
            ],
            "language_steps": self.language_training.steps,
            "language_learning_rate": self.language_training.learning_rate,
        }
        plain_keys: dict[str, Any] = json.loads(json.dumps(keys, default=str))
        return plain_keys


def naming(task: Task, prompt: str | None) -> Task:
    """The task under a prompt that names the language: the one that is given, or its own with a sentence before it."""
    if "{language_name}" in task.prompt or "{language}" in task.prompt:
        raise LingarithError(f"the prompt {task.prompt!r} names the language already; leave 'named' out of 'controls'")
    sentence = "Answer in {language_name}." if task.writes == "target" else "The text is in {language_name}."
    names = {source: f"{name}_named" for source, name in task.vectors.items()}
    return replace(task, prompt=prompt or f"{sentence} {task.prompt}", name=f"{task.name}_named", vectors=names)


@cache
def keys_of(group: type) -> Mapping[str, Any]:
    """The keys of a group with their types, each ``Annotated`` with its help."""
    hints = get_type_hints(group, include_extras=True)
    return {f.name: hints[f.name] for f in fields(group) if group is not TrainOptions or f.name not in NO_KEYS}


KEYS: dict[str, Any] = {key: plain.hints_of(group)[key] for group in GROUPS.values() for key in keys_of(group)}
"""The type of every key."""
IN_FILES = (*KEYS, "table")
"""What a file may hold."""
IN_TASKS = ("task", "source", "targets", *plain.hints_of(Task))
"""What a table in ``tasks`` may hold."""


NEWSROOM_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "data": {"validation_limit": 64},
    "training": {"steps": 200, "batch_size": 32, "learning_rate": 3e-3, "max_input": 128, "max_target": 48},
    "language": {"steps": 100, "learning_rate": 1e-3},
    "writing": {"max_output": 40},
}
"""What the newsroom's small backbone begins with in place of the paper's numbers; ``language`` for language vectors."""


def study_of(name: str, table: str, keys: Mapping[str, Any] | None = None, where: str = "a study") -> Study:
    """The study of a table or recipe with these keys; others are as their groups or the newsroom have them.

    Raises :class:`LingarithError` for an unknown key, a value of another type or one that cannot be, and tasks that
    are not there.
    """
    given = {key: _value(key, value, where) for key, value in (keys or {}).items()}
    usual = NEWSROOM_DEFAULTS if given.get("backbone", NEWSROOM) == NEWSROOM else {}
    values = {
        name: {**usual.get(name, {}), **{key: given[key] for key in keys_of(group) if key in given}}
        for name, group in GROUPS.items()
    }
    training = values.pop("training")
    groups = {name: GROUPS[name](**options) for name, options in values.items()}
    language = dict(usual.get("language", {}))
    for key in ("steps", "learning_rate", "language_steps", "language_learning_rate"):
        if given.get(key) is not None:
            language[key.removeprefix("language_")] = given[key]
    if groups["vectors"].kind == o.FULL and training.get("projections", ATTENTION) != ATTENTION:
        raise LingarithError(
            f"{where}: 'projections' says where an adapter sits, and 'adapter' is full; leave out one of them"
        )
    if groups["vectors"].kind != o.LORA and training.get("freeze_a"):
        raise LingarithError(f"{where}: 'freeze_a' is LoRA's, and 'adapter' is another; leave out one of them")
    study = Study(
        name,
        table,
        dict(keys or {}),
        _tasks(groups["data"], groups["languages"], where),
        task_training=TrainOptions(**training),
        language_training=TrainOptions(**training | language),
        **groups,
    )
    for seed in study.vectors.seeds:  # what cannot be trained is said before data are read
        for rate in (None, *study.rates):
            for kind in o.ADAPTERS:
                study.training(seed, labels=True, rate=rate, kind=kind)
    return study


def read_study(
    which: str, profile: str = NEWSROOM, changes: Mapping[str, Any] | None = None, texts: Sequence[str] = ()
) -> Study:
    """The study of a file, or of a name such as ``table1``: those come with the package.

    ``changes`` are keys with their values, ``texts`` are ``key=value``, where the value is written as in TOML or is a
    plain word. Raises :class:`LingarithError` for a study or profile that is not there, a file that is no TOML, and as
    :func:`study_of` does.
    """
    path, content = _file(which)
    try:
        document = plain.toml_table(content)
    except ValueError as problem:
        raise LingarithError(f"{path} is no TOML ({problem}); mend that line") from None
    profiles = {key: value for key, value in document.items() if isinstance(value, dict)}
    if profile not in profiles:
        raise LingarithError(f"{path} has no profile '{profile}'{did_you_mean(profile, profiles)}")
    common = {key: value for key, value in document.items() if key not in profiles}
    for keys in (common, *profiles.values()):
        for key in keys:
            _known(key, path, IN_FILES)
    typed = dict(map(_change, texts)) | dict(changes or {})
    keys = common | profiles[profile] | typed
    table = keys.pop("table", "")
    if keys.get("adapter") == o.LORA and typed.keys() & {"kronecker", "adapter"} == {"kronecker"} and table != "table6":
        raise LingarithError(
            f"{path} trains LoRA, of which Kronecker sizes change nothing; say --adapter kronecker too"
        )
    if not isinstance(table, str) or not table:
        raise LingarithError(f"{path}: 'table' must name what is made, such as table1; see docs/data.md")
    return study_of(Path(path).stem, table, keys, path)


def _file(which: str) -> tuple[str, str]:
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


def _known(key: str, where: str, known: Iterable[str] = KEYS, what: str = "a study has") -> None:
    if key not in known:
        raise LingarithError(f"{where}: {what} no key '{key}'{did_you_mean(key, known)}")


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise LingarithError(f"--set takes key=value, and '{text}' has no '='")
    _known(key.strip(), "--set", IN_FILES)
    if value.strip() == "nan":
        return key.strip(), "nan"  # Min Nan Chinese, where TOML has a number
    for written in (value, f"[{value}]"):
        with suppress(ValueError):
            return key.strip(), plain.toml_table(f"value = {written}")["value"]
    return key.strip(), value.strip()


def _value(key: str, value: Any, where: str) -> Any:
    """A value as the field has it; texts may list what is several: ``pt,yo``, ``32x16``, ``unseen``."""
    _known(key, where)
    if HALF_TEXT.search(json.dumps(value, ensure_ascii=False, default=str)):
        raise LingarithError(f"{where}: '{key}' holds a NUL or half a character, which are no text; write it again")
    kind = KEYS[key]
    several = tuple in (get_origin(kind), *map(get_origin, get_args(kind)))
    if several and isinstance(value, str):
        listed = value.replace("×", "x").replace("x", ",") if key in ("kronecker", "kronecker_out") else value
        value = list(SETS.get(value, [part.strip() for part in listed.split(",") if part.strip()]))
        if key in ("seeds", "weights", "betas", "learning_rates", "kronecker", "kronecker_out"):
            value = [_number(part) for part in value]
    elif several and not isinstance(value, list | tuple) and value is not None:
        value = [value]
    return plain.value(kind, value, f"{where}: '{key}'")


def _number(text: str) -> Any:
    for kind in (int, float):
        with suppress(ValueError):
            return kind(text)
    return text


def _tasks(data: o.DataOptions, languages: o.LanguageOptions, where: str) -> dict[str, Labels]:
    """The tasks of a study by their names."""
    tasks: dict[str, Labels] = {}
    said = f"{where}: 'tasks'"
    for entry in data.tasks:
        if not isinstance(entry, str | Mapping):
            raise LingarithError(f"{said} holds {entry!r}; write the name of a task, a TOML file, or a table of keys")
        keys = {"task": entry} if isinstance(entry, str) else dict(entry)
        for key in keys:
            _known(key, said, IN_TASKS, "a task has")
        source = plain.value(str, keys.pop("source", data.labels), f"{said}: 'source'")
        targets = _value("targets", keys.pop("targets", languages.targets), said)
        base = asdict(task_of(plain.value(str, keys.pop("task"), f"{said}: 'task'"))) if "task" in keys else {}
        if "prompt" in keys:
            base["decoder_prompt"] = ""
        task = plain.record(Task, base | keys, said)
        if data.prompt is not None:
            task = replace(task, prompt=data.prompt, decoder_prompt="")
        o.must_name("targets", targets)
        if task.name in tasks:
            raise LingarithError(f"{where}: the task '{task.name}' stands twice in 'tasks'; name it once")
        tasks[task.name] = Labels(task, source, targets)
    if not tasks:
        raise LingarithError(f"{where}: 'tasks' is empty; name at least one, such as summaries")
    known = {*(name for labels in tasks.values() for name in labels.task.columns), TOKENS, TAGS}
    for name in data.columns:
        if name not in known:
            raise LingarithError(
                f"{where}: no task has a field '{name}', which 'fields' renames{did_you_mean(name, known)}"
            )
    return tasks
