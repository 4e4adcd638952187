"""From a study to its steps: all of them are known, and named, before the first is performed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from ..adapters.kronecker import Kronecker
from ..algebra import Combination
from ..errors import LingarithError, MissingData, did_you_mean
from ..model.options import TrainOptions
from ..scores.rouge import SentencePieceTokenizer
from . import choose, records, studies
from .actions import HELD_OUT, METRICS, QUESTIONS, SUMMARIES, Workshop, job_of, outputs_step
from .asked import Asked
from .plan import AdaptOptions, notes_on
from .recipes import TABLES, Table
from .recipes.listings import LISTINGS
from .recipes.methods import Method
from .steps import Step
from .studies import Study, as_settings

ORACLE, SOURCES, UNLABELLED = choose.PROTOCOLS
ON_TEST = "test"
"""The protocol of what is chosen on the test split, and marked so."""


@dataclass(frozen=True)
class Entry:
    """One method tested on one target: ``outputs`` is the key of a step ``outputs`` or ``test``, ``choice``
    that of the step ``choose`` before it, if any."""

    method: str
    target: str
    task: str
    source: str
    seed: int
    protocol: str
    choice: str | None
    outputs: str


@dataclass(frozen=True)
class StudyPlan:
    """The steps of a study in an order in which they can be performed, and what its table is made from.

    ``vectors`` maps names in expressions to recipe and languages of labels. ``tested`` holds the
    description of each (task, target)'s test data.
    """

    study: Study
    table: Table
    backbone: Mapping[str, Any]
    steps: Mapping[str, Step]
    entries: Sequence[Entry]
    vectors: Mapping[str, Mapping[str, Any]]
    tested: Mapping[tuple[str, str], Mapping[str, Any]]
    notes: Sequence[str]

    @property
    def identity(self) -> str:
        """Hash of all that the records depend on."""
        facts = [as_settings(self.study), sorted(self.steps)]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def plan_study(study: Study, shop: Workshop) -> StudyPlan:
    """The steps of a study. Data are read for their fingerprints; nothing is trained.

    Raises :class:`LingarithError` for an unknown table, a source that is also a target, a protocol
    that the study does not allow, and data that are not there.
    """
    if study.table not in TABLES:
        raise LingarithError(f"no table is named '{study.table}'{did_you_mean(study.table, (*TABLES, *LISTINGS))}")
    table = TABLES[study.table]
    _check(study, table)
    return Planner(study, table, shop).planned()


def readable(expression: str) -> str:
    """An expression without the recipes in its names.

    >>> readable("0.5*headlines[en]@3f2a + 0.5*news[pt]@77")
    '0.5*headlines[en] + 0.5*news[pt]'
    """
    return re.sub(r"@[0-9a-f]+", "", expression)


def _check(study: Study, table: Table) -> None:
    for task in table.tasks:
        targets = study.targets_of(task)
        if not targets:
            raise LingarithError("'question_targets' is empty; name the languages in which questions are asked")
        for target in targets:
            if target in study.sources and not table.own_labels:
                raise LingarithError(
                    f"{target} is a target and a source; its own labels would make arithmetic needless"
                )
    full = study.adapter == studies.FULL or (records.FULL in table.tried and study.full_rate)
    if full and (study.space != "delta" or study.rank_out):
        leave = "" if study.adapter == studies.FULL else ", or full_learning_rate=0 to do without"
        raise LingarithError(
            f"full fine-tuning has no factors and no rank, and sums are taken in '{study.sum_space}'; set space=delta "
            f"and no rank_out{leave}"
        )
    if study.protocol == SOURCES and len(study.sources) < 2:
        raise LingarithError("protocol 'sources' lets each source play the target and needs two; choose another")
    if study.protocol == UNLABELLED and QUESTIONS in table.tasks:
        raise LingarithError("protocol 'unlabelled' has no questions to ask of plain text; choose another")


@dataclass
class Planner:
    """Collects the steps of a study, each once, and the vectors that its recipe asks for."""

    study: Study
    table: Table
    shop: Workshop
    steps: dict[str, Step] = field(default_factory=dict)
    vectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    tested: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    """Names of vectors, by what they are trained on and how."""
    fingerprints: dict[str, dict[str, Any]] = field(default_factory=dict)
    probes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def planned(self) -> StudyPlan:
        entries = [
            entry
            for task in self.table.tasks
            for target in self.study.targets_of(task)
            for seed in self.study.seeds
            for entry in self.entries(task, target, seed)
        ]
        for entry in entries:
            held_out = self.probes.get(entry.target, {}).get("kind") == HELD_OUT
            self.notes |= dict.fromkeys(notes_on(entry.target, entry.protocol, held_out=held_out))
        notes = list(self.notes)
        return StudyPlan(self.study, self.table, self.backbone, self.steps, entries, self.vectors, self.tested, notes)

    @cached_property
    def score_model(self) -> dict[str, str] | None:
        path = self.study.score_model
        return {"path": path, "sha256": SentencePieceTokenizer(path).sha256} if path else None

    @cached_property
    def backbone(self) -> dict[str, Any]:
        about = {"name": self.study.backbone, "dtype": self.study.dtype}
        return about | {"fingerprint": self.shop.backbone(about).fingerprint}

    # ------------------------------------------------------------ a method's steps

    def entries(self, task: str, target: str, seed: int) -> Iterator[Entry]:
        v = Asked(self, task, seed)
        for method in self.table.methods(v, target, self.study.sources):
            self.tested[task, target] = self.labels(task, target, "test")
            if len(method.tried) == 1:
                (composition,) = method.tried.values()
                outputs = self.outputs(task, target, "test", composition)
                yield Entry(method.name, target, task, method.source, seed, "", None, outputs)
                continue
            for protocol in dict.fromkeys([method.by] if method.by else [self.study.protocol, ORACLE]):
                choice = self.choice(v, method, target, protocol)
                outputs = self.test(task, target, choice, method)
                yield Entry(method.name, target, task, method.source, seed, protocol, choice.key, outputs)

    def outputs(self, task: str, language: str, split: str, composition: Combination) -> str:
        data = self.labels(task, language, split)
        size = len(self.shop.labelled(data).examples)
        template = self.template(task, composition.names) | {"data": data}
        return self.add(outputs_step(template, composition, self.makers(composition.names), size)).key

    def evidence(self, language: str, composition: Combination) -> str:
        about = {"text": self.probe(language), "prompt": AdaptOptions().prompt}
        template = self.template(SUMMARIES, composition.names) | about
        return self.add(outputs_step(template, composition, self.makers(composition.names), choose.PROBE)).key

    def choice(self, v: Asked, method: Method, target: str, protocol: str) -> Step:
        """The step that chooses among a method's compositions."""
        candidates, needs = [], []
        played = self.played(v, method) if protocol == SOURCES else []
        for weight, composition in method.tried.items():
            if protocol == SOURCES:
                keys = [self.outputs(v.kind, s, "validation", like.tried[weight]) for s, like in played]
            elif protocol == UNLABELLED:
                keys = [self.evidence(target, composition)]
            else:
                split = "test" if protocol == ON_TEST else "validation"
                keys = [self.outputs(v.kind, target, split, composition)]
            candidates.append({"weight": weight, "expression": str(composition), "steps": keys})
            needs += keys
        arguments = {"method": method.name, "target": target, "protocol": protocol, "candidates": candidates}
        return self.add(Step("choose", arguments, tuple(needs)))

    def played(self, v: Asked, method: Method) -> list[tuple[str, Method]]:
        """Each source as the target of the same method from the others, where it exists."""
        found = []
        for held_out in self.study.sources:
            others = [source for source in self.study.sources if source != held_out]
            for like in self.table.methods(v, held_out, others):
                if (like.name, like.source) == (method.name, method.source):
                    found.append((held_out, like))
        return found

    def test(self, task: str, target: str, choice: Step, method: Method) -> str:
        names = {name for composition in method.tried.values() for name in composition.names}
        template = self.template(task, sorted(names)) | {"data": self.labels(task, target, "test")}
        size = len(self.shop.labelled(template["data"]).examples)
        arguments = {"choice": choice.key, "template": template}
        return self.add(Step("test", arguments, (choice.key, *self.makers(sorted(names))), size)).key

    def template(self, task: str, names: Sequence[str]) -> dict[str, Any]:
        """The arguments of ``outputs`` but for data and expression."""
        study = self.study
        longest = {"max_input": study.max_input, "max_output": study.max_output}
        decoding = replace(study.base.decoding, **{key: value for key, value in longest.items() if value})
        return {
            "backbone": self.backbone,
            "vectors": {name: {key: self.vectors[name][key] for key in ("recipe", "labels")} for name in names},
            "space": {"name": study.space, "rank": study.rank_out},
            "decoding": asdict(decoding),
            "score_model": self.score_model,
            "metric": METRICS[task],
        }

    def makers(self, names: Sequence[str]) -> tuple[str, ...]:
        """The keys of the steps that make the vectors."""
        return tuple(self.vectors[name]["step"] for name in names)

    def add(self, step: Step) -> Step:
        return self.steps.setdefault(step.key, step)

    # ------------------------------------------------------------ data and vectors

    def labels(self, task: str, language: str | Sequence[str], split: str) -> dict[str, Any]:
        return self.known(self.study.labels(task, language, split))

    def plain(self, language: str) -> dict[str, Any]:
        return self.known(self.study.plain(language))

    def probe(self, language: str) -> dict[str, Any]:
        """Plain text that no vector is trained on; where the source has no more, what they are trained on."""
        if language not in self.probes:
            try:
                self.probes[language] = self.known(self.study.plain(language) | {"kind": HELD_OUT})
            except MissingData:
                self.probes[language] = self.plain(language)
        return self.probes[language]

    def known(self, about: dict[str, Any]) -> dict[str, Any]:
        """The description with the fingerprint of what it describes."""
        key = json.dumps(about, sort_keys=True)
        if key not in self.fingerprints:
            self.fingerprints[key] = about | {"fingerprint": self.shop.data(about).fingerprint}
        return self.fingerprints[key]

    def train(self, data: dict[str, Any], options: TrainOptions, labels: Sequence[str]) -> str:
        """The name of the vector that comes out of a training."""
        facts = asdict(options) | {"adapter": options.adapter.facts}
        key = json.dumps([data, facts], sort_keys=True)
        if key not in self.trained:
            job, model = job_of({"data": data, "options": facts}, self.shop), self.shop.backbone(self.backbone)
            if isinstance(options.adapter, Kronecker):
                options.adapter.check(model.shapes)
            recipe = job.recipe(model)
            arguments = {"backbone": self.backbone, "data": data, "options": facts, "recipe": recipe}
            step = self.add(Step("train", arguments, amount=options.steps))
            self.trained[key] = self.name(job.name, recipe, labels, step)
        return self.trained[key]

    def name(self, name: str, recipe: str, labels: Sequence[str], step: Step) -> str:
        full = f"{name}@{recipe[:12]}"
        self.vectors[full] = {"recipe": recipe, "labels": list(labels), "step": step.key}
        return full
