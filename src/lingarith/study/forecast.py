"""What a study has left to do, and about how long that will take: a few steps of each kind are run, the rest is
multiplied out."""

from __future__ import annotations

import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import torch

from ..adapters.kinds import Factored
from ..disk.kept import kept
from ..model.backbone import Backbone
from ..model.generate import generate
from ..model.gram import TOKENS
from ..model.likelihood import reference_bits
from ..model.options import Decoding
from ..model.train import train
from ..text.corpora import PlainText
from ..text.labelled import Asked, Labelled
from .grams import bytes_of, gram_of, job_of
from .jobs import Job
from .lab import Lab
from .outputs import Counted
from .place import Method

Watch = Callable[[int, int], None]
"""Hears how many steps or outputs were tried, of how many."""
SPLITS = ("validation", "test", "train")
"""Where examples to time outputs on are looked for, in this order."""
TRIED_STEPS, TRIED_EXAMPLES = 3, 8
ENOUGH = 0.5
"""Seconds after which no more is tried, so that a slow model is not waited for."""
IRRELEVANT = ("steps", "learning_rate", "seed", "init_seed", "checkpoint_every")
"""Options of training on which the time of a step does not depend."""
USUAL = 128
"""How many examples a split is taken to have where no limit says it."""
MINUTES = 120.0
"""Seconds of training from which on it is tried which number of threads is quickest."""
SET = {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}
"""Variables by which a user says how many threads compute."""
OUTPUT_BYTES = 400
"""About what a scored output takes on the disk."""


@dataclass(frozen=True)
class Stage:
    """A part of the work: how many items it has, how many of them are left, and what those will take."""

    what: str
    all: int
    left: int
    seconds: float
    bytes: int


KINDS = {
    "validation": "outputs for validation",
    "unlabelled": "outputs without labels",
    "plain": "prefixes of plain text",
    "test": "outputs for test",
}
"""What the splits of a dry run's questions are called."""


@dataclass
class Forecast:
    """What is left of a study, by a dry run; a few steps of each kind are tried to say how long it will take."""

    lab: Lab
    counted: Counted
    _rates: dict[str, float] = field(default_factory=dict, init=False)
    _sizes: dict[object, int] = field(default_factory=dict, init=False)
    """Bytes of vectors, by their adapter and where it sits."""

    @property
    def _trained(self) -> list[str]:
        return [name for name, order in self.lab.orders.items() if order.job and name in self.counted.needed]

    @cached_property
    def untrained(self) -> list[str]:
        """The vectors that the store lacks."""
        return [name for name in self._trained if not self.lab.is_there(name)]

    def stages(self) -> list[Stage]:
        """The work by kinds, in their order."""
        lab, lacking = self.lab, {*self.untrained}
        stages = []
        for what, labels in (("task vectors", True), ("language vectors", False)):
            names = [name for name in self._trained if bool(lab.orders[name].labels) == labels]
            left = [name for name in names if name in lacking]
            if names:
                seconds, size = sum(map(self.training, left)), sum(map(self._bytes, left))
                stages.append(Stage(what, len(names), len(left), seconds, size))
        if measured := self.counted.measured:  # which takes a pass over a few thousand tokens, and much of the disk
            jobs = [job for name in measured if not gram_of(lab, name) and (job := job_of(lab, name))]
            seconds, size = sum(map(self._measuring, jobs)), sum(bytes_of(job, lab.backbone) for job in jobs)
            stages.append(Stage("Gram matrices", len(measured), len(jobs), seconds, size))
        for kind, what in KINDS.items():
            asked = {key: n for key, n in self.counted.asked.items() if key.startswith(f"{kind} ")}
            left_over = sum(self.counted.lacking.get(key, 0) for key in asked)
            if asked:
                rate = self.output_seconds if left_over else 0.0
                stages.append(Stage(what, sum(asked.values()), left_over, rate * left_over, OUTPUT_BYTES * left_over))
        return stages

    @property
    def seconds(self) -> float:
        """About how long all that is left takes one worker."""
        return sum(stage.seconds for stage in self.stages())

    def training(self, name: str) -> float:
        """About how many seconds a vector takes."""
        job = self.lab.job(name)
        return self._step(job) * job.options.steps

    def _measuring(self, job: Job) -> float:
        """About how many seconds a Gram matrix takes: forward, and a product as large, of a step's three."""
        return self._step(job) * 2 / 3 * TOKENS / (job.options.batch_size * job.options.max_input)

    def _step(self, job: Job) -> float:
        options = {key: value for key, value in asdict(job.options).items() if key not in IRRELEVANT}
        facts = {"step of": type(job.data).__name__, "options": options}
        watch = self._watch(f"a step of {job.name}")
        return self._timed(facts, lambda: seconds_per_step(job, self.lab.backbone, watch))

    def threads(self, names: Iterable[str]) -> str:
        """Compute with as many threads as train vectors soonest here, if they take minutes; a word on what was tried.

        Half as many as there are, and so on, are tried by a few steps as long as it gets quicker: threads wait for each
        other, and on a busy machine more of them take longer. Where the user has set a number it stays. Sums in another
        order round otherwise, so a training that was stopped goes on with the number that it began with.
        """
        first, count = next((name for name in names if not self.lab.is_there(name)), None), torch.get_num_threads()
        if first is None or count == 1 or SET & os.environ.keys() or self.lab.backbone.device.type != "cpu":
            return ""

        def tried() -> Iterator[tuple[int, float]]:
            soonest = math.inf
            for number in (count >> k for k in range(count.bit_length())):
                torch.set_num_threads(number)
                seconds = self.training(first)
                yield number, seconds / self.lab.job(first).options.steps
                if seconds > soonest or seconds < MINUTES:
                    return
                soonest = seconds

        facts = {"of": self.lab.recipe(first), "node": platform.node(), "most": count}
        steps: dict[int, float] = dict(kept("threads", facts, tried))
        quickest = min(steps, key=steps.__getitem__)
        torch.set_num_threads(quickest)
        said = ", ".join(f"{seconds:.2g} s with {number}" for number, seconds in steps.items())
        return f"threads: {quickest}, since a step of training takes {said}" if len(steps) > 1 else ""

    @cached_property
    def output_seconds(self) -> float:
        """About how many seconds an output takes, in a batch."""
        lab, writing = self.lab, self.lab.study.writing
        for task, labels in lab.study.tasks.items():
            for place in product([task], (*labels.targets, *lab.study.languages.sources), SPLITS):
                if lab.has_labels(*place):
                    facts = {"output of": task, "writing": asdict(writing)}
                    measured = lab.labels(*place), writing, lab.backbone, self._watch("an output")
                    predicted = lab.scoring(task).metric.predicted
                    timed = seconds_per_reference if predicted else seconds_per_output
                    return self._timed(facts | ({"predicted": True} if predicted else {}), partial(timed, *measured))
        return 0.0

    def _timed(self, facts: dict[str, Any], measure: Callable[[], float]) -> float:
        """What was measured on this machine today already is not measured again."""
        machine = {"day": date.today().isoformat(), "node": platform.node(), "threads": torch.get_num_threads()}
        about = facts | machine | {"backbone": self.lab.backbone.fingerprint, "device": str(self.lab.backbone.device)}
        key = json.dumps(about, sort_keys=True, default=str)
        if key not in self._rates:
            [self._rates[key]] = kept("timings", {"about": key}, lambda: [measure()])
        return float(self._rates[key])

    @property
    def writing(self) -> float:
        """About how many seconds the outputs that lack take one worker."""
        lacking = sum(self.counted.lacking.values())
        return lacking * self.output_seconds if lacking else 0.0

    def outputs_of(self, method: Method) -> int:
        """About how many outputs choosing and testing a method takes, where nothing of it is there."""
        limits, tried = self.lab.study.data, len(method.tried)
        chosen = tried * (limits.validation_limit or USUAL) if tried > 1 else 0
        return chosen + (limits.test_limit or USUAL)

    def _watch(self, what: str) -> Watch:
        return lambda done, total: self.lab.progress(f"timing {what}", done, total)

    def _bytes(self, name: str) -> int:
        """What a vector takes on the disk."""
        options, backbone = self.lab.job(name).options, self.lab.backbone
        adapter = options.adapter
        if not isinstance(adapter, Factored):
            return 4 * int(backbone.facts["parameters"])
        kind = adapter, options.projections
        if kind not in self._sizes:  # what thousands of vectors have in common
            start = adapter.init(backbone.shapes_of(options.projections), 0).values()
            self._sizes[kind] = 4 * sum(factor.numel() for term in start for factor in adapter.factors(term))
        return self._sizes[kind]


def seconds_per_step(job: Job, backbone: Backbone, watch: Watch) -> float:
    """How long a step of training takes here; ``watch`` hears how many were tried, of how many."""
    # The first step pays for warming up, so the others are what counts.
    options = replace(job.options, steps=1 + TRIED_STEPS, patience=0)
    moments: list[float] = []

    def timed(_: int, step: int, loss: float) -> None:
        moments.append(time.perf_counter())
        watch(step, options.steps)
        if moments[-1] - moments[0] > ENOUGH:
            raise _Enough

    with tempfile.TemporaryDirectory() as folder, suppress(_Enough):
        training = replace(job, data=_few(job), options=options, validation=None, mixed=None).training(
            backbone, Path(folder)
        )
        for _ in train(backbone, [training], watch=timed):
            pass
    return (moments[-1] - moments[0]) / (len(moments) - 1)


class _Enough(Exception):
    """What was to be timed has taken long enough."""


def _few(job: Job) -> Labelled | PlainText:
    """As much of the data as the steps that are timed read: to tokenise all of it would take longer than they do."""
    count = (1 + TRIED_STEPS) * job.options.batch_size
    if isinstance(job.data, Labelled):
        return replace(job.data, examples=job.data.examples[:count])
    documents, characters = [], 0
    for document in job.data.documents:
        documents.append(document)
        characters += len(document)
        if characters > 8 * count * job.options.max_input:
            break
    return replace(job.data, documents=documents)


def seconds_per_output(data: Labelled, decoding: Decoding, backbone: Backbone, watch: Watch) -> float:
    """How long an output takes here, in a batch; ``watch`` hears how many are there, of how many."""

    def timed(inputs: list[Asked]) -> float:
        began = time.perf_counter()
        generate(backbone, inputs, decoding, watch=lambda done: watch(done, len(inputs)))
        return time.perf_counter() - began

    few = [example.asked for example in data.examples[:TRIED_EXAMPLES]]
    # The first pass after loading pays for warming up: pages of weights that nobody has read yet.
    generate(backbone, few[:1], replace(decoding, max_output=1))
    if (seconds := timed(few)) > ENOUGH:
        return seconds / len(few)
    # Batches cost less by the example than single ones, up to the size of a batch.
    batch = (few * decoding.generate_batch)[: decoding.generate_batch]
    return timed(batch) / len(batch)


def seconds_per_reference(data: Labelled, decoding: Decoding, backbone: Backbone, watch: Watch) -> float:
    """How long it takes here to predict a reference, in a batch; ``watch`` hears how many are done, of how many."""
    some = replace(data, examples=data.examples[:TRIED_EXAMPLES])
    reference_bits(backbone, replace(some, examples=some.examples[:1]), decoding.max_input)  # warming up, as above
    began = time.perf_counter()
    reference_bits(backbone, some, decoding.max_input, lambda done: watch(done, len(some.examples)))
    return (time.perf_counter() - began) / len(some.examples)
