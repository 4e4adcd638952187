"""What the steps of a study do: each action takes plain arguments, and its result is plain too.

============ ==============================================================================
``train``    a vector on labels of one language or several, or on plain text
``noise``    a random vector as large as another
``outputs``  what a composition writes for the examples of a split, scored
``evidence`` how well a composition does on plain text, without labels
``choose``   which of several compositions is best, by the mean value of other steps
``test``     the ``outputs`` of the one that was chosen
============ ==============================================================================
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ..adapters.dense import Full
from ..adapters.kronecker import Kronecker
from ..adapters.lora import Lora
from ..algebra import Combination, parse
from ..errors import LingarithError, MissingData
from ..model.backbone import Backbone, load
from ..model.beside import AT_ONCE
from ..model.generate import Decoding, generate_each
from ..model.options import Adapter, TrainOptions
from ..store.store import Store
from ..text.corpora import PlainText, held_out, plain_text
from ..text.rows import fingerprint
from ..text.tasks.labelled import Labelled
from ..text.tasks.question_answering import questions
from ..text.tasks.summarisation import summaries
from ..vectors.noise import noise
from ..vectors.realise import Space
from ..vectors.vector import Vector
from . import choose
from .evaluate import F1, ROUGE2, Bench, mean
from .ingredients import Job, Progress, fetching, obtain_all
from .steps import VECTORS, Results, Step

Arguments = Mapping[str, Any]
SUMMARIES, QUESTIONS, TEXT, HELD_OUT = "summaries", "questions", "text", "held-out text"
READERS: dict[str, Callable[..., Labelled | PlainText]] = {
    SUMMARIES: summaries,
    QUESTIONS: questions,
    TEXT: plain_text,
    HELD_OUT: held_out,
}
"""How data are read, by their ``kind``; the rest of their description are the reader's arguments."""
METRICS = {SUMMARIES: ROUGE2, QUESTIONS: F1}
SEVERAL = "mul"
"""The language of labels of several languages, as BCP-47 has it."""
KEPT_DATA, KEPT_VECTORS = 16, 64


class Workshop:
    """A store, and what was loaded from it and elsewhere for earlier steps: one for each process.

    ``progress`` hears of data that come from a hub.
    """

    def __init__(self, place: Path | str, progress: Progress | None = None) -> None:
        self.store, self.progress = Store.at(place), progress
        self.results = Results(self.store)
        self._data = lru_cache(KEPT_DATA)(self._read)
        self._vector = lru_cache(KEPT_VECTORS)(self.store.by_recipe)
        self._backbone = lru_cache(1)(load)

    def perform_all(
        self, steps: Sequence[Step], progress: Progress | None = None, *, together: int | None = None
    ) -> None:
        """Do steps, of which those that train and those that generate share passes where they can."""
        self.train(steps, progress, together=together)
        self.generate(steps, progress)
        for step in steps:
            self.perform(step, progress)

    def perform(self, step: Step, progress: Progress | None = None) -> None:
        """Do a step, unless that was done already, or another process does it now. What it needs must be done.

        Raises :class:`LingarithError` where something is not as the arguments say.
        """
        if not self.results.done(step):
            with self.results.alone(step):
                if not self.results.done(step):
                    result = ACTIONS[step.function](step.arguments, self, progress)
                    if step.function not in VECTORS:
                        self.results.write(step, result)

    def train(self, steps: Sequence[Step], progress: Progress | None = None, *, together: int | None = None) -> None:
        """Do the steps that train on one backbone, ``together`` of them in a pass."""
        left = [step for step in steps if step.function == "train" and not self.results.done(step)]
        if left:
            jobs = [_watched(step.arguments, self) for step in left]
            obtain_all(jobs, self.backbone(left[0].arguments["backbone"]), self.store, progress, together=together)

    def generate(self, steps: Sequence[Step], progress: Progress | None = None) -> None:
        """Do the ``outputs`` of several compositions, side by side where all else is alike."""
        for some in generating_alike(steps):
            with ExitStack() as alone:
                for step in sorted(some, key=lambda step: step.key):
                    alone.enter_context(self.results.alone(step))
                left = [step for step in some if not self.results.done(step)]
                for step, result in zip(left, _outputs([step.arguments for step in left], self, progress), strict=True):
                    self.results.write(step, result)

    def backbone(self, about: Arguments) -> Backbone:
        """The backbone of that description; with a ``fingerprint`` it must be the same weights."""
        found = self._backbone(about["name"], dtype=about["dtype"])
        _must_be_same(about, found.fingerprint, f"backbone {found.name}")
        return found

    def release(self) -> None:
        """Let go of the backbone, whose memory workers on this machine need."""
        self._backbone.cache_clear()
        gc.collect()
        torch.cuda.empty_cache()

    def data(self, about: Arguments) -> Labelled | PlainText:
        """The data of that description; with a ``fingerprint`` they must be the same texts."""
        lasting = {key: tuple(v) if isinstance(v, list) else v for key, v in about.items() if key != "fingerprint"}
        found = self._data(tuple(sorted(lasting.items(), key=lambda item: item[0])))
        _must_be_same(about, found.fingerprint, f"data {about['source']} ({about['language']})")
        return found

    def labelled(self, about: Arguments) -> Labelled:
        """The same, where they are labelled."""
        found = self.data(about)
        assert isinstance(found, Labelled)
        return found

    def vector(self, recipe: str, name: str) -> Vector:
        """The vector of a recipe. Raises :class:`LingarithError` where it is not there."""
        found = self._vector(recipe)
        if found is None:
            self._vector.cache_clear()
            raise LingarithError(f"{name} is not in {self.store.place}; run the study again, which makes it")
        return found

    def _read(self, about: tuple[tuple[str, Any], ...]) -> Labelled | PlainText:
        given = dict(about)
        reader, folder = READERS[given.pop("kind")], self.store.folder / "text"
        if isinstance(given["language"], str):
            told = fetching(given["source"], given["language"], self.progress)
            return reader(**given, folder=folder, progress=told)
        parts = [self.labelled(dict(about) | {"language": code}) for code in given["language"]]
        examples = tuple(example for part in parts for example in part.examples)
        together = fingerprint(part.fingerprint for part in parts)
        return replace(parts[0], language=SEVERAL, examples=examples, fingerprint=together)


def perform(function: str, arguments: Arguments, place: Path | str) -> None:
    """Perform one step in a process of its own, whose store is at ``place``; see :meth:`Workshop.perform`."""
    Workshop(place).perform(Step(function, arguments))


def job_of(arguments: Arguments, shop: Workshop) -> Job:
    """The training that the arguments of ``train`` describe."""
    options = dict(arguments["options"])
    return Job(shop.data(arguments["data"]), TrainOptions(**options | {"adapter": adapter_of(options["adapter"])}))


def adapter_of(facts: Arguments) -> Adapter:
    """The adapter from its facts, as a vector's origin tells them."""
    kinds: dict[str, type[Adapter]] = {"lora": Lora, "kronecker": Kronecker, "full": Full}
    return kinds[facts["kind"]](**{key: value for key, value in facts.items() if key != "kind"})


def outputs_step(template: Arguments, expression: Combination, needs: Sequence[str] = (), amount: int = 0) -> Step:
    """The step ``outputs`` (or ``evidence``) of a composition; the template's vectors may be more than it needs."""
    vectors = {name: template["vectors"][name] for name in sorted(expression.names)}
    arguments = {**template, "expression": str(expression), "vectors": vectors}
    return Step("evidence" if "text" in template else "outputs", arguments, tuple(needs), amount)


def _must_be_same(about: Arguments, found: str, what: str) -> None:
    if about.get("fingerprint", found) != found:
        raise LingarithError(f"{what} changed since the study was planned; run the study again")


# ---------------------------------------------------------------- the actions


def _watched(arguments: Arguments, shop: Workshop) -> Job:
    """The training, with a loss on held-out text or validation labels where there are any."""
    job, about = job_of(arguments, shop), dict(arguments["data"])
    if isinstance(about["language"], str):  # the first examples of several languages are those of one
        del about["fingerprint"]
        other = {"kind": HELD_OUT} if about["kind"] == TEXT else {"split": "validation"}
        with suppress(MissingData):
            return replace(job, validation=shop.data(about | other))
    return job


def _train(arguments: Arguments, shop: Workshop, progress: Progress | None) -> None:
    shop.train([Step("train", arguments)], progress)


def _noise(arguments: Arguments, shop: Workshop, progress: Progress | None) -> None:
    like = shop.vector(arguments["like"], arguments["name"])
    shop.store.put(noise(like, arguments["name"], arguments["seed"]), arguments["recipe"])


class _Trial:
    """A composition, ready to be tried."""

    def __init__(self, arguments: Arguments, shop: Workshop) -> None:
        self.expression = parse(arguments["expression"])
        vectors = arguments["vectors"]
        self.bench = Bench(
            shop.backbone(arguments["backbone"]),
            {name: shop.vector(about["recipe"], name) for name, about in vectors.items()},
            space_of(arguments["space"]),
            Decoding(**arguments["decoding"]),
            arguments["score_model"] and Path(arguments["score_model"]["path"]),
            # What an output can be in instead of the target's language: that of labels which the model saw.
            sorted({language for about in vectors.values() for language in about["labels"]}),
            arguments["metric"],
        )


def space_of(facts: Arguments) -> Space:
    """The space from plain values."""
    return Space(facts["name"], facts["rank"])


def generating_alike(steps: Iterable[Step]) -> list[list[Step]]:
    """The steps ``outputs`` in groups alike but for their compositions, of as many as can stand beside each other."""
    groups: dict[str, list[Step]] = {}
    for step in steps:
        if step.function == "outputs":
            common = {key: told for key, told in step.arguments.items() if key not in ("expression", "vectors")}
            groups.setdefault(json.dumps(common, sort_keys=True), []).append(step)
    return [group[at : at + AT_ONCE] for group in groups.values() for at in range(0, len(group), AT_ONCE)]


def _outputs(several: Sequence[Arguments], shop: Workshop, progress: Progress | None) -> Iterator[dict[str, Any]]:
    """What several compositions write, each as soon as it is there; the arguments are alike but for these."""
    if not several:
        return
    data = shop.labelled(several[0]["data"])
    trials = [_Trial(arguments, shop) for arguments in several]

    def watch(done: int) -> None:
        if progress:
            progress(f"{data.language}, {data.split}", done, len(trials) * len(data.examples))

    first, inputs = trials[0].bench, [example.input for example in data.examples]
    updates = (trial.bench.update(trial.expression) for trial in trials)
    written = generate_each(first.backbone, updates, inputs, first.decoding, watch=watch)
    for trial, outputs in zip(trials, written, strict=True):
        scored = trial.bench.score(outputs, data)
        yield {"value": round(mean(scored), 4), "outcomes": [asdict(outcome) for outcome in scored]}


def _evidence(arguments: Arguments, shop: Workshop, progress: Progress | None) -> dict[str, Any]:
    trial, text = _Trial(arguments, shop), shop.data(arguments["text"])
    assert isinstance(text, PlainText)
    articles = choose.probe_articles(text, arguments["prompt"])

    def watch(done: int) -> None:
        if progress:
            progress(f"{text.language}, without labels", done, len(articles.examples))

    outcomes = trial.bench.outcomes(trial.expression, articles, watch)
    options = TrainOptions(max_input=arguments["decoding"]["max_input"])
    prefixes = choose.probe_prefixes(trial.bench.backbone, text, articles, options.max_input)
    return {"value": choose.evidence(trial.bench, trial.expression, outcomes, prefixes, options)}


def _choose(arguments: Arguments, shop: Workshop, progress: Progress | None) -> dict[str, Any]:
    curve, expressions = [], {}
    for candidate in arguments["candidates"]:
        values = [shop.results.read(key)["value"] for key in candidate["steps"]]
        curve.append((candidate["weight"], round(sum(values) / len(values), 4)))
        expressions[candidate["weight"]] = candidate["expression"]
    weight, value = choose.best(arguments["method"], curve)
    return {"weight": weight, "value": value, "expression": expressions[weight], "curve": curve}


def _test(arguments: Arguments, shop: Workshop, progress: Progress | None) -> dict[str, Any]:
    chosen = parse(shop.results.read(arguments["choice"])["expression"])
    step = outputs_step(arguments["template"], chosen)
    shop.perform(step, progress)
    return {"outputs": step.key}


ACTIONS: dict[str, Callable[[Arguments, Workshop, Progress | None], Any]] = {
    "train": _train,
    "noise": _noise,
    "outputs": lambda arguments, shop, progress: next(_outputs([arguments], shop, progress)),
    "evidence": _evidence,
    "choose": _choose,
    "test": _test,
}
