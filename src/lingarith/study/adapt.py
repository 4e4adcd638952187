"""The main job: from a backbone, labels in some languages and plain text to an adapter for others.

``plan`` says what is needed, ``adapt`` does it: trains what the store lacks, chooses λ, tests,
and writes an adapter for each target and a report. Each stage leaves its result in a file, so a
run that was stopped goes on, and one that is repeated has nothing left to do.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import LingarithError, MissingData, did_you_mean
from ..languages.codes import language_name
from ..model.backbone import NEWSROOM, Backbone
from ..model.batches import prefix_items
from ..model.generate import Decoding
from ..model.train import TrainOptions, versions
from ..scores.rouge import SentencePieceTokenizer
from ..text.corpora import PlainText, plain_text, text_name
from ..text.tasks.summarisation import Labelled, TaskExample, summaries, task_name
from ..vectors.files import TEMPORARY, write_atomically
from ..vectors.formats import write_peft
from ..vectors.realise import SPACES
from ..vectors.store import Store
from ..vectors.vector import Vector
from . import choose
from .evaluate import Bench, Outcome
from .ingredients import Job, Progress, obtain
from .records import (
    ADD,
    ADD_SUBTRACT,
    BASELINE,
    UNCOUPLED,
    Choice,
    Example,
    Ingredient,
    Line,
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


def defaults(backbone: str) -> AdaptOptions:
    """The options to begin with: the paper's for a real model, short ones for the newsroom's small one."""
    if backbone != NEWSROOM:
        return AdaptOptions()
    return AdaptOptions(
        task_training=TrainOptions(steps=200, batch_size=32, learning_rate=3e-3, max_input=128, max_target=48),
        language_training=TrainOptions(steps=100, batch_size=32, learning_rate=1e-3, max_input=128, max_target=48),
        decoding=Decoding(max_output=40),
        validation_limit=64,
    )


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
        model = self.options.score_model
        facts = {
            "targets": self.targets,
            "options": options,
            "protocol": self.protocol,
            "jobs": [job.recipe(backbone) for job in self.jobs],
            "score_model": model and SentencePieceTokenizer(model).sha256,
            "data": {
                f"{d.language}/{d.split}": d.fingerprint for d in [*self.validation.values(), *self.test.values()]
            },
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def is_path(source: str) -> bool:
    """Whether data are given as a path (pattern), not by a name such as ``xlsum`` or ``mc4@<commit>``.

    >>> is_path("summ/{language}.jsonl"), is_path("mc4@3f2a")
    (True, False)
    """
    return re.fullmatch(r"[\w-]+(@\w+)?", source) is None


@dataclass(frozen=True)
class Reading:
    """The data that options speak of; what comes from a hub is kept in ``folder``."""

    options: AdaptOptions
    folder: Path

    def labelled(self, language: str, split: str, limit: int | None) -> Labelled:
        """Labelled examples. Raises :class:`MissingData` if there are none of the language and split."""
        o = self.options
        return summaries(
            o.task, language, split, text_field=o.text_field, summary_field=o.summary_field, prompt=o.prompt,
            limit=limit, seed=o.seed, folder=self.folder,
        )  # fmt: skip

    def optional(self, languages: Sequence[str], split: str, limit: int | None) -> dict[str, Labelled]:
        """Labelled examples of those languages that have any."""
        found = {}
        for language in languages:
            with suppress(MissingData):
                found[language] = self.labelled(language, split, limit)
        return found

    def plain(self, language: str) -> PlainText:
        """Plain text of a language."""
        o = self.options
        return plain_text(o.text, language, field=o.text_field, limit_characters=o.text_characters, folder=self.folder)

    def names(self) -> tuple[str, str]:
        """What vectors trained on these data are called: of the task, of the language."""
        return task_name(self.options.task), text_name(self.options.text)


def plan(targets: Sequence[str], options: AdaptOptions, store: Store) -> Plan:
    """Read the data and say which vectors are needed.

    Raises :class:`LingarithError` for bad data, a target that is a source, an unknown space or
    protocol, and a protocol that the data do not allow.
    """
    _check(targets, options)
    read = Reading(options, store.folder / "text")
    validation = read.optional([*options.sources, *targets], "validation", options.validation_limit)
    test = read.optional(targets, "test", options.test_limit)
    tasks = {
        source: Job(read.labelled(source, "train", options.train_limit), options.task_training, validation.get(source))
        for source in options.sources
    }
    languages = {
        language: Job(read.plain(language), options.language_training) for language in [*options.sources, *targets]
    }
    protocol = _protocol(targets, options, validation)
    return Plan(tuple(targets), options, protocol, tasks, languages, validation, test)


def _check(targets: Sequence[str], options: AdaptOptions) -> None:
    """Raise :class:`LingarithError` for what is wrong whatever the data are."""
    for kind, names in (("target", targets), ("source", options.sources)):
        if not names:
            raise LingarithError(f"no {kind} language is named; name at least one, such as pt")
        for name in names:
            if names.count(name) > 1:
                raise LingarithError(f"{kind} {name} is named twice; name it once")
    if is_path(options.task) and not ("{language}" in options.task and "{split}" in options.task):
        raise LingarithError(
            f"the labelled data '{options.task}' would be the same for all languages or splits; "
            "put {language} and {split} into the path, such as summ/{language}/{split}.jsonl"
        )
    if is_path(options.text) and "{language}" not in options.text:
        raise LingarithError(
            f"the plain text '{options.text}' would be the same for all languages; put {{language}} into the path"
        )
    if options.space not in SPACES:
        raise LingarithError(f"no space named {options.space!r}{did_you_mean(options.space, SPACES)}")
    if options.rank is not None and (options.space != "delta" or options.rank < 1):
        raise LingarithError(
            f"rank={options.rank} needs space 'delta' and a rank of at least 1; the space is {options.space!r}"
        )
    for target in targets:
        if target in options.sources:
            raise LingarithError(f"{target} is a target and a source; its own labels would make arithmetic needless")


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
    what: Plan | None = None,
) -> Run:
    """Adapters for the targets in ``out/<target>``, and what led to them in ``out``.

    ``what`` is the plan of the same targets and options, where it is made already. Returns the run
    as its records tell it. Raises :class:`LingarithError` as :func:`plan` does, and if ``out``
    belongs to another run.
    """
    options = options or AdaptOptions()
    what = what or plan(targets, options, store)
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
        made = _choices(run, what, attempt)
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
    written: set[tuple[Any, ...]] = field(default_factory=set)
    """What tells apart the lines that are there."""

    def open(self, about: Mapping[str, Any]) -> Run:
        """What is there already. Raises :class:`LingarithError` if it belongs to another run."""
        if (self.path / "run.json").exists():
            run = read_run(self.path)
            if run.about.get("identity") != self.identity:
                raise LingarithError(
                    f"{self.path} holds another run (other data, options or backbone); choose another --out"
                )
            for lines in (run.examples, run.records, run.choices, run.ingredients):
                self.written.update(map(_key, lines))
            return run
        if self.path.exists() and not self.path.is_dir():
            raise LingarithError(f"{self.path} is a file; choose another --out")
        if self.path.exists() and any(not path.name.startswith(TEMPORARY) for path in self.path.iterdir()):
            raise LingarithError(f"{self.path} is not empty and holds no run; choose another --out")
        self.close(about)
        return read_run(self.path)

    def close(self, about: Mapping[str, Any]) -> None:
        """Write ``run.json``, whole or not at all."""
        text = json.dumps({**about, "identity": self.identity}, ensure_ascii=False, indent=1)
        write_atomically(self.path / "run.json", text)

    def add(self, lines: Sequence[Line]) -> None:
        """Append the lines that are not there yet."""
        append(self.path, [line for line in lines if _key(line) not in self.written])
        self.written.update(map(_key, lines))


def _key(line: Line) -> tuple[Any, ...]:
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
                if found.keys() == {example.id for example in data.examples}:
                    key = (self.target, data.split, self.terms.at(equation, weight).key)
                    self.bench.done[key] = [found[example.id] for example in data.examples]

    def try_out(self, equation: str, weight: float | None, data: Labelled) -> None:
        """Generate, score and record one composition on labelled data of the target."""

        def watch(done: int) -> None:
            if self.progress:
                self.progress(f"testing {self.target}, {equation}", done, len(data.examples))

        outcomes = self.bench.outcomes(self.terms.at(equation, weight), data, watch)
        self.write(equation, weight, outcomes, data)

    def write(self, equation: str, weight: float | None, outcomes: Sequence[Outcome], data: Labelled) -> None:
        """Records of a composition, and the examples that they are about."""
        examples = [Example(self.target, data.split, e.id, e.article, e.target) for e in data.examples]
        records = [Record(self.target, data.split, equation, weight, o.id, o.output, o.score, o.kind) for o in outcomes]
        self.folder.add([*examples, *records])

    def choose(self, equation: str, protocol: str, what: Plan) -> Choice:
        """The weight of an equation by a protocol, recorded; outputs for the target's examples too."""
        bench, terms, options = self.bench, self.terms, what.options
        if protocol == "oracle":
            data = what.validation[self.target]

            def keep(weight: float, outcomes: Sequence[Outcome]) -> None:
                self.write(equation, weight, outcomes, data)

            curve = choose.oracle(bench, terms, equation, data, self.progress, keep)
        elif protocol == "sources":
            held_out = [what.validation[source] for source in options.sources]
            curve = choose.sources(bench, terms, options.sources, equation, held_out, self.progress)
        else:
            text = what.languages[self.target].data
            assert isinstance(text, PlainText)
            curve = _unlabelled(bench, terms, equation, text, options, self.progress)
        made = choose.choice(self.target, terms, protocol, equation, curve)
        self.folder.add([made])
        return made


def _choices(run: Run, what: Plan, attempt: Attempt) -> list[Choice]:
    """The chosen weights: by the run's protocol, and by the oracle beside it where labels allow."""
    known = {(c.equation, c.protocol): c for c in run.choices if c.target == attempt.target}
    protocols = dict.fromkeys([*(["oracle"] if attempt.target in what.validation else []), what.protocol])
    return [
        known.get((equation, protocol)) or attempt.choose(equation, protocol, what)
        for protocol in protocols
        for equation in COMPOSED
    ]


def _unlabelled(
    bench: Bench, terms: choose.Terms, equation: str, text: PlainText, options: AdaptOptions, progress: Progress | None
) -> choose.Curve:
    articles = probe_articles(text, options.prompt)
    probes = replace(text, documents=[example.article for example in articles.examples])
    prefixes = prefix_items(bench.backbone, probes, length=options.language_training.max_input)
    return choose.unlabelled(bench, terms, equation, articles, prefixes, options.language_training, progress)


def weigh(
    target: str,
    equation: str,
    backbone: Backbone,
    store: Store,
    options: AdaptOptions,
    *,
    progress: Progress | None = None,
) -> Choice:
    """The weight of one equation for one target, from vectors that the store has; nothing is trained.

    Vectors are found by the names that their data give them (``xlsum[en]``, ``mc4[pt]``).
    Raises :class:`LingarithError` for an unknown equation or protocol, and a vector or data that is not there.
    """
    if equation not in COMPOSED:
        raise LingarithError(f"no equation named {equation!r}{did_you_mean(equation, COMPOSED)}")
    read = Reading(options, store.folder / "text")
    task, text = read.names()
    sources = options.sources
    terms = choose.Terms(
        tuple(f"{task}[{s}]" for s in sources), tuple(f"{text}[{s}]" for s in sources), f"{text}[{target}]"
    )
    vectors = {name: store.get(name, backbone.fingerprint) for name in (*terms.tasks, *terms.sources, terms.target)}
    held_out = read.optional([target, *sources], "validation", options.validation_limit)
    protocol = _protocol([target], options, held_out)
    bench = Bench(backbone, vectors, options.space, options.rank, options.decoding, options.score_model, sources)
    if protocol == "oracle":
        curve = choose.oracle(bench, terms, equation, held_out[target], progress)
    elif protocol == "sources":
        curve = choose.sources(bench, terms, sources, equation, [held_out[s] for s in sources], progress)
    else:
        curve = _unlabelled(bench, terms, equation, read.plain(target), options, progress)
    return choose.choice(target, terms, protocol, equation, curve)


def probe_articles(text: PlainText, prompt: str) -> Labelled:
    """Documents of plain text as articles without references, for the protocol ``unlabelled``."""
    documents = text.documents[:: max(1, len(text.documents) // PROBE)][:PROBE]
    examples = tuple(
        TaskExample(id=f"probe-{k}", input=prompt.replace("{text}", document), target="", article=document)
        for k, document in enumerate(documents)
    )
    return Labelled(
        task="probe",
        language=text.language,
        split="unlabelled",
        source=text.source,
        examples=examples,
        fingerprint=text.fingerprint,
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
            "protocol 'sources' needs two or more sources with labelled validation data; choose another protocol"
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
