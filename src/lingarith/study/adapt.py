"""The main job: from a backbone, labels in some languages and plain text to an adapter for others.

:mod:`.plan` says what is needed, ``adapt`` does it: trains what the store lacks, chooses λ, tests,
and writes an adapter for each target and a report. Each stage leaves its result in a file, so a
run that was stopped goes on, and one that is repeated has nothing left to do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from ..disk.files import TEMPORARY, write_atomically
from ..errors import LingarithError
from ..formats.lokr import write_lokr
from ..formats.peft import write_peft
from ..languages.codes import language_name
from ..model.backbone import Backbone
from ..model.members import versions
from ..store.store import Store
from ..text.tasks.labelled import Labelled
from ..vectors.realise import Composition
from ..vectors.vector import Vector
from . import choose
from .evaluate import Bench, Outcome
from .ingredients import Progress, obtain_all
from .plan import AdaptOptions, Plan, plan
from .records import BASELINE, Choice, Example, Ingredient, Line, Record, Run, append, read_run
from .weigh import COMPOSED, weighed


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
    together: int | None = None,
) -> Run:
    """Adapters for the targets in ``out/<target>``, and what led to them in ``out``.

    ``what`` is the plan of the same targets and options, where it is made already; ``together`` vectors
    share a pass of training (measured without it). Returns the run as its records tell it. Raises
    :class:`LingarithError` as :func:`plan` does, and if ``out`` belongs to another run.
    """
    options = options or AdaptOptions()
    what = what or plan(targets, options, store, progress=progress)
    folder = RunFolder(out, what.identity(backbone))
    about = _about(what, backbone, command, notes)
    run = folder.open(about)
    obtained = obtain_all(what.jobs, backbone, store, progress, together=together)
    vectors = {job.name: vector for job, (vector, _) in zip(what.jobs, obtained, strict=True)}
    hashes = {job.name: digest for job, (_, digest) in zip(what.jobs, obtained, strict=True)}
    bench = Bench(backbone, vectors, options.space, options.decoding, options.score_model, options.sources)
    folder.add([ingredient(name, hashes[name], vector) for name, vector in vectors.items()])
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
        write = write_lokr if options.handed_over else write_peft
        write(
            Composition(expression, vectors, options.space),
            out / target,
            base_model=backbone.name,
            task_type="SEQ_2_SEQ_LM" if backbone.encoder_decoder else "CAUSAL_LM",
            origin={
                "expression": str(expression),
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
            return (line.task, line.target, line.split, line.id)
        case Record():
            tested = (line.task, line.target, line.split, line.equation, line.source, line.seed)
            return (*tested, line.weight, line.id)
        case Choice():
            return (line.task, line.target, line.equation, line.source, line.seed, line.protocol)
        case Ingredient():
            return (line.name, line.hash)


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
                key = (self.target, data.split, self.terms.at(equation, weight).key)
                first = takewhile(found.__contains__, (example.id for example in data.examples))
                recalled = [found[one] for one in first]
                if len(recalled) > len(self.bench.done.get(key, ())):  # equations share the task vector alone
                    self.bench.done[key] = recalled

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

        def keep(weight: float, outcomes: Sequence[Outcome]) -> None:
            if protocol == "oracle":
                self.write(equation, weight, outcomes, what.validation[self.target])

        made = weighed(equation, protocol, self.bench, self.terms, what.grounds(self.target), self.progress, keep)
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


def ingredient(name: str, digest: str, vector: Vector) -> Ingredient:
    """The line about a vector."""
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
        "adapter": options.task_training.adapter.facts,
        "space": str(options.space),
        "protocol": what.protocol,
        "protocols": sorted({what.protocol, *(["oracle"] if what.validation.keys() & set(what.targets) else [])}),
        "sources": list(options.sources),
        "sources_of": {target: list(sources) for target, sources in what.sources.items()},
        "targets": list(what.targets),
        "score": {target: bench.scoring(target) for target in what.targets},
        "training": {"task": asdict(options.task_training), "language": asdict(options.language_training)},
        "decoding": asdict(options.decoding),
        "seed": options.seed,
        "notes": [*notes, *what.notes],
        "made": versions(),
        "command": command,
        "handed_over": {},
    }
