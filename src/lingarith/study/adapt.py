"""The main job: from a backbone, labels in some languages and plain text to an adapter for others.

``plan`` says what is needed, ``adapt`` does it: trains what the store lacks, chooses λ, tests,
and writes an adapter for each target and a report. Each stage leaves its result in a file, so a
run that was stopped goes on, and one that is repeated has nothing left to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import language_name
from ..model.backbone import NEWSROOM, Backbone
from ..model.batches import prefix_items
from ..model.generate import Decoding
from ..model.train import TrainOptions, versions
from ..text.corpora import PlainText, plain_text
from ..text.tasks.summarisation import Labelled, TaskExample, summaries
from ..vectors.files import write_atomically
from ..vectors.formats import write_peft
from ..vectors.realise import SPACES
from ..vectors.store import Store
from ..vectors.vector import Vector
from . import choose
from .evaluate import Bench, Outcome
from .ingredients import Job, Progress, have, obtain
from .records import (
    ADD,
    ADD_SUBTRACT,
    BASELINE,
    UNCOUPLED,
    Choice,
    Example,
    Ingredient,
    Record,
    Run,
    append,
    read_run,
)

COMPOSED = (ADD, ADD_SUBTRACT, UNCOUPLED)
PROBE = 64
"""Articles of the target that the protocol ``unlabelled`` generates for, and prefixes it predicts."""


@dataclass(frozen=True)
class AdaptOptions:
    """What to adapt from what, and how."""

    task: str = NEWSROOM
    """Labelled data: ``newsroom``, ``xlsum``, or a path pattern with {language} and {split}."""
    text: str = NEWSROOM
    """Plain text: ``newsroom``, ``fineweb2``, ``mc4``, or a path pattern with {language}."""
    sources: tuple[str, ...] = ("en",)
    text_field: str = "text"
    summary_field: str = "summary"
    prompt: str = "summarize: {text}"
    space: str = "factors"
    rank: int | None = None
    protocol: str = "auto"
    """Where λ comes from: oracle, sources, unlabelled; auto takes the first that the data allow."""
    task_training: TrainOptions = field(default_factory=TrainOptions)
    language_training: TrainOptions = field(default_factory=TrainOptions)
    decoding: Decoding = field(default_factory=Decoding)
    train_limit: int | None = None
    validation_limit: int | None = 128
    test_limit: int | None = None
    text_characters: int = 2_000_000
    score_model: Path | None = None
    """A SentencePiece ``.model`` for ROUGE-2 in other languages than English."""
    seed: int = 0


@dataclass(frozen=True)
class Plan:
    """What an adaptation needs, resolved to data: nothing is trained yet.

    ``validation`` and ``test`` have the targets (and sources) that have such labels.
    """

    targets: tuple[str, ...]
    options: AdaptOptions
    protocol: str
    tasks: Mapping[str, Job]
    languages: Mapping[str, Job]
    validation: Mapping[str, Labelled]
    test: Mapping[str, Labelled]

    @property
    def jobs(self) -> list[Job]:
        """Every vector that is needed, task vectors first."""
        return [*self.tasks.values(), *self.languages.values()]

    def terms(self, target: str) -> choose.Terms:
        """The names that stand in the equations for a target."""
        sources = self.options.sources
        return choose.Terms(
            tuple(self.tasks[s].name for s in sources),
            tuple(self.languages[s].name for s in sources),
            self.languages[target].name,
        )

    def identity(self, backbone: Backbone) -> str:
        """Hash of all that the records depend on: a run folder belongs to one identity."""
        options = asdict(self.options) | {"task_training": None, "language_training": None}
        facts = {
            "targets": self.targets,
            "options": options,
            "protocol": self.protocol,
            "jobs": [job.recipe(backbone) for job in self.jobs],
            "data": {f"{d.language}/{d.split}": d.fingerprint for d in [*self.validation.values(), *self.test.values()]},
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def plan(targets: Sequence[str], options: AdaptOptions, store: Store) -> Plan:
    """Read the data and say which vectors are needed.

    Raises :class:`LingarithError` for bad data, a target that is a source, an unknown space or
    protocol, and a protocol that the data do not allow.
    """
    if not targets:
        raise LingarithError("name at least one target language, such as pt")
    if options.space not in SPACES:
        raise LingarithError(f"no space named {options.space!r}{did_you_mean(options.space, SPACES)}")
    for target in targets:
        if target in options.sources:
            raise LingarithError(f"{target} is a target and a source; its own labels would make arithmetic needless")
    for kind, names in (("target", targets), ("source", options.sources)):
        for name in names:
            if names.count(name) > 1:
                raise LingarithError(f"{kind} {name} is named twice; name it once")
    folder = store.folder / "text"

    def labelled(language: str, split: str, limit: int | None) -> Labelled:
        return summaries(
            options.task,
            language,
            split,
            text_field=options.text_field,
            summary_field=options.summary_field,
            prompt=options.prompt,
            limit=limit,
            seed=options.seed,
            folder=folder,
        )

    def optional(languages: Sequence[str], split: str, limit: int | None) -> dict[str, Labelled]:
        found = {}
        for language in languages:
            try:
                found[language] = labelled(language, split, limit)
            except MissingData:
                continue
        return found

    validation = optional([*options.sources, *targets], "validation", options.validation_limit)
    test = optional(targets, "test", options.test_limit)
    tasks = {
        source: Job(labelled(source, "train", options.train_limit), options.task_training, validation.get(source))
        for source in options.sources
    }
    languages = {
        language: Job(
            plain_text(
                options.text,
                language,
                field=options.text_field,
                limit_characters=options.text_characters,
                folder=folder,
            ),
            options.language_training,
        )
        for language in [*options.sources, *targets]
    }
    protocol = _protocol(targets, options, validation)
    return Plan(tuple(targets), options, protocol, tasks, languages, validation, test)


def adapt(
    targets: Sequence[str],
    backbone: Backbone,
    store: Store,
    out: Path,
    options: AdaptOptions | None = None,
    *,
    progress: Progress | None = None,
    command: str = "",
    notes: Sequence[str] = (),
) -> Run:
    """Adapters for the targets in ``out/<target>``, and what led to them in ``out``.

    Returns the run as its records tell it. Raises :class:`LingarithError` as :func:`plan` does,
    and if ``out`` belongs to another run.
    """
    options = options or AdaptOptions()
    what = plan(targets, options, store)
    folder = RunFolder(out, what.identity(backbone))
    about = _about(what, backbone, command, notes)
    run = folder.open(about)
    vectors: dict[str, Vector] = {}
    hashes: dict[str, str] = {}
    for job in what.jobs:
        vectors[job.name], hashes[job.name] = obtain(job, backbone, store, progress)
    bench = Bench(
        backbone, vectors, options.space, options.rank, options.decoding, options.score_model, options.sources
    )
    folder.add([_ingredient(name, hashes[name], vector) for name, vector in vectors.items()])
    handed_over = {}
    for target in targets:
        terms = what.terms(target)
        attempt = Attempt(bench, folder, terms, target, progress)
        attempt.recall(run, what)
        made = _choices(what, attempt)
        chosen = [choice for choice in made if choice.protocol == what.protocol]
        handed_over[target] = choose.hand_over(chosen) if chosen else BASELINE
        if target in what.test:
            attempt.try_out(BASELINE, None, what.test[target])
            for choice in made:
                attempt.try_out(choice.equation, choice.weight, what.test[target])
        weight = next((c.weight for c in chosen if c.equation == handed_over[target]), None)
        expression = terms.at(handed_over[target], weight)
        update = bench.update(expression)
        assert update is not None  # the task vector is always part of it
        write_peft(
            update,
            out / target,
            base_model=backbone.name,
            task_type="SEQ_2_SEQ_LM" if backbone.encoder_decoder else "CAUSAL_LM",
            origin={
                "expression": str(expression),
                "space": update.space,
                "error": update.error,
                "parents": {name: hashes[name] for name in expression.names},
                "backbone": backbone.facts,
                "prompt": options.prompt,
            },
        )
    folder.close(about | {"handed_over": handed_over})
    return read_run(out)


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run: lines are added once, and only by the run that it belongs to."""

    path: Path
    identity: str

    def open(self, about: Mapping[str, Any]) -> Run:
        """What is there already. Raises :class:`LingarithError` if it belongs to another run."""
        if (self.path / "run.json").exists():
            run = read_run(self.path)
            if run.about.get("identity") != self.identity:
                raise LingarithError(
                    f"{self.path} holds another run (other data, options or backbone); choose another --out or delete it"
                )
            return run
        if self.path.exists() and any(self.path.iterdir()):
            raise LingarithError(f"{self.path} is not empty and holds no run; choose another --out")
        self.path.mkdir(parents=True, exist_ok=True)
        self.close(about)
        return read_run(self.path)

    def close(self, about: Mapping[str, Any]) -> None:
        """Write ``run.json``, whole or not at all."""
        text = json.dumps({**about, "identity": self.identity}, ensure_ascii=False, indent=1)
        write_atomically(self.path / "run.json", text)

    def add(self, lines: Sequence[Example | Record | Choice | Ingredient]) -> None:
        """Append the lines that are not there yet."""
        run = read_run(self.path)
        there = {_key(line) for line in [*run.examples, *run.records, *run.choices, *run.ingredients]}
        append(self.path, [line for line in lines if _key(line) not in there])


def _key(line: Example | Record | Choice | Ingredient) -> tuple[Any, ...]:
    match line:
        case Example():
            return (line.target, line.split, line.id)
        case Record():
            return (line.target, line.split, line.equation, line.weight, line.id)
        case Choice():
            return (line.target, line.equation, line.protocol)
        case Ingredient():
            return (line.name,)


@dataclass(frozen=True)
class Attempt:
    """Trying compositions for one target and writing down what came out."""

    bench: Bench
    folder: RunFolder
    terms: choose.Terms
    target: str
    progress: Progress | None = None

    def recall(self, run: Run, what: Plan) -> None:
        """Take outputs that the run folder already has, so that they are not made again."""
        for data in (what.validation.get(self.target), what.test.get(self.target)):
            if data is None:
                continue
            groups: dict[tuple[str, float | None], dict[str, Outcome]] = {}
            for r in run.records:
                if (r.target, r.split) == (self.target, data.split):
                    groups.setdefault((r.equation, r.weight), {})[r.id] = Outcome(r.id, r.output, r.score, r.kind)
            for (equation, weight), found in groups.items():
                if len(found) == len(data.examples):
                    key = (self.target, data.split, self.terms.at(equation, weight).key)
                    self.bench.done[key] = [found[example.id] for example in data.examples]

    def try_out(self, equation: str, weight: float | None, data: Labelled) -> None:
        """Generate, score and record one composition on labelled data of the target."""
        outcomes = self.bench.outcomes(self.terms.at(equation, weight), data, self.progress)
        self.write(equation, [(weight, outcomes)], data)

    def write(self, equation: str, tried: Sequence[tuple[float | None, Sequence[Outcome]]], data: Labelled) -> None:
        """Records of compositions of one equation, and the examples that they are about."""
        examples = [Example(self.target, data.split, e.id, e.article, e.target) for e in data.examples]
        records = [
            Record(self.target, data.split, equation, weight, o.id, o.output, o.score, o.kind)
            for weight, outcomes in tried
            for o in outcomes
        ]
        self.folder.add([*examples, *records])

    def curve(self, equation: str, data: Labelled) -> choose.Curve:
        """The oracle's curve of an equation, with every output of it recorded."""
        curve = choose.oracle(self.bench, self.terms, equation, data, self.progress)
        tried = [(w, self.bench.outcomes(self.terms.at(equation, w), data)) for w, _ in curve]
        self.write(equation, tried, data)
        return curve


def _choices(what: Plan, attempt: Attempt) -> list[Choice]:
    """The chosen weights: by the run's protocol, and by the oracle beside it where labels allow."""
    options, target, bench = what.options, attempt.target, attempt.bench
    curves: dict[str, dict[str, choose.Curve]] = {}
    if target in what.validation:
        curves["oracle"] = {e: attempt.curve(e, what.validation[target]) for e in COMPOSED}
    if what.protocol == "sources":
        held_out = [what.validation[s] for s in options.sources]
        curves["sources"] = {
            e: choose.sources(bench, attempt.terms, options.sources, e, held_out, attempt.progress) for e in COMPOSED
        }
    if what.protocol == "unlabelled":
        text = what.languages[target].data
        assert isinstance(text, PlainText)
        probe = prefix_items(bench.backbone, text, length=options.language_training.max_input)
        curves["unlabelled"] = {
            e: choose.unlabelled(
                bench, attempt.terms, e, probe_articles(text, options.prompt), probe, options.language_training, attempt.progress
            )
            for e in COMPOSED
        }
    made = [c for protocol, found in curves.items() for c in choose.choices(target, attempt.terms, protocol, found)]
    attempt.folder.add(made)
    return made


def probe_articles(text: PlainText, prompt: str) -> Labelled:
    """Documents of plain text as articles without references, for the protocol ``unlabelled``."""
    documents = text.documents[:: max(1, len(text.documents) // PROBE)][:PROBE]
    examples = tuple(
        TaskExample(id=f"probe-{k}", input=prompt.format(text=document), target="", article=document)
        for k, document in enumerate(documents)
    )
    return Labelled(
        task="probe", language=text.language, split="unlabelled", source=text.source, examples=examples, fingerprint=text.fingerprint
    )


def _protocol(targets: Sequence[str], options: AdaptOptions, validation: Mapping[str, Labelled]) -> str:
    wanted = options.protocol
    if wanted not in ("auto", *choose.PROTOCOLS):
        raise LingarithError(f"no protocol named {wanted!r}{did_you_mean(wanted, choose.PROTOCOLS)}")
    lacking = [target for target in targets if target not in validation]
    unvalidated = [source for source in options.sources if source not in validation]
    if wanted == "oracle" and lacking:
        raise LingarithError(f"protocol 'oracle' needs labelled validation data of {lacking[0]}; choose 'unlabelled'")
    if wanted == "sources" and (unvalidated or len(options.sources) < 2):
        raise LingarithError(
            "protocol 'sources' needs two or more sources with labelled validation data; choose 'oracle' or 'unlabelled'"
        )
    if wanted != "auto":
        return wanted
    if not lacking:
        return "oracle"
    return "sources" if len(options.sources) > 1 and not unvalidated else "unlabelled"


def _ingredient(name: str, digest: str, vector: Vector) -> Ingredient:
    cost = vector.origin.get("cost", {})
    return Ingredient(
        name=name,
        hash=digest,
        seconds=cost.get("seconds", 0.0),
        tokens=cost.get("tokens", 0),
        examples=cost.get("examples", 0),
        steps=vector.origin.get("steps", 0),
        origin=dict(vector.origin),
    )


def _about(what: Plan, backbone: Backbone, command: str, notes: Sequence[str]) -> dict[str, Any]:
    options = what.options
    bench = Bench(backbone, {}, options.space, score_model=options.score_model)
    names = ", ".join(language_name(target) for target in what.targets)
    return {
        "title": f"Summaries in {names} from labels in {', '.join(language_name(s) for s in options.sources)}",
        "task": options.task,
        "text": options.text,
        "prompt": options.prompt,
        "backbone": backbone.facts,
        "adapter": {"kind": "lora", "rank": options.task_training.rank},
        "space": options.space if options.rank is None else f"{options.space}, rank {options.rank}",
        "protocol": what.protocol,
        "protocols": sorted({what.protocol, *(["oracle"] if what.validation.keys() & set(what.targets) else [])}),
        "sources": list(options.sources),
        "targets": list(what.targets),
        "score": {target: bench.scoring(target) for target in what.targets},
        "training": {"task": asdict(options.task_training), "language": asdict(options.language_training)},
        "decoding": asdict(options.decoding),
        "seed": options.seed,
        "notes": list(notes),
        "made": versions(),
        "command": command,
        "handed_over": {},
    }


def missing(what: Plan, backbone: Backbone, store: Store) -> list[Job]:
    """The jobs whose vectors the store does not have."""
    return [job for job in what.jobs if not have(job, backbone, store)]
